"""Prompts: conversations to answer, one row for each different conversation."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.errors import Refused
from db.models import Prompt
from db.texts import storable

SPLITS = ("loop", "heldout", "imported")
ROLES = ("system", "user", "assistant")


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: the same value gives the same text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def messages_sha256(messages: Sequence[dict[str, Any]]) -> str:
    """The identity of a conversation: SHA-256 of its canonical JSON."""
    text = canonical_json(list(messages))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def check_messages(messages: object) -> list[dict[str, Any]]:
    """The messages as a list of ``{"role", "content"}``, the last one from the user.

    Raises:
        Refused: They are not; the message names the turn and what is wrong with it.
    """
    if not isinstance(messages, list) or not messages:
        raise Refused('messages: must be a list of {"role": …, "content": …}, with at least one')
    checked: list[dict[str, Any]] = []
    for number, each in enumerate(cast("list[object]", messages), start=1):
        if not isinstance(each, dict):
            raise Refused(f'messages: turn {number} must be {{"role": …, "content": …}}')
        turn = cast("dict[str, object]", each)
        role, content = turn.get("role"), turn.get("content")
        if role not in ROLES:
            raise Refused(
                f"messages: turn {number} has role {role!r}; use one of {', '.join(ROLES)}"
            )
        if not isinstance(content, str):
            raise Refused(f"messages: the content of turn {number} must be text")
        checked.append({"role": role, "content": storable(content)})
    if checked[-1]["role"] != "user":
        raise Refused("messages: the last turn must be the user's, it is what gets answered")
    return checked


def put_prompt(
    session: Session,
    messages: Sequence[dict[str, Any]],
    *,
    split: str = "loop",
    source: str = "",
    journey: str | None = None,
    intent: str | None = None,
    locale: str | None = None,
    tier: str | None = None,
    tags: Iterable[str] = (),
) -> Prompt:
    """Add a conversation, or find the one that is already there (by its messages alone).

    Raises:
        Refused: The messages or the split are not usable.
    """
    checked = check_messages(list(messages))
    if split not in SPLITS:
        raise Refused(f"split: must be one of {', '.join(SPLITS)}, not {split!r}")
    digest = messages_sha256(checked)
    found = session.scalar(select(Prompt).where(Prompt.sha256 == digest))
    if found is not None:
        return found
    made = Prompt(
        sha256=digest,
        messages=checked,
        split=split,
        source=source,
        journey=journey,
        intent=intent,
        locale=locale,
        tier=tier,
        tags=list(tags),
    )
    session.add(made)
    session.flush()
    return made


def prompts(
    session: Session, *, split: str | None = None, limit: int | None = None
) -> list[Prompt]:
    """Prompts in the order they came, of one split; without one, all that adapters may answer."""
    query = select(Prompt).order_by(Prompt.id)
    if split is not None:
        query = query.where(Prompt.split == split)
    else:
        query = query.where(Prompt.split != "imported")
    if limit is not None:
        query = query.limit(limit)
    return list(session.scalars(query))
