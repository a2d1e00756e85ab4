"""What a row to import says: pairs and judgments of them.

Reads the project's own exports, anybody's table with ``item_a, item_b, verdict``, and the LLMFAO
files. Touches no database.
"""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from db.errors import ImportRefused, Refused
from db.labeling import ANSWERS
from db.lines import Line
from db.models import AdapterKind, AnnotatorKind, BatchKind, Verdict
from db.prompts import canonical_json, check_messages, messages_sha256

K = TypeVar("K", AdapterKind, AnnotatorKind, BatchKind)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Side:
    """One candidate of a pair; an empty text is one that the file does not tell."""

    adapter: str
    kind: AdapterKind = field(default=AdapterKind.EXTERNAL, compare=False)
    text: str = ""
    seed: int | None = None
    source: str = "imported"
    stop_reason: str | None = None
    sampling: str = "{}"
    """As canonical JSON, so that sides can be compared."""


@dataclass(frozen=True)
class Pair:
    """A pair as a file tells it, ``a`` and ``b`` in the file's order.

    ``prompt`` is the identity of the conversation: its hash where ``messages`` are known, else one
    made from the batch and the file's own name of it.
    """

    batch: str
    batch_kind: BatchKind
    pair_id: str | None
    persona: str | None
    persona_name: str | None
    prompt: str
    messages: str
    """As JSON; ``[]`` where the file does not tell them."""
    prompt_split: str
    prompt_source: str
    a: Side
    b: Side
    round_number: int | None = None
    gold: Verdict | None = None
    purpose: str = "work"
    """``gold`` where the batch's pairs are mixed into others and left out of results."""
    line: Line | None = field(default=None, compare=False, hash=False)

    def refuse(self, name: str, what: str) -> ImportRefused:
        """The error for a field of the row that told this pair."""
        return self.line.refuse(name, what) if self.line else ImportRefused(f"{name}: {what}")


@dataclass(frozen=True)
class Judged:
    """One judgment as a file tells it, in the order of its pair."""

    pair: Pair
    line: Line
    token: str
    verdict: Verdict
    strength: int | None
    placement: int
    weight: float
    annotator: str
    annotator_kind: AnnotatorKind
    created_at: datetime | None
    source: str
    external_id: str | None
    dwell_ms: int | None
    comment: str | None
    tags: list[Any]
    answers: dict[str, str | None]
    flag: str | None
    retracted: str | None
    retracted_at: datetime | None


def derived_token(*parts: object) -> str:
    """An assignment token that the same foreign row gets every time it is imported."""
    text = json.dumps(["import", *parts], ensure_ascii=False)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def judged_of(
    line: Line, batch: str, annotator: str | None, kind: AnnotatorKind, seen: Counter[str]
) -> Judged:
    """The judgment of a row with ``item_a, item_b, verdict``.

    Args:
        line: The row.
        batch: The batch where the row names none.
        annotator: Who judged, where the row does not say.
        kind: What that is.
        seen: How often each identity came before in the file; counted on.

    Raises:
        ImportRefused: The row is malformed.
    """
    pair = pair_of(line, batch, BatchKind.IMPORTED, None, texts=False)
    verdict = _verdict(line, line.text("verdict"))
    decided = verdict in {Verdict.A, Verdict.B}
    strength = line.integer("strength", (0, 1, 2)) or None
    if strength and not decided:
        raise line.refuse("strength", f"a {verdict.value} has none; leave it empty")
    who = line.text("annotator", annotator or f"unknown ({pair.batch})")
    placement = line.integer("placement", (-1, 0, 1)) or 0
    external_id = line.optional("external_id", 160)
    given = line.optional("judgment") or line.optional("id")
    if given and _TOKEN.fullmatch(given):
        token = given
    else:
        identity = derived_token(
            pair.batch, pair.pair_id, pair.prompt, pair.a.adapter, pair.b.adapter, pair.a.text,
            pair.b.text, who, verdict.value, placement, given,
        )  # fmt: skip
        seen[identity] += 1
        token = derived_token(identity, seen[identity])
        external_id = external_id or (line.short("id", given, 160) if given else None)
    tags: Any = line.json("tags") or []
    if not isinstance(tags, list):
        raise line.refuse("tags", "must be a JSON list of words")
    retracted_at = _time(line, "retracted_at")
    return Judged(
        pair=pair,
        line=line,
        token=token,
        verdict=verdict,
        strength=(strength or 1) if decided else None,
        placement=placement,
        weight=line.positive("weight", 1.0),
        annotator=line.short("annotator", who, 120),
        annotator_kind=_choice(line, "annotator_kind", AnnotatorKind, kind),
        created_at=_time(line, "created_at"),
        source=line.given("source", f"import {line.file.name}")[:120],
        external_id=external_id,
        dwell_ms=line.integer("dwell_ms", least=0),
        comment=line.optional("comment"),
        tags=cast("list[Any]", tags),
        answers={
            name: _one_of(line, name, ANSWERS) for name in ("in_character", "helpful", "safe")
        },
        flag=line.optional("flag", 32),
        retracted=_one_of(line, "retracted", ("undone", "revised")),
        retracted_at=retracted_at,
    )


def pair_of(line: Line, batch: str, kind: BatchKind, persona: str | None, *, texts: bool) -> Pair:
    """The pair of a row; ``texts`` says whether it must tell them.

    Raises:
        ImportRefused: The row is malformed.
    """
    name = line.short("batch", line.text("batch", batch), 160)
    found = _choice(line, "batch_kind", BatchKind, kind)
    text_a = _first_text(line, ("text_a", "response_a"), required=texts)
    text_b = _first_text(line, ("text_b", "response_b"), required=texts)
    label = line.text("prompt", "")
    messages: Any = line.json("messages") or []
    told = texts or (text_a and text_b and not _SHA256.fullmatch(label))
    if not messages and told and label:
        messages = [{"role": "user", "content": label}]
    if messages:
        try:
            messages = check_messages(messages)
        except Refused as error:
            raise line.refuse("messages", str(error).removeprefix("messages: ")) from None
        prompt = messages_sha256(messages)
    elif texts:
        raise line.refuse("prompt", "is missing; give the prompt's text, or messages")
    else:
        prompt = label if _SHA256.fullmatch(label) else placeholder(name, label)
    split = line.text("prompt_split", "imported")
    if split not in {"loop", "heldout", "imported"}:
        raise line.refuse("prompt_split", f"{split!r} is not loop, heldout or imported")
    gold = line.optional("gold")
    slug = line.text("persona", persona or "") or None
    if slug and (not _SLUG.fullmatch(slug) or ".." in slug):
        raise line.refuse("persona", f"{slug!r} is no slug; use letters, digits, '.', '_' and '-'")
    return Pair(
        batch=name,
        batch_kind=found,
        purpose=_one_of(line, "batch_purpose", ("work", "gold")) or "work",
        pair_id=line.optional("comparison_external_id", 160)
        or (line.optional("id", 160) or line.optional("external_id", 160) if texts else None),
        persona=line.short("persona", slug, 64) if slug else None,
        persona_name=line.optional("persona_name"),
        prompt=prompt,
        messages=json.dumps(messages, ensure_ascii=False),
        prompt_split=split,
        round_number=line.integer("round", least=1) if line.optional("batch_kind") else None,
        prompt_source=line.given("prompt_source", f"import {line.file.name}: {label}"[:120]),
        a=_side(line, "a", text_a, name, required=not texts),
        b=_side(line, "b", text_b, name, required=not texts),
        gold=_verdict(line, gold, "gold") if gold else None,
        line=line,
    )


def _side(line: Line, which: str, text: str, batch: str, *, required: bool) -> Side:
    name = line.text(f"item_{which}", None if required else f"{batch}: {which.upper()}")
    sampling: Any = line.json(f"sampling_{which}") or {}
    if not isinstance(sampling, dict):
        raise line.refuse(f"sampling_{which}", "must be a JSON object")
    return Side(
        adapter=line.short(f"item_{which}", name, 160),
        kind=_choice(line, f"kind_{which}", AdapterKind, AdapterKind.EXTERNAL),
        text=text,
        seed=line.integer(f"seed_{which}"),
        source=line.short(f"source_{which}", line.given(f"source_{which}", "imported"), 120),
        stop_reason=line.optional(f"stop_reason_{which}", 16),
        sampling=canonical_json(cast("dict[str, Any]", sampling)),
    )


def placeholder(batch: str, label: str) -> str:
    """The identity of a conversation of which only a name is known, within one batch."""
    return hashlib.sha256(canonical_json({"batch": batch, "prompt": label}).encode()).hexdigest()


def _first_text(line: Line, names: tuple[str, ...], *, required: bool) -> str:
    for name in names:
        if name in line.row:
            return line.text(name, "")
    if required:
        raise line.refuse(names[0], f"is missing; give the text as {' or '.join(names)}")
    return ""


def _verdict(line: Line, value: str, name: str = "verdict") -> Verdict:
    try:
        return Verdict(value.strip().lower())
    except ValueError:
        raise line.refuse(name, f"{value!r} is not a, b, tie or both_bad") from None


def _choice(line: Line, name: str, kinds: type[K], default: K) -> K:
    value = line.text(name, default.value)
    try:
        return kinds(value)
    except ValueError:
        listed = ", ".join(each.value for each in kinds)
        raise line.refuse(name, f"{value!r} is not one of {listed}") from None


def _one_of(line: Line, name: str, allowed: Collection[str]) -> str | None:
    value = line.optional(name)
    if value is not None and value not in allowed:
        raise line.refuse(name, f"{value!r} is not one of {', '.join(allowed)}")
    return value


def _time(line: Line, name: str) -> datetime | None:
    value = line.row.get(name)
    if isinstance(value, datetime):
        found = value
    else:
        text = line.optional(name)
        if text is None:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise line.refuse(
                name, f"{text!r} is not a time such as 2026-01-31T12:00:00Z"
            ) from None
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        raise line.refuse(name, f"{found} is outside the calendar; correct it") from None


def stem(path: Path) -> str:
    """A batch's name from a file's."""
    return path.name.split(".")[0] or "imported"
