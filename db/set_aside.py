"""Comparisons that are shown to nobody until an admin has looked, because a text names its author.

While one is aside it keeps no free seat: its overlap is what annotators have of it already. Knows
what counts as naming only through ``db.self_naming``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session, aliased

from db import audit, notices
from db.clock import utcnow
from db.errors import NotFound, Refused
from db.leases import give_seat_back
from db.models import Batch, Candidate, Comparison, Persona, Prompt, SetAside
from db.self_naming import found_in
from db.texts import storable

KIND = "set aside"
"""The kind of the notice."""
# Built once: putting such a statement together costs more than running it.
_A, _B = aliased(Candidate), aliased(Candidate)
_WRITTEN = (
    select(_A.text, _B.text, _A.adapter_id, _B.adapter_id)
    .select_from(Comparison)
    .join(_A, _A.id == Comparison.candidate_a_id)
    .join(_B, _B.id == Comparison.candidate_b_id)
    .where(Comparison.id == bindparam("comparison"))
)


@dataclass(frozen=True)
class Waiting:
    """A comparison that waits for an admin, in canonical order.

    Attributes:
        comparison_id: Its id.
        batch: The batch's name.
        reason: Which words of which side.
        messages: The conversation.
        text_a: The one text.
        text_b: The other.
        adapter_a: Who wrote it.
        adapter_b: Likewise.
        created_at: Since when (UTC).
    """

    comparison_id: int
    batch: str
    reason: str
    messages: list[dict[str, Any]]
    text_a: str
    text_b: str
    adapter_a: str
    adapter_b: str
    created_at: datetime


def check(session: Session, comparison: Comparison) -> bool:
    """Set a comparison aside where a text of it names its author; whether it is aside now.

    What an admin released stays released.
    """
    known = session.get(SetAside, comparison.id)
    if known is not None:
        return known.decision != "released"
    if comparison.overlap == 0:
        return False
    both = comparison.candidate_a, comparison.candidate_b
    return _check(session, comparison, both, _personas(session))


def check_new(
    session: Session, made: Iterable[tuple[Comparison, tuple[Candidate, Candidate]]]
) -> None:
    """The same for many comparisons that were just made, with their candidates."""
    personas = _personas(session)
    for comparison, both in made:
        if comparison.overlap:
            _check(session, comparison, both, personas)


def _check(
    session: Session,
    comparison: Comparison,
    both: tuple[Candidate, Candidate],
    personas: list[tuple[str, str]],
) -> bool:
    ids = tuple(candidate.adapter_id for candidate in both)
    others = [name for slug, name in personas if slug != comparison.persona_slug]
    for side, candidate in zip("AB", both, strict=True):
        words = found_in(candidate.text, ids=ids, others=others)
        if words:
            put(session, comparison, f"{side} says “{words}”")
            return True
    return False


def caught(session: Session, comparison_id: int) -> bool:
    """The last look before a pair is shown, its seat just taken: set aside what names itself.

    Costs one read by primary keys where nothing is found.
    """
    row = session.execute(_WRITTEN, {"comparison": comparison_id}).tuples().one()
    words = next((hit for text in row[:2] if (hit := found_in(text, ids=row[2:]))), "")
    if not words:
        return False
    known = session.get(SetAside, comparison_id)
    if known is not None and known.decision == "released":
        return False
    give_seat_back(session, comparison_id)
    comparison = session.get_one(Comparison, comparison_id, populate_existing=True)
    if known is None:
        put(session, comparison, f"says “{words}”")
    else:
        _close(session, comparison)
    return True


def put(session: Session, comparison: Comparison, reason: str) -> SetAside:
    """Set a comparison aside and tell the admins."""
    made = SetAside(
        comparison_id=comparison.id, reason=storable(reason), overlap=comparison.overlap
    )
    session.add(made)
    _close(session, comparison)
    batch = session.get_one(Batch, comparison.batch_id)
    count = session.scalar(
        select(func.count())
        .select_from(SetAside)
        .join(Comparison, Comparison.id == SetAside.comparison_id)
        .where(SetAside.decision.is_(None), Comparison.batch_id == batch.id)
    )
    pairs = "1 pair waits" if count == 1 else f"{count} pairs wait"
    notices.tell(session, KIND, batch.name, f"{pairs} because a text names its author")
    return made


def waiting(session: Session, limit: int = 200) -> list[Waiting]:
    """What waits for a decision, oldest first."""
    rows = session.execute(
        select(SetAside, Comparison, Batch.name, Prompt.messages)
        .join(Comparison, Comparison.id == SetAside.comparison_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .where(SetAside.decision.is_(None))
        .order_by(SetAside.created_at, SetAside.comparison_id)
        .limit(limit)
    ).tuples()
    return [
        Waiting(
            comparison_id=comparison.id,
            batch=name,
            reason=aside.reason,
            messages=list(messages),
            text_a=comparison.candidate_a.text,
            text_b=comparison.candidate_b.text,
            adapter_a=comparison.candidate_a.adapter_id,
            adapter_b=comparison.candidate_b.adapter_id,
            created_at=aside.created_at,
        )
        for aside, comparison, name, messages in rows
    ]


def count_waiting(session: Session) -> int:
    """How many comparisons wait for a decision."""
    query = select(func.count()).select_from(SetAside).where(SetAside.decision.is_(None))
    return session.scalar(query) or 0


def release(session: Session, comparison_id: int, *, actor: str) -> Comparison:
    """Ask for the comparison after all; it is not caught again.

    Raises:
        NotFound: It is not aside.
        Refused: It was decided already.
    """
    aside = _decide(session, comparison_id, "released", actor)
    comparison = session.get_one(Comparison, comparison_id, populate_existing=True)
    taken = comparison.overlap - comparison.seats
    comparison.overlap = max(aside.overlap, taken)
    comparison.seats = comparison.overlap - taken
    session.flush()
    return comparison


def drop(session: Session, comparison_id: int, *, actor: str) -> None:
    """Never show the comparison.

    Raises:
        NotFound: It is not aside.
        Refused: It was decided already.
    """
    _decide(session, comparison_id, "dropped", actor)


def wanted_later(session: Session, comparison: Comparison, overlap: int) -> bool:
    """Keep another overlap for later where the comparison is aside; whether it is."""
    aside = session.get(SetAside, comparison.id)
    if aside is None or aside.decision == "released":
        return False
    aside.overlap = overlap
    session.flush()
    return True


def _decide(session: Session, comparison_id: int, decision: str, actor: str) -> SetAside:
    found = session.get(SetAside, comparison_id, populate_existing=True)
    if found is None:
        raise NotFound(f"comparison {comparison_id} is not set aside")
    if found.decision is not None:
        raise Refused(f"comparison {comparison_id} was {found.decision} by {found.decided_by}")
    found.decision = decision
    found.decided_by = actor[:120]
    found.decided_at = utcnow()
    session.flush()
    act = "release" if decision == "released" else "drop"
    audit.record(session, actor, f"set aside {act}", f"comparison {comparison_id}")
    return found


def _close(session: Session, comparison: Comparison) -> None:
    comparison.overlap -= comparison.seats
    comparison.seats = 0
    session.flush()


def _personas(session: Session) -> list[tuple[str, str]]:
    return list(session.execute(select(Persona.slug, Persona.name)).tuples())
