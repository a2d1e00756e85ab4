"""Who holds which pair of a batch now, taking it back, and giving it to somebody by name.

An annotator holds one pair at a time, so a pair is given only to somebody whose hands are free;
whoever wrote, judged or skipped it is not given it, as in the queue. A rest of work is given by
naming whom the batch is for. Every act is in the audit log. Knows no page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db import audit, people
from db.batch_making import named
from db.batches import batch as find_batch
from db.eligibility import is_for, may_judge
from db.errors import NotFound, Refused
from db.leases import let_go, live_lease, now_or, seat_assignment, take_seat
from db.models import (
    Annotator,
    Assignment,
    AssignmentState,
    Batch,
    BatchAnnotator,
    BatchState,
    Comparison,
)

KEPT = timedelta(hours=24)
"""How long a pair that was given to somebody waits for them."""


@dataclass(frozen=True)
class Held:
    """A pair that somebody holds.

    Attributes:
        comparison_id: The pair.
        annotator: Who, by name.
        leased_at: Since when (UTC).
        expires_at: When it goes back by itself (UTC).
        opened: Whether they have it before them; false where it was given and waits.
    """

    comparison_id: int
    annotator: str
    leased_at: datetime
    expires_at: datetime
    opened: bool


def held(session: Session, batch_id: int) -> list[Held]:
    """What is held of a batch now, the longest held first."""
    rows = session.execute(_held(batch_id).order_by(Assignment.leased_at, Assignment.id)).tuples()
    return [
        Held(a.comparison_id, name, a.leased_at, a.expires_at, a.shown_at is not None)
        for a, name in rows
    ]


def named_for(session: Session, batch_id: int) -> list[str]:
    """The names of whom a batch is for; empty where it is for everybody."""
    if not session.get_one(Batch, batch_id).named_only:
        return []
    query = (
        select(Annotator.name)
        .join(BatchAnnotator, BatchAnnotator.annotator_id == Annotator.id)
        .where(BatchAnnotator.batch_id == batch_id)
        .order_by(Annotator.name)
    )
    return list(session.scalars(query))


def take_back(
    session: Session,
    batch: str | int,
    *,
    actor: str,
    comparison_id: int | None = None,
    annotator: str | None = None,
) -> list[str]:
    """End leases of a batch, so that the pairs go back to the queue; gives whose they were.

    What is on somebody's page may still be answered while a seat is free, as after any lease that
    ran out.

    Args:
        session: The session.
        batch: Its name or id.
        actor: Who takes it.
        comparison_id: Only of this pair.
        annotator: Only what this person holds.

    Raises:
        NotFound: There is no such batch or person.
        Refused: Nothing of it is held.
    """
    found = find_batch(session, batch)
    query = _held(found.id)
    if comparison_id is not None:
        query = query.where(Assignment.comparison_id == comparison_id)
    if annotator is not None:
        query = query.where(Assignment.annotator_id == people.person(session, annotator).id)
    holders = {a.annotator_id: (name, a.comparison_id) for a, name in session.execute(query)}
    taken: list[str] = []
    for annotator_id in sorted(holders):
        name, pair = holders[annotator_id]
        if _let_go_of(session, annotator_id, pair):
            taken.append(name)
            audit.record(session, actor, "take back", name, batch=found.name, comparison=pair)
    if not taken:
        of = f"comparison {comparison_id}" if comparison_id else f"batch {found.name!r}"
        by = f" by {annotator}" if annotator else ""
        raise Refused(f"nothing of {of} is held{by} now")
    return taken


def give(
    session: Session,
    comparison_id: int,
    to: str,
    *,
    actor: str,
    from_: str | None = None,
    now: datetime | None = None,
    kept: timedelta = KEPT,
) -> Assignment:
    """Give a pair to somebody by name, taking it from whoever holds it where no seat is free.

    It is the next pair on their page, and goes back to the queue where they do not come in time.

    Args:
        session: The session.
        comparison_id: The pair.
        to: Who gets it.
        actor: Who gives it.
        from_: Who gives it up; needed only where several hold it and no seat is free.
        now: The moment (UTC).
        kept: How long it waits for them.

    Raises:
        NotFound: There is no such pair or person.
        Refused: They may not judge it or hold another pair, or every judgment of it is in.
    """
    pair = session.get(Comparison, comparison_id)
    if pair is None:
        raise NotFound(f"there is no comparison {comparison_id}")
    person = _may_take(session, pair, to)
    giver = None if from_ is None else people.person(session, from_)
    hands = {person.id} if giver is None else {person.id, giver.id}
    for each in sorted(hands):
        _lock(session, each)
    _refuse_full_hands(session, person, now_or(now))
    taken_from = _free_a_seat(session, pair, giver)
    if not take_seat(session, pair.id):
        raise Refused(f"comparison {pair.id} has every judgment it wants")
    made = seat_assignment(session, person.id, pair.id, now_or(now), kept)
    made.shown_at = None
    session.flush()
    told = {"from": taken_from} if taken_from else {}
    audit.record(session, actor, "reassign", person.name, comparison=pair.id, **told)
    return made


def give_rest(session: Session, batch: str | int, to: Sequence[str], *, actor: str) -> list[str]:
    """Let a batch be for these people only (nobody named: for everybody) from now on.

    What others hold of it goes back to the queue; their judgments stay.

    Returns:
        Who gave up a pair.

    Raises:
        NotFound: There is no such batch, or nobody of one of the names.
        Refused: It is gold, or one of them is switched off.
    """
    found = find_batch(session, batch)
    if found.purpose == "gold":
        raise Refused(f"{found.name!r} is gold, which is mixed into other batches for everybody")
    chosen = named(session, to)
    off = [each.name for each in chosen if not each.active]
    if off:
        raise Refused(f"{', '.join(off)} cannot sign in; `personaloop users activate` first")
    session.execute(delete(BatchAnnotator).where(BatchAnnotator.batch_id == found.id))
    session.add_all(BatchAnnotator(batch_id=found.id, annotator_id=each.id) for each in chosen)
    found.named_only = bool(chosen)
    session.flush()
    ids = {each.id for each in chosen}
    gave_up = [
        name
        for annotator_id, pair, name in sorted(
            (a.annotator_id, a.comparison_id, name)
            for a, name in session.execute(_held(found.id)).tuples()
        )
        if chosen and annotator_id not in ids and _let_go_of(session, annotator_id, pair)
    ]
    names = [each.name for each in chosen]
    audit.record(session, actor, "reassign batch", found.name, to=names, taken_from=gave_up)
    return gave_up


def _held(batch_id: int):
    return (
        select(Assignment, Annotator.name)
        .join(Comparison, Comparison.id == Assignment.comparison_id)
        .join(Annotator, Annotator.id == Assignment.annotator_id)
        .where(Assignment.state == AssignmentState.LEASED, Comparison.batch_id == batch_id)
    )


def _may_take(session: Session, pair: Comparison, to: str) -> Annotator:
    """The person, where the queue could give them this pair."""
    person = people.person(session, to)
    batch = session.get_one(Batch, pair.batch_id)
    if not person.active:
        raise Refused(f"{person.name} cannot sign in; `personaloop users activate` first")
    if person.paused_at is not None:
        raise Refused(f"{person.name} is paused; `personaloop users resume` first")
    if batch.purpose == "gold":
        raise Refused(f"comparison {pair.id} is gold, which nobody is given by name")
    if batch.state is not BatchState.OPEN:
        raise Refused(f"batch {batch.name!r} is {batch.state.value}; open it first")
    if session.scalar(select(Batch.id).where(Batch.id == batch.id, is_for(person.id))) is None:
        raise Refused(f"batch {batch.name!r} is for named people, and {person.name} is not one")
    free = select(Comparison.id).where(Comparison.id == pair.id, *may_judge(person.id))
    if session.scalar(free) is None:
        raise Refused(f"{person.name} wrote, judged, skipped or holds comparison {pair.id} already")
    return person


def _refuse_full_hands(session: Session, person: Annotator, now: datetime) -> None:
    held_now = live_lease(session, person.id)
    if held_now is None:
        return
    if held_now.expires_at > now:
        raise Refused(
            f"{person.name} has another pair before them (comparison {held_now.comparison_id});"
            f" wait for the answer, or take that one back first"
        )
    let_go(session, held_now, AssignmentState.RELEASED)


def _free_a_seat(session: Session, pair: Comparison, giver: Annotator | None) -> str:
    """Take the pair from who holds it, where that is needed or asked; gives their name or ""."""
    session.refresh(pair)
    if giver is None and pair.seats > 0:
        return ""
    query = _held(pair.batch_id).where(Assignment.comparison_id == pair.id)
    holders = {a.annotator_id: name for a, name in session.execute(query).tuples()}
    if giver is not None:
        if giver.id not in holders:
            raise Refused(f"{giver.name} does not hold comparison {pair.id}")
        chosen = giver.id
    elif len(holders) > 1:
        who = ", ".join(sorted(holders.values()))
        raise Refused(f"comparison {pair.id} is held by {who}; say whose to take with --from")
    elif not holders:
        raise Refused(f"comparison {pair.id} has every judgment it wants")
    else:
        chosen = next(iter(holders))
    return holders[chosen] if _let_go_of(session, chosen, pair.id) else ""


def _let_go_of(session: Session, annotator_id: int, comparison_id: int) -> bool:
    """End the lease of this person on this pair; False where it ended meanwhile."""
    _lock(session, annotator_id)
    now_held = live_lease(session, annotator_id)
    if now_held is None or now_held.comparison_id != comparison_id:
        return False
    let_go(session, now_held, AssignmentState.RELEASED)
    return True


def _lock(session: Session, annotator_id: int) -> None:
    session.execute(
        select(Annotator.id).where(Annotator.id == annotator_id).with_for_update(key_share=True)
    )
