"""Undo and revise: showing an annotator again what was judged. The judgments themselves stay."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import extra_judgments, repeat_answers, repeats, returns
from db.batches import SWAPPED
from db.errors import NotFound, Refused
from db.leases import (
    LEASE,
    let_go,
    live_lease,
    lock_annotator,
    new_assignment,
    now_or,
)
from db.models import Assignment, AssignmentState, Judgment, Retraction
from db.pausing import refuse_paused
from db.shown import Shown, show


def undo(
    session: Session,
    annotator_id: int,
    *,
    now: datetime | None = None,
    since: datetime | None = None,
) -> Shown:
    """Take back today's last judgment and show the same pair again, the same way round.

    The judgment itself stays in the ledger, retracted. What the annotator holds now goes back to
    the queue.

    Args:
        session: The session.
        annotator_id: Whose.
        now: The moment (UTC); None for the present.
        since: When their day began (UTC); None for midnight UTC.

    Raises:
        Refused: There is nothing of today to undo.
    """
    moment = now_or(now)
    refuse_paused(lock_annotator(session, annotator_id))
    midnight = since or moment.replace(hour=0, minute=0, second=0, microsecond=0)
    last = session.execute(
        select(Judgment, Assignment)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .where(
            Judgment.annotator_id == annotator_id,
            Judgment.created_at >= midnight,
            Assignment.state == AssignmentState.JUDGED,
        )
        .order_by(Judgment.created_at.desc(), Judgment.id.desc())
        .limit(1)
    ).first()
    since = midnight if last is None else max(midnight, last[0].created_at)
    repeat = repeat_answers.last_answered(session, annotator_id, since)
    if repeat is not None:
        _set_aside(session, annotator_id)
        return repeats.ask_again(session, repeat, moment)
    if last is None:
        raise Refused("There is nothing to undo: you have not judged a pair today.")
    judgment, assignment = last.tuple()
    _lock_both(session, annotator_id, judgment.comparison_id)
    _set_aside(session, annotator_id)
    session.add(Retraction(judgment_id=judgment.id, reason="undone", created_at=moment))
    returns.answered(session, judgment.id, moment)
    held = assignment.seat
    assignment.seat = False
    assignment.state = AssignmentState.WITHDRAWN
    session.flush()
    made = _again(session, assignment, judgment, moment, seat=held)
    extra_judgments.settle(session, judgment.comparison_id)
    return made


def revise(
    session: Session, annotator_id: int, judgment_id: int, *, now: datetime | None = None
) -> Shown:
    """Show a pair again that this annotator judged. The old answer stands until the new one.

    Raises:
        NotFound: No such judgment.
        Refused: It is somebody else's, or no longer the one that stands.
    """
    moment = now_or(now)
    refuse_paused(lock_annotator(session, annotator_id))
    judgment = session.get(Judgment, judgment_id)
    if judgment is None:
        raise NotFound("That judgment does not exist.")
    if judgment.annotator_id != annotator_id:
        raise Refused("That judgment is somebody else's; you can revise your own.")
    assignment = session.get_one(Assignment, judgment.assignment_id)
    if assignment.state is not AssignmentState.JUDGED:
        raise Refused("You changed that answer already; revise the newer one.")
    _set_aside(session, annotator_id)
    return _again(session, assignment, judgment, moment, seat=False)


def revise_repeat(
    session: Session, annotator_id: int, token: str, *, now: datetime | None = None
) -> Shown:
    """Show a repeat again that this annotator answered, to be answered anew.

    Raises:
        NotFound: No such pair.
        Refused: It is somebody else's, or no longer the answer that counts.
    """
    moment = now_or(now)
    refuse_paused(lock_annotator(session, annotator_id))
    made = repeats.change(session, annotator_id, token, moment)
    _set_aside(session, annotator_id)
    return made


def _lock_both(session: Session, annotator_id: int, comparison_id: int) -> None:
    """Lock the pair to show again and the one that goes back, in the order of their ids."""
    held = live_lease(session, annotator_id)
    if held is not None:
        extra_judgments.lock(session, comparison_id, held.comparison_id)


def _set_aside(session: Session, annotator_id: int) -> None:
    held = live_lease(session, annotator_id)
    if held is not None:
        let_go(session, held, AssignmentState.RELEASED)


def _again(
    session: Session, assignment: Assignment, judgment: Judgment, now: datetime, *, seat: bool
) -> Shown:
    latest = session.scalar(
        select(Assignment)
        .where(
            Assignment.comparison_id == assignment.comparison_id,
            Assignment.annotator_id == assignment.annotator_id,
        )
        .order_by(Assignment.attempt.desc())
        .limit(1)
    )
    assert latest is not None
    made = new_assignment(
        session,
        comparison_id=assignment.comparison_id,
        annotator_id=assignment.annotator_id,
        attempt=latest.attempt + 1,
        placement=assignment.placement,
        now=now,
        lease=LEASE,
        seat=seat,
    )
    verdict = judgment.verdict if made.placement > 0 else SWAPPED[judgment.verdict]
    return show(session, made, previous=verdict)
