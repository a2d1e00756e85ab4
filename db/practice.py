"""Practice pairs: their known answers, why, and what people answered. Never judgments.

Reads data/practice.yaml. Knows no page and no queue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from db.errors import LedgerError, NotFound, Refused
from db.models import Persona, PracticeAnswer, PracticeItem, Verdict
from db.settings import REPOSITORY
from db.texts import storable

SHIPPED = REPOSITORY / "data" / "practice.yaml"
TEXTS = ("key", "response_a", "response_b", "explanation")
FIELDS = (*TEXTS, "persona", "prompt", "messages", "expected")


@dataclass(frozen=True)
class Feedback:
    """What somebody hears after a practice answer.

    Attributes:
        right: Whether it is the known answer.
        expected: The known answer.
        explanation: Why, in a sentence or two.
    """

    right: bool
    expected: Verdict
    explanation: str


def items(session: Session) -> list[PracticeItem]:
    """The pairs that are practised on, in order."""
    return list(
        session.scalars(
            select(PracticeItem)
            .where(PracticeItem.active)
            .order_by(PracticeItem.position, PracticeItem.id)
        )
    )


def speakers(session: Session, practised_on: Sequence[PracticeItem]) -> dict[str | None, Persona]:
    """Who should be speaking in these pairs, by slug."""
    slugs = {item.persona_slug for item in practised_on if item.persona_slug}
    found = session.scalars(select(Persona).where(Persona.slug.in_(slugs)))
    return {persona.slug: persona for persona in found}


def answer(session: Session, annotator_id: int, item_id: int, verdict: Verdict | str) -> Feedback:
    """Keep a practice answer and say what it is worth.

    Raises:
        NotFound: There is no such practice pair.
        Refused: Not a verdict.
    """
    item = session.get(PracticeItem, item_id)
    if item is None:
        raise NotFound("This practice pair is not there any more. Reload the page.")
    try:
        chosen = Verdict(verdict)
    except ValueError:
        raise Refused(f"{verdict!r} is not a verdict; use a, b, tie or both_bad") from None
    session.add(PracticeAnswer(annotator_id=annotator_id, item_id=item_id, verdict=chosen))
    session.flush()
    return Feedback(chosen is item.expected, item.expected, item.explanation)


def practised(session: Session, annotator_id: int) -> bool:
    """Whether this annotator has answered every practice pair at least once."""
    return session.scalar(_open(annotator_id).limit(1)) is None


def next_item(session: Session, annotator_id: int) -> PracticeItem | None:
    """The first practice pair that this annotator has not answered yet."""
    return session.scalar(_open(annotator_id).limit(1))


def _open(annotator_id: int) -> Any:
    answered = exists().where(
        PracticeAnswer.annotator_id == annotator_id, PracticeAnswer.item_id == PracticeItem.id
    )
    return (
        select(PracticeItem)
        .where(PracticeItem.active, ~answered)
        .order_by(PracticeItem.position, PracticeItem.id)
    )


def load_first(session: Session, path: Path = SHIPPED) -> int:
    """Load the shipped practice pairs where there are none; gives how many there are now."""
    if session.scalar(select(PracticeItem.id).limit(1)) is None and path.is_file():
        return load(session, path)
    return len(items(session))


def load(session: Session, path: Path) -> int:
    """Practise on exactly what a file says from now on; gives how many pairs it has.

    A pair is known by its ``key``: one that was there is brought up to date, one that the file
    does not have any more is put away (its answers stay).

    Raises:
        LedgerError: The file is malformed; the message names file, entry and field.
    """
    rows = _rows(path)
    known = {each.key: each for each in session.scalars(select(PracticeItem))}
    personas = set(session.scalars(select(Persona.slug)))
    for position, row in enumerate(rows):
        item = known.pop(row["key"], None)
        if item is None:
            item = PracticeItem(key=row["key"])
            session.add(item)
        item.position = position
        item.persona_slug = row["persona"] if row["persona"] in personas else None
        item.messages = row["messages"]
        item.response_a, item.response_b = row["response_a"], row["response_b"]
        item.expected = Verdict(row["expected"])
        item.explanation = row["explanation"]
        item.active = True
    for gone in known.values():
        gone.active = False
    session.flush()
    return len(rows)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, list) or not raw:
        raise LedgerError(f"{path}: must be a list of practice pairs, at least one")
    rows = [
        _row(f"{path}: pair {number}", row)
        for number, row in enumerate(cast("list[Any]", raw), start=1)
    ]
    keys = [row["key"] for row in rows]
    for key in keys:
        if keys.count(key) > 1:
            raise LedgerError(f"{path}: key {key!r} is there twice; give each pair its own")
    return rows


def _row(where: str, raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise LedgerError(f"{where}: must be fields such as `prompt: …`")
    row = cast("dict[str, Any]", raw)
    unknown = sorted(set(row) - set(FIELDS))
    if unknown:
        raise LedgerError(f"{where}: unknown field {unknown[0]!r}; known: {', '.join(FIELDS)}")
    for name in TEXTS:
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise LedgerError(f"{where}: field {name}: must be a text")
    if len(row["key"]) > 64:
        raise LedgerError(f"{where}: field key: has at most 64 characters")
    if row.get("expected") not in list(Verdict):
        raise LedgerError(f"{where}: field expected: is a, b, tie or both_bad")
    return {
        **{name: storable(row[name].strip()) for name in TEXTS},
        "expected": row["expected"],
        "persona": row.get("persona"),
        "messages": _messages(where, row),
    }


def _messages(where: str, row: dict[str, Any]) -> Sequence[dict[str, str]]:
    given: Any = row.get("messages")
    if given is None:
        prompt = row.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise LedgerError(f"{where}: field prompt: must be a text (or give messages)")
        return [{"role": "user", "content": storable(prompt.strip())}]
    turns: list[dict[str, str]] = []
    for turn in cast("list[Any]", given) if isinstance(given, list) else [None]:
        fields = cast("dict[str, Any]", turn) if isinstance(turn, dict) else {}
        role, content = fields.get("role"), fields.get("content")
        if role not in ("user", "assistant") or not isinstance(content, str):
            raise LedgerError(f"{where}: field messages: turns of role (user, assistant), content")
        turns.append({"role": role, "content": storable(content.strip())})
    if not turns or turns[-1]["role"] != "user":
        raise LedgerError(f"{where}: field messages: the last turn must be the user's")
    return turns
