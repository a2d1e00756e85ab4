"""Flags: what annotators say is wrong with a pair, and what an admin did about it.

Knows flags and the queue that a pair may be taken out of. Does not know pages, nor what a flag
means for training: a flagged pair's judgments stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db import audit
from db.batches import set_overlap
from db.errors import NotFound, Refused
from db.leases import let_go, now_or
from db.models import (
    Annotator,
    Assignment,
    AssignmentState,
    Batch,
    Candidate,
    Comparison,
    Flag,
    Persona,
    Prompt,
)
from db.texts import storable

COMMENT = "comment"
"""The kind of what was written with a skip without a flag, so that it is not lost."""
KINDS = ("personal data", "unsafe", "broken", COMMENT)


@dataclass(frozen=True)
class Flagged:
    """A flag with the pair that it is about.

    Attributes:
        id: The flag's.
        comparison_id: The pair's.
        kind: ``personal data``, ``unsafe`` or ``broken``.
        note: In the annotator's words, possibly none.
        by: Who raised it.
        judged: Whether it came with a judgment (else the pair was skipped).
        created_at: When (UTC).
        resolution: What was done about it; None while it waits.
        resolved_by: Who did.
        resolved_at: When.
        batch: The batch's name.
        persona: The persona's name; empty without one.
        messages: The conversation.
        text_a: The canonical A.
        text_b: The canonical B.
        open_seats: Judgments of the pair that could still be handed out or are in hand.
    """

    id: int
    comparison_id: int
    kind: str
    note: str
    by: str
    judged: bool
    created_at: datetime
    resolution: str | None
    resolved_by: str | None
    resolved_at: datetime | None
    batch: str
    persona: str
    messages: list[dict[str, Any]]
    text_a: str
    text_b: str
    open_seats: int


def raise_flag(
    session: Session,
    comparison_id: int,
    annotator_id: int,
    kind: str,
    note: str | None,
    judgment_id: int | None = None,
) -> Flag:
    """Tell the admins that something is wrong with a pair. Saying the same again changes nothing.

    Args:
        session: The session.
        comparison_id: Of which pair.
        annotator_id: Who says so.
        kind: ``personal data``, ``unsafe``, ``broken``, or ``comment`` (written with a skip).
        note: What was written with it.
        judgment_id: The judgment that it came with; None where the pair was skipped.

    Raises:
        Refused: There is no such kind.
    """
    if kind not in KINDS:
        raise Refused(f"a flag is {', '.join(KINDS)}, not {kind!r}")
    words = storable(note) if note else None
    standing = session.scalar(
        select(Flag).where(
            Flag.comparison_id == comparison_id,
            Flag.annotator_id == annotator_id,
            Flag.kind == kind,
            Flag.note == words if words is not None else Flag.note.is_(None),
            Flag.judgment_id == judgment_id
            if judgment_id is not None
            else Flag.judgment_id.is_(None),
            Flag.resolved_at.is_(None),
        )
    )
    if standing is not None:
        return standing
    made = Flag(
        comparison_id=comparison_id,
        annotator_id=annotator_id,
        judgment_id=judgment_id,
        kind=kind,
        note=words,
    )
    session.add(made)
    session.flush()
    return made


def waiting(session: Session, *, limit: int = 50) -> list[Flagged]:
    """Flags that nobody has resolved, oldest first."""
    return _flagged(session, select(Flag.id).where(Flag.resolved_at.is_(None)), False, limit)


def resolved(session: Session, *, limit: int = 50) -> list[Flagged]:
    """Flags that were resolved, the latest first."""
    return _flagged(session, select(Flag.id).where(Flag.resolved_at.is_not(None)), True, limit)


def count_waiting(session: Session) -> int:
    """How many flags nobody has resolved."""
    query = select(func.count()).select_from(Flag).where(Flag.resolved_at.is_(None))
    return session.scalar(query) or 0


def resolve(
    session: Session, flag_id: int, words: str, *, actor: str, now: datetime | None = None
) -> Flag:
    """Put a flag away with what was done about it, and write it to the audit log.

    Raises:
        NotFound: There is no such flag.
        Refused: There are no words, or somebody resolved it meanwhile.
    """
    found = _flag(session, flag_id)
    said = storable(words).strip()
    if not said:
        raise Refused("say in a few words what was done about it")
    if found.resolved_at is not None:
        raise Refused(f"flag {flag_id} was resolved already by {found.resolved_by}")
    found.resolution = said
    found.resolved_by = actor[:120]
    found.resolved_at = now_or(now)
    session.flush()
    subject = f"comparison {found.comparison_id}"
    audit.record(session, actor, "resolve flag", subject, flag=flag_id, kind=found.kind, words=said)
    return found


def stop_asking(session: Session, flag_id: int, *, actor: str) -> int:
    """Take a flagged pair out of the queue: it wants no more judgments than it has.

    Who holds it now is told kindly that it went to somebody else. Judgments that were given stay.

    Returns:
        How many judgments the pair has and keeps.

    Raises:
        NotFound: There is no such flag.
    """
    comparison_id = _flag(session, flag_id).comparison_id
    held = select(Assignment).where(
        Assignment.comparison_id == comparison_id,
        Assignment.state == AssignmentState.LEASED,
        Assignment.seat,
    )
    for each in session.scalars(held.with_for_update()):
        let_go(session, each, AssignmentState.RELEASED)
    locked = session.get_one(Comparison, comparison_id, with_for_update=True)
    session.refresh(locked)
    kept = locked.overlap - locked.seats
    wanted = locked.overlap
    set_overlap(session, locked, kept)
    audit.record(
        session,
        actor,
        "take out of queue",
        f"comparison {comparison_id}",
        flag=flag_id,
        wanted=wanted,
        kept=kept,
    )
    return kept


def _flag(session: Session, flag_id: int) -> Flag:
    found = session.get(Flag, flag_id, populate_existing=True)
    if found is None:
        raise NotFound(
            f"there is no flag {flag_id}; `personaloop flags list` shows those that wait"
        )
    return found


def _flagged(session: Session, ids: Any, newest_first: bool, limit: int) -> list[Flagged]:
    a, b = aliased(Candidate), aliased(Candidate)
    order = (Flag.resolved_at.desc(), Flag.id.desc()) if newest_first else (Flag.id.asc(),)
    rows: Sequence[Any] = session.execute(
        select(
            Flag,
            Annotator.name,
            Batch.name,
            Persona.name,
            Prompt.messages,
            a.text,
            b.text,
            Comparison.seats,
        )
        .join(Annotator, Annotator.id == Flag.annotator_id)
        .join(Comparison, Comparison.id == Flag.comparison_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(a, a.id == Comparison.candidate_a_id)
        .join(b, b.id == Comparison.candidate_b_id)
        .outerjoin(Persona, Persona.slug == Comparison.persona_slug)
        .where(Flag.id.in_(ids))
        .order_by(*order)
        .limit(limit)
    ).all()
    held = _held(session, [flag.comparison_id for flag, *_ in rows])
    return [
        Flagged(
            id=flag.id,
            comparison_id=flag.comparison_id,
            kind=flag.kind,
            note=flag.note or "",
            by=who,
            judged=flag.judgment_id is not None,
            created_at=flag.created_at,
            resolution=flag.resolution,
            resolved_by=flag.resolved_by,
            resolved_at=flag.resolved_at,
            batch=batch,
            persona=persona or "",
            messages=[turn for turn in messages or () if isinstance(turn, dict)],
            text_a=text_a,
            text_b=text_b,
            open_seats=seats + held.get(flag.comparison_id, 0),
        )
        for flag, who, batch, persona, messages, text_a, text_b, seats in rows
    ]


def _held(session: Session, comparisons: Sequence[int]) -> dict[int, int]:
    """How many of these pairs' seats somebody has in hand, unjudged."""
    query = (
        select(Assignment.comparison_id, func.count())
        .where(
            Assignment.comparison_id.in_(comparisons),
            Assignment.state == AssignmentState.LEASED,
            Assignment.seat,
        )
        .group_by(Assignment.comparison_id)
    )
    return dict(session.execute(query).tuples().all())
