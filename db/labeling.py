"""The labeling flow: claim, judge, skip, undo, revise. One judgment an assignment, always.

Verdicts come in SHOWN order (``a`` is Response A on this annotator's page) and are stored in the
comparison's canonical order. Knows nothing of pages; messages are written for the person judging.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import blocks, extra_judgments, gold, mixing, pausing, repeats, returns, set_aside
from db.batches import SWAPPED
from db.errors import AlreadyJudged, LeaseLost, Refused, TooSoon
from db.flags import raise_flag
from db.guidelines import accepted
from db.labeling_day import MyDay, Past, my_day, my_history, why_nothing
from db.leases import (
    LEASE,
    LONGEST,
    begin,
    let_go,
    live_lease,
    lock_annotator,
    now_or,
    reap,
    refuse_away,
    seat_assignment,
    still_open,
    take_next,
    take_seat,
)
from db.models import (
    Assignment,
    AssignmentState,
    Comparison,
    Judgment,
    Repeat,
    Retraction,
    Verdict,
)
from db.second_thoughts import revise, undo
from db.shown import Shown, min_dwell_ms, show, texts
from db.texts import storable

__all__ = [
    "LEASE",
    "MyDay",
    "Past",
    "Shown",
    "claim",
    "judge",
    "min_dwell_ms",
    "my_day",
    "my_history",
    "release",
    "renew",
    "revise",
    "skip",
    "undo",
    "why_nothing",
]

ANSWERS = ("yes", "no", "unsure")
"""Answers to the three optional questions."""


def claim(
    session: Session,
    annotator_id: int,
    *,
    now: datetime | None = None,
    batch_id: int | None = None,
    lease: timedelta = LEASE,
) -> Shown | None:
    """The pair this annotator holds (after a reload), or the next one; None when there is none.

    Never one that this annotator judged or skipped; never more annotators than the overlap. A
    lease whose time ran out is given to the same annotator again as long as nobody else has it.

    Args:
        session: The session.
        annotator_id: Who asks.
        now: The moment (UTC); None for the present.
        batch_id: Only from this batch.
        lease: How long it is kept without a renewal.

    Raises:
        Refused: The account is switched off.
        Paused: No pair is handed to them until an admin lets them go on.
        NotFound: The account does not exist.
        Busy: Too many others are claiming at this moment.
    """
    moment = now_or(now)
    person = lock_annotator(session, annotator_id)
    pausing.refuse_paused(person)
    held = live_lease(session, annotator_id)
    if held is not None:
        if _keep(session, held, batch_id):
            if held.shown_at is None or held.expires_at <= moment:  # given to them, or forgotten
                begin(held, moment, lease)
            held.expires_at = moment + lease
            session.flush()
            return mixing.shown_again(session, held)
        let_go(session, held, AssignmentState.RELEASED)
    if batch_id is None and (waiting := repeats.held(session, annotator_id, moment)):
        return waiting
    reap(session, moment)
    while comparison_id := take_next(session, annotator_id, batch_id, moment):
        if set_aside.caught(session, comparison_id):
            continue
        mixed = mixing.instead_of(session, person, comparison_id, moment) if not batch_id else None
        return mixed or show(
            session, seat_assignment(session, annotator_id, comparison_id, moment, lease)
        )
    return None


def judge(
    session: Session,
    token: str,
    annotator_id: int,
    verdict: Verdict | str,
    *,
    strength: int | None = None,
    comment: str | None = None,
    tags: Iterable[str] = (),
    in_character: str | None = None,
    helpful: str | None = None,
    safe: str | None = None,
    flag: str | None = None,
    now: datetime | None = None,
    min_dwell: bool = True,
    source: str = "page",
) -> Judgment | Repeat:
    """Store the one judgment of an assignment, or the one answer to a repeat.

    Args:
        session: The session.
        token: The assignment's token, as shown.
        annotator_id: Who judges; must be the one it was shown to.
        verdict: ``a`` (Response A), ``b``, ``tie`` or ``both_bad``, in SHOWN order.
        strength: 1 better (also when None) or 2 much better; only for a and b.
        comment: Free text.
        tags: Reasons.
        in_character: ``yes``, ``no`` or ``unsure``.
        helpful: Likewise.
        safe: Likewise.
        flag: What is wrong with the pair (``personal data``, ``unsafe``, ``broken``).
        now: The moment (UTC); None for the present.
        min_dwell: Whether a verdict that comes too soon is refused.
        source: Where it was given.

    Raises:
        AlreadyJudged: This assignment has its judgment; the first one counts.
        TooSoon: Nobody could have read both responses yet.
        LeaseLost: The lease ran out and others took every seat.
        Refused: Somebody else's pair, a skipped one, or a bad value.
        NotFound: No such assignment or account.
    """
    moment = now_or(now)
    chosen = _verdict(verdict, strength)
    person = lock_annotator(session, annotator_id)
    assignment = _find(session, token, annotator_id)
    if assignment is None:
        for name, value in (("in_character", in_character), ("helpful", helpful), ("safe", safe)):
            _answer(name, value)
        return repeats.answer(
            session,
            token,
            annotator_id,
            chosen,
            strength,
            moment,
            min_dwell=min_dwell,
            flag=flag,
            comment=comment,
        )
    if assignment.state in {AssignmentState.JUDGED, AssignmentState.WITHDRAWN}:
        raise AlreadyJudged("You already judged this pair. Your first answer is saved.")
    if assignment.state is AssignmentState.SKIPPED:
        raise Refused("You skipped this pair, so it went to somebody else. Nothing was changed.")
    shown_at = assignment.shown_at or assignment.leased_at
    dwell_ms = int((moment - shown_at).total_seconds() * 1000)
    if min_dwell and dwell_ms < min_dwell_ms(*texts(session, assignment.comparison_id)):
        raise TooSoon(
            "That was quick! Please take a moment to read both responses, then answer again."
        )
    standing = _standing(session, assignment)
    if (
        assignment.state is AssignmentState.RELEASED
        and standing is None
        and not gold.takes_no_seat(session, assignment.comparison_id)
    ):
        if not take_seat(session, assignment.comparison_id):
            raise LeaseLost(
                "This pair was kept for you for a while, then somebody else judged it."
                " Nothing is wrong; here is the next one."
            )
        assignment.seat = True
    if standing is not None:
        earlier, its_assignment = standing
        session.add(Retraction(judgment_id=earlier.id, reason="revised", created_at=moment))
        held = its_assignment.seat
        its_assignment.seat = False
        its_assignment.state = AssignmentState.WITHDRAWN
        session.flush()
        returns.answered(session, earlier.id, moment)
        assignment.seat = held
    assignment.state = AssignmentState.JUDGED
    session.flush()
    if assignment.placement < 0:
        chosen = SWAPPED[chosen]
    decided = chosen in {Verdict.A, Verdict.B}
    made = Judgment(
        assignment_id=assignment.id,
        comparison_id=assignment.comparison_id,
        annotator_id=annotator_id,
        verdict=chosen,
        strength=(strength or 1) if decided else None,
        placement=assignment.placement,
        in_character=_answer("in_character", in_character),
        helpful=_answer("helpful", helpful),
        safe=_answer("safe", safe),
        tags=[storable(tag) for tag in tags],
        comment=storable(comment) if comment else None,
        flag=storable(flag) if flag else None,
        dwell_ms=max(dwell_ms, 0),
        source=source,
        guideline_version=accepted(session, annotator_id),
        created_at=moment,
    )
    session.add(made)
    session.flush()
    if assignment.attempt == 1 and _has_known_answer(session, made.comparison_id):
        pausing.after_gold(session, person, moment)
    if made.flag:
        raise_flag(
            session, made.comparison_id, annotator_id, made.flag, made.comment, judgment_id=made.id
        )
    extra_judgments.settle(session, made.comparison_id)
    if made.id % blocks.EVERY == 0:
        blocks.seal(session)
    return made


def skip(session: Session, token: str, annotator_id: int, reason: str = "") -> None:
    """Give a pair to somebody else for good; it never comes back to this annotator.

    Raises:
        AlreadyJudged: It has a judgment; undo that first.
        Refused: It is somebody else's.
        NotFound: No such assignment.
    """
    lock_annotator(session, annotator_id)
    assignment = _find(session, token, annotator_id)
    if assignment is None:
        repeats.skip(session, token, annotator_id, now_or(None))
        return
    if assignment.state in {AssignmentState.JUDGED, AssignmentState.WITHDRAWN}:
        raise AlreadyJudged("You already judged this pair, so it cannot be skipped any more.")
    if assignment.state is AssignmentState.SKIPPED:
        return
    assignment.skip_reason = storable(reason) if reason else None
    if _standing(session, assignment) is not None:  # a revision given up: the old answer stands
        let_go(session, assignment, AssignmentState.RELEASED)
        return
    let_go(session, assignment, AssignmentState.SKIPPED)


def release(session: Session, token: str, annotator_id: int) -> None:
    """Let a pair go without an answer (sign-out, closed page); it may come back. Safe to repeat."""
    lock_annotator(session, annotator_id)
    assignment = _find(session, token, annotator_id)
    if assignment is None:
        repeats.known(session, token, annotator_id)
    elif assignment.state is AssignmentState.LEASED:
        let_go(session, assignment, AssignmentState.RELEASED)


def renew(
    session: Session,
    token: str,
    annotator_id: int,
    *,
    now: datetime | None = None,
    lease: timedelta = LEASE,
) -> datetime:
    """Keep a pair while the page lives, for two hours at most; returns when it now runs out.

    Raises:
        Away: It was kept for two hours, and nobody answered.
        LeaseLost: It is not held any more.
    """
    assignment = _find(session, token, annotator_id)
    if assignment is None:
        return repeats.renew(session, token, annotator_id, now_or(now), lease)
    if assignment.state is not AssignmentState.LEASED:
        raise LeaseLost("This pair is not kept for you any more. Here is the next one.")
    moment = now_or(now)
    refuse_away(assignment.leased_at, moment)
    assignment.expires_at = min(moment + lease, assignment.leased_at + LONGEST)
    session.flush()
    return assignment.expires_at


def _keep(session: Session, held: Assignment, batch_id: int | None) -> bool:
    """Whether the lease that an annotator holds is the one to show again."""
    if held.attempt > 1:
        return True
    if not still_open(session, held.comparison_id):
        return False
    if batch_id is None:
        return True
    return session.get_one(Comparison, held.comparison_id).batch_id == batch_id


def _has_known_answer(session: Session, comparison_id: int) -> bool:
    query = select(Comparison.gold).where(Comparison.id == comparison_id)
    return session.scalar(query) is not None


def _find(session: Session, token: str, annotator_id: int) -> Assignment | None:
    """The assignment of a token; None where it is none, as a repeat's."""
    found = session.scalar(
        select(Assignment)
        .where(Assignment.token == token)
        .with_for_update(of=Assignment, key_share=True)
        .execution_options(populate_existing=True)
    )
    if found is not None and found.annotator_id != annotator_id:
        raise Refused("This pair was shown to somebody else. Reload the page for your own.")
    return found


def _standing(session: Session, assignment: Assignment) -> tuple[Judgment, Assignment] | None:
    """The annotator's judgment that stands for the same comparison, from an earlier attempt."""
    if assignment.attempt == 1:
        return None
    row = session.execute(
        select(Judgment, Assignment)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .where(
            Assignment.comparison_id == assignment.comparison_id,
            Assignment.annotator_id == assignment.annotator_id,
            Assignment.id != assignment.id,
            Assignment.state == AssignmentState.JUDGED,
        )
    ).first()
    return None if row is None else row.tuple()


def _verdict(verdict: Verdict | str, strength: int | None) -> Verdict:
    try:
        chosen = Verdict(verdict)
    except ValueError:
        raise Refused(f"{verdict!r} is not a verdict; use a, b, tie or both_bad") from None
    if chosen in {Verdict.TIE, Verdict.BOTH_BAD} and strength is not None:
        raise Refused("a tie and both bad have no strength")
    if strength not in {None, 1, 2}:
        raise Refused(f"strength is 1 (better) or 2 (much better), not {strength!r}")
    return chosen


def _answer(name: str, value: str | None) -> str | None:
    if value not in {None, *ANSWERS}:
        raise Refused(f"{name} is yes, no or unsure, not {value!r}")
    return value
