"""Puts gold and own earlier pairs among an annotator's work, so that nothing tells which is which.

Asks ``db.fates`` what the day's next pair is, and finds one. Knows no rule on gold and no page.
"""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from db import gold, repeat_answers, repeats
from db.eligibility import may_work_in
from db.fates import Fate, day_key, fate, pairs_to_go
from db.leases import give_seat_back, live_lease
from db.mixing_key import mixing_key
from db.models import Annotator, Assignment, Batch, BatchState, Comparison, Judgment
from db.shown import Shown, show

_HOST = (
    select(Batch.id, Batch.gold_rate, Batch.repeat_rate, Comparison.persona_slug)
    .join(Comparison, Comparison.batch_id == Batch.id)
    .where(Comparison.id == bindparam("comparison"))
)


def instead_of(
    session: Session, person: Annotator, comparison_id: int, now: datetime
) -> Shown | None:
    """Gold or a repeat in place of a pair whose seat was just taken; None where it is work.

    The seat goes back where something else is shown.
    """
    batch_id, gold_rate, repeat_rate, persona = (
        session.execute(_HOST, {"comparison": comparison_id}).tuples().one()
    )
    if gold_rate <= 0 and repeat_rate <= 0:
        return None
    key, slot = key_of(person, now), slot_of(session, person.id, now)
    kind = fate(key, slot, gold_rate, repeat_rate)
    found: Shown | None = None
    if kind is Fate.GOLD:
        lease = gold.next_for(session, person.id, persona, key, slot, now)
        found = None if lease is None else as_if_of(show(session, lease), batch_id)
    elif kind is Fate.REPEAT:
        found = repeats.next_for(session, person.id, key, slot, now)
    if found is not None:
        give_seat_back(session, comparison_id)
    return found


def shown_again(session: Session, held: Assignment) -> Shown:
    """What a lease shows after a reload; gold goes on looking as part of the work around it."""
    told = show(session, held)
    if held.seat or not gold.takes_no_seat(session, held.comparison_id):
        return told
    host = host_batch(session, held.annotator_id)
    return told if host is None else as_if_of(told, host.id)


def as_if_of(told: Shown, batch_id: int) -> Shown:
    """A pair that says it is of another batch, so that a page looks the same around it."""
    return replace(told, batch_id=batch_id)


def key_of(person: Annotator, now: datetime) -> bytes:
    """The key of a person's day, of a random key that no page and no row holds."""
    return day_key(f"{mixing_key()}|{person.id}", now.date())


def slot_of(session: Session, annotator_id: int, now: datetime) -> int:
    """How many answers this annotator gave today, repeats and undone ones too."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    judged = session.scalar(
        select(func.count()).where(
            Judgment.annotator_id == annotator_id, Judgment.created_at >= midnight
        )
    )
    return (judged or 0) + repeat_answers.count_since(session, annotator_id, midnight)


def host_batch(session: Session, annotator_id: int) -> Batch | None:
    """The work batch that this annotator is in: their last one's while open, else the next."""
    last = session.scalar(
        select(Batch)
        .join(Comparison, Comparison.batch_id == Batch.id)
        .join(Assignment, Assignment.comparison_id == Comparison.id)
        .where(Assignment.annotator_id == annotator_id, Batch.purpose == "work")
        .order_by(Assignment.id.desc())
        .limit(1)
    )
    if last is not None and last.state is BatchState.OPEN:
        return last
    return session.scalar(
        select(Batch)
        .where(*may_work_in(annotator_id))
        .order_by(Batch.priority.desc(), Batch.id)
        .limit(1)
    )


def remaining(session: Session, annotator_id: int, work: int, judged: int, now: datetime) -> int:
    """The pairs that are left with what will be mixed in, so that a total never tells.

    Args:
        session: The session.
        annotator_id: Who.
        work: Work pairs that are left.
        judged: Answers that this annotator gave ever.
        now: The moment (UTC).
    """
    host = host_batch(session, annotator_id) if work else None
    if host is None or (host.gold_rate <= 0 and host.repeat_rate <= 0):
        return work
    person = session.get_one(Annotator, annotator_id)
    slot = slot_of(session, annotator_id, now)
    holding = live_lease(session, annotator_id) is not None or repeats.waits(session, annotator_id)
    return pairs_to_go(
        key_of(person, now),
        slot + holding,
        work,
        gold_rate=host.gold_rate,
        repeat_rate=host.repeat_rate,
        golds=len(gold.unseen(session, annotator_id, None)) if host.gold_rate > 0 else 0,
        repeats_from=slot + max(0, repeats.GAP + 1 - judged),
    )
