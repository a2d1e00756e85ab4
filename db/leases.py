"""Seats and leases underneath the labeling verbs: how a seat is taken, held and given back.

A comparison's ``seats`` falls when an assignment takes one and rises when it lets go; a CHECK keeps
it between zero and the overlap. On PostgreSQL nothing here waits for another annotator's row lock
(SKIP LOCKED), so that two claims can never wait for each other; on SQLite a transaction that
writes is alone from its first statement.
"""

import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Integer, bindparam, exists, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from db import extra_judgments
from db.clock import utcnow
from db.eligibility import HAS_SEATS, may_judge, may_work_in, open_for
from db.errors import Away, Busy, NotFound, Refused
from db.models import (
    Annotator,
    Assignment,
    AssignmentState,
    Batch,
    BatchState,
    Comparison,
)

LEASE = timedelta(minutes=15)
"""How long a pair is kept for one person who shows no sign of life."""
LONGEST = timedelta(hours=2)
"""How long a page may keep a pair without an answer, however lively it is."""
REAPED_AT_ONCE = 20
"""Expired leases that one claim cleans up; the next claim takes the next ones."""
CROWDED_ATTEMPTS = 60
"""How often a claim looks again while everything it could take is being taken by others."""


FIRST = (0, 0)
"""Before every rank and id."""
LAST_PLACES = 8
"""Latest assignments among which an annotator's place in a batch is looked for."""

_ME = bindparam("annotator", type_=Integer)

# Built once: putting such a statement together costs more than running it.
_LAST_PLACES = (
    select(Comparison.batch_id, Comparison.rank, Comparison.id, Assignment.leased_at)
    .join(Assignment, Assignment.comparison_id == Comparison.id)
    .join(Batch, Batch.id == Comparison.batch_id)
    .where(Assignment.annotator_id == _ME, Batch.purpose != "gold")
    .order_by(Assignment.id.desc())
    .limit(LAST_PLACES)
)
_OPEN_BATCHES = (
    select(Batch.id, Batch.ranked_at)
    .where(*may_work_in(_ME), exists().where(Comparison.batch_id == Batch.id, HAS_SEATS))
    .order_by(Batch.priority.desc(), Batch.id)
)
_NEXT = (
    select(Comparison.id)
    .where(Comparison.batch_id == bindparam("batch"), HAS_SEATS, *may_judge(_ME))
    .order_by(Comparison.rank, Comparison.id)
    .limit(1)
    .with_for_update(of=Comparison, skip_locked=True, key_share=True)
)
# Two ranges, because SQLite takes no index for (rank, id) > (?, ?) where id is the row's own.
_NEXT_OF_RANK = _NEXT.where(
    Comparison.rank == bindparam("rank"), Comparison.id > bindparam("after")
)
_NEXT_OF_LATER_RANKS = _NEXT.where(Comparison.rank > bindparam("rank"))
_EXPIRED = (
    select(Assignment, Comparison.id)
    .join(Comparison, Comparison.id == Assignment.comparison_id)
    .where(Assignment.state == AssignmentState.LEASED, Assignment.expires_at < bindparam("now"))
    .order_by(Assignment.expires_at)
    .limit(REAPED_AT_ONCE)
    .with_for_update(of=[Assignment, Comparison], skip_locked=True, key_share=True)
    .execution_options(populate_existing=True)
)
_TAKE = (
    update(Comparison)
    .where(Comparison.id == bindparam("comparison"), Comparison.seats > 0)
    .values(seats=Comparison.seats - 1)
    .execution_options(synchronize_session=False)
)
_ANNOTATOR = (
    select(Annotator)
    .where(Annotator.id == bindparam("annotator"))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_LEASE = (
    select(Assignment)
    .where(
        Assignment.annotator_id == bindparam("annotator"),
        Assignment.state == AssignmentState.LEASED,
    )
    .with_for_update(of=Assignment, key_share=True)
    .execution_options(populate_existing=True)
)
_ASSIGNMENTS = select(Assignment).where(Assignment.comparison_id == bindparam("comparison"))


def lock_annotator(session: Session, annotator_id: int) -> Annotator:
    """The annotator, so that one person's own two tabs take turns.

    Raises:
        NotFound: There is no such annotator.
        Refused: The account is switched off.
    """
    found = session.scalar(_ANNOTATOR, {"annotator": annotator_id})
    if found is None:
        raise NotFound("this account does not exist; ask for a new invitation")
    if not found.active:
        raise Refused("this account is switched off; ask the person who invited you")
    return found


def live_lease(session: Session, annotator_id: int) -> Assignment | None:
    """What the annotator holds now, its time run out or not; at most one by a unique index."""
    return session.scalar(_LEASE, {"annotator": annotator_id})


def reap(session: Session, now: datetime) -> int:
    """Give back the seats of some leases that ran out; returns how many."""
    rows = session.execute(_EXPIRED, {"now": now}).all()
    for assignment, _ in rows:
        let_go(session, assignment, AssignmentState.RELEASED)
    return len(rows)


def let_go(session: Session, assignment: Assignment, state: AssignmentState) -> None:
    """End a lease and give its seat back, if it holds one."""
    held = assignment.seat
    assignment.state = state
    assignment.seat = False
    session.flush()
    if held:
        give_seat_back(session, assignment.comparison_id)


def give_seat_back(session: Session, comparison_id: int) -> None:
    """Give back one seat that was taken."""
    session.execute(
        update(Comparison)
        .where(Comparison.id == comparison_id)
        .values(seats=Comparison.seats + 1)
        .execution_options(synchronize_session=False)
    )
    extra_judgments.settle(session, comparison_id)


def take_seat(session: Session, comparison_id: int) -> bool:
    """Take one seat if there is one left; the condition and the change are one statement."""
    result = session.execute(_TAKE, {"comparison": comparison_id})
    assert isinstance(result, CursorResult)
    return result.rowcount == 1


def take_next(session: Session, annotator_id: int, batch_id: int | None, now: datetime) -> int:
    """Take a seat in the next comparison for this annotator; 0 when there is none.

    Order: batches by priority, then age; within a batch by rank and id, going on from the
    annotator's last comparison and round again, so that a long day does not walk over its own past
    at every claim. A batch that was ranked since is walked from its start.

    Raises:
        Busy: Others kept taking what was left for longer than anybody should wait.
    """
    for attempt in range(CROWDED_ATTEMPTS):
        taken = _try_next(session, annotator_id, batch_id)
        if taken:
            return taken
        if reap(session, now):
            while reap(session, now):
                pass
            continue
        if session.get_bind().dialect.name == "sqlite":
            return 0  # alone since BEGIN IMMEDIATE: what was not found is not there
        if not _anything_left(session, annotator_id, batch_id):
            return 0
        time.sleep(min(0.002 * 1.2**attempt, 0.05))
    raise Busy("many people are taking pairs at this moment; nothing was lost, try again")


def seat_assignment(
    session: Session,
    annotator_id: int,
    comparison_id: int,
    now: datetime,
    lease: timedelta,
    *,
    seat: bool = True,
) -> Assignment:
    """The lease on a comparison whose seat was just taken: the earlier one again, or a new one.

    A comparison that this annotator let go keeps its token and its placement. Gold takes no seat.
    """
    others = list(session.scalars(_ASSIGNMENTS, {"comparison": comparison_id}))
    mine = [each for each in others if each.annotator_id == annotator_id]
    latest = max(mine, key=lambda each: each.attempt, default=None)
    if latest is not None and latest.state is AssignmentState.RELEASED:
        latest.state = AssignmentState.LEASED
        latest.seat = seat
        begin(latest, now, lease)
        session.flush()
        return latest
    return new_assignment(
        session,
        comparison_id=comparison_id,
        annotator_id=annotator_id,
        attempt=1 if latest is None else latest.attempt + 1,
        placement=latest.placement if latest else draw_placement(others),
        now=now,
        lease=lease,
        seat=seat,
    )


def new_assignment(
    session: Session,
    *,
    comparison_id: int,
    annotator_id: int,
    attempt: int,
    placement: int,
    now: datetime,
    lease: timedelta,
    seat: bool,
) -> Assignment:
    """A fresh lease with a fresh opaque token."""
    made = Assignment(
        token=fresh_token(),
        comparison_id=comparison_id,
        annotator_id=annotator_id,
        attempt=attempt,
        placement=placement,
        seat=seat,
    )
    begin(made, now, lease)
    session.add(made)
    session.flush()
    return made


def begin(assignment: Assignment, now: datetime, lease: timedelta) -> None:
    """Let a lease begin now, as shown now: the one place where its times are set."""
    assignment.leased_at = assignment.shown_at = now
    assignment.expires_at = now + lease


def fresh_token() -> str:
    """A token that tells nothing: of an assignment, or of a repeat, which looks like one."""
    return secrets.token_urlsafe(32)


def draw_placement(others: Iterable[Assignment]) -> int:
    """+1 or −1 by the operating system's randomness, leaning to what was shown less often.

    A comparison judged an even number of times is thus seen as often one way round as the other,
    and nobody can foresee the first.

    Args:
        others: The assignments of the same comparison so far.
    """
    lean = sum(each.placement for each in others if each.seat)
    if lean:
        return -1 if lean > 0 else 1
    return secrets.choice((-1, 1))


def still_open(session: Session, comparison_id: int) -> bool:
    """Whether the comparison's batch hands out work."""
    state = session.scalar(
        select(Batch.state)
        .join(Comparison, Comparison.batch_id == Batch.id)
        .where(Comparison.id == comparison_id)
    )
    return state is BatchState.OPEN


def _try_next(session: Session, annotator_id: int, batch_id: int | None) -> int:
    me = {"annotator": annotator_id}
    last = session.execute(_LAST_PLACES, me).tuples().all()
    for each, ranked_at in session.execute(_OPEN_BATCHES, me).tuples():
        if batch_id not in {None, each}:
            continue
        rank, after = _place_in(last, each, ranked_at)
        place = {"batch": each, "rank": rank, "after": after, **me}
        ways = (_NEXT_OF_RANK, _NEXT_OF_LATER_RANKS, _NEXT) if after else (_NEXT,)
        for query in ways:
            found = session.scalar(query, place)
            if found is not None and take_seat(session, found):
                return found
    return 0


def _place_in(
    last: Sequence[tuple[int, int, int, datetime]], batch_id: int, ranked_at: datetime | None
) -> tuple[int, int]:
    """After an annotator's latest pair in a batch, or its start where it was ranked since."""
    for batch, rank, comparison_id, leased_at in last:
        if batch == batch_id:
            fresh = ranked_at is None or leased_at > ranked_at
            return (rank, comparison_id) if fresh else FIRST
    return FIRST


def _anything_left(session: Session, annotator_id: int, batch_id: int | None) -> bool:
    return session.scalar(open_for(annotator_id, batch_id).limit(1)) is not None


def refuse_away(since: datetime, now: datetime) -> None:
    """Keep a pair no longer than ``LONGEST`` without an answer.

    Raises:
        Away: It was kept that long.
    """
    if now >= since + LONGEST:
        raise Away("You were away, so this pair is kept for you no longer. Go on when you like.")


def now_or(now: datetime | None) -> datetime:
    """The given moment, or the present one."""
    return now if now is not None else utcnow()
