"""Own earlier pairs, shown again mirrored, to see whether the answer is the same.

A repeat is a row of its own and never a judgment: no rating, count or training sees it. To whoever
judges it behaves as any pair: one token, one answer, a dwell, skip, undo, a reload. It takes no
seat and so no lease: it waits for its annotator until it is answered. Undone and answered again, a
repeat has several rows for one judgment, of which the newest counts. Knows no page.
"""

from datetime import datetime, timedelta

from sqlalchemy import desc, select
from sqlalchemy.orm import Session, aliased

from db import repeat_answers
from db.batches import SWAPPED
from db.errors import AlreadyJudged, LeaseLost, NotFound, Refused, TooSoon
from db.fates import number
from db.leases import LEASE, fresh_token, refuse_away
from db.models import (
    Assignment,
    Batch,
    Comparison,
    Flag,
    Judgment,
    Repeat,
    Retraction,
    Verdict,
)
from db.shown import Shown, min_dwell_ms, show, texts
from db.texts import storable

GAP = 20
"""Answers of one's own that lie between a pair and its repeat, at least."""
REACH = 60
"""How many answers beyond the gap a repeat is chosen from."""


def held(session: Session, annotator_id: int, now: datetime) -> Shown | None:
    """The repeat that this annotator has not answered yet, to be shown again; None without one."""
    found = _open(session, annotator_id)
    if found is None:
        return None
    if not session.get_one(Comparison, found.comparison_id).overlap:
        found.answered_at = now  # set aside or taken back meanwhile: it ends unanswered
        session.flush()
        return None
    if found.shown_at < now - LEASE:
        found.shown_at = now
        session.flush()
    return shown(session, found)


def next_for(
    session: Session, annotator_id: int, key: bytes, slot: int, now: datetime
) -> Shown | None:
    """A repeat of one of this annotator's answers, at least ``GAP`` ago; None where there is none.

    Args:
        session: The session.
        annotator_id: Who.
        key: What the choice is made by.
        slot: The number of the pair in the day.
        now: The moment (UTC).
    """
    again = aliased(Repeat)
    recent = (
        select(Judgment.id)
        .where(Judgment.annotator_id == annotator_id)
        .order_by(desc(Judgment.created_at), desc(Judgment.id))
        .offset(GAP)
        .limit(REACH)
        .subquery()
    )
    query = (
        select(Judgment.id, Judgment.comparison_id, Judgment.placement)
        .join(recent, recent.c.id == Judgment.id)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(
            Retraction.judgment_id.is_(None),
            Judgment.placement != 0,
            Judgment.source == "page",
            Comparison.overlap > 0,
            Comparison.gold.is_(None),
            Batch.purpose == "work",
            ~select(again.id)
            .where(again.annotator_id == annotator_id, again.comparison_id == Comparison.id)
            .exists(),
        )
        .order_by(Judgment.id)
    )
    found = session.execute(query).tuples().all()
    if not found:
        return None
    judgment, comparison, placement = found[number(key, "which", slot) % len(found)]
    return shown(session, _put(session, annotator_id, comparison, judgment, -placement, now))


def answer(
    session: Session,
    token: str,
    annotator_id: int,
    verdict: Verdict,
    strength: int | None,
    now: datetime,
    *,
    min_dwell: bool = True,
    flag: str | None = None,
    comment: str | None = None,
) -> Repeat:
    """Store the one answer to a repeat; the words and refusals are those of any pair.

    A flag is kept for the admin all the same, with the first judgment of the pair.

    Args:
        session: The session, the annotator locked.
        token: As shown.
        annotator_id: Who.
        verdict: In shown order.
        strength: 1, 2 or None.
        now: The moment (UTC).
        min_dwell: Whether an answer that comes too soon is refused.
        flag: What is wrong with the pair.
        comment: Kept only as the flag's note.

    Raises:
        NotFound: No such pair.
        Refused: Somebody else's, or skipped.
        AlreadyJudged: It has its answer.
        TooSoon: Nobody could have read both responses yet.
    """
    found = _mine(session, token, annotator_id)
    if found.answered_at is not None:
        if found.verdict is None:
            raise Refused(
                "You skipped this pair, so it went to somebody else. Nothing was changed."
            )
        raise AlreadyJudged("You already judged this pair. Your first answer is saved.")
    dwell_ms = int((now - found.shown_at).total_seconds() * 1000)
    if min_dwell and dwell_ms < min_dwell_ms(*texts(session, found.comparison_id)):
        raise TooSoon(
            "That was quick! Please take a moment to read both responses, then answer again."
        )
    decided = verdict in {Verdict.A, Verdict.B}
    found.verdict = verdict if found.placement > 0 else SWAPPED[verdict]
    found.strength = (strength or 1) if decided else None
    found.dwell_ms = max(dwell_ms, 0)
    found.answered_at = now
    if flag:
        session.add(
            Flag(
                comparison_id=found.comparison_id,
                annotator_id=annotator_id,
                judgment_id=found.judgment_id,
                kind=storable(flag),
                note=storable(comment) if comment else None,
                created_at=now,
            )
        )
    session.flush()
    return found


def skip(session: Session, token: str, annotator_id: int, now: datetime) -> None:
    """End a repeat without an answer; it does not come back. Safe to repeat.

    Raises:
        NotFound: No such pair.
        Refused: Somebody else's.
        AlreadyJudged: It has its answer.
    """
    found = _mine(session, token, annotator_id)
    if found.verdict is not None:
        raise AlreadyJudged("You already judged this pair, so it cannot be skipped any more.")
    if found.answered_at is None:
        found.answered_at = now
        session.flush()


def renew(
    session: Session, token: str, annotator_id: int, now: datetime, lease: timedelta
) -> datetime:
    """When a repeat that is still open would run out, if it did; in time the words of any pair.

    Raises:
        NotFound: No such pair.
        Away: It was kept for two hours, and nobody answered.
        LeaseLost: It was answered or skipped.
    """
    found = _mine(session, token, annotator_id)
    if found.answered_at is not None:
        raise LeaseLost("This pair is not kept for you any more. Here is the next one.")
    refuse_away(found.shown_at, now)
    return now + lease


def known(session: Session, token: str, annotator_id: int) -> None:
    """Refuse a token that is no pair of this annotator.

    Raises:
        NotFound: No such pair.
        Refused: Somebody else's.
    """
    _mine(session, token, annotator_id)


def ask_again(session: Session, repeat: Repeat, now: datetime) -> Shown:
    """Show a repeat once more, the same way round, because its annotator takes the answer back.

    Another repeat that waits is given up, so that at most one is open.
    """
    waiting = _open(session, repeat.annotator_id)
    if waiting is not None:
        waiting.answered_at = now
        session.flush()
    made = _put(
        session,
        repeat.annotator_id,
        repeat.comparison_id,
        repeat.judgment_id,
        repeat.placement,
        now,
    )
    return shown(session, made)


def change(session: Session, annotator_id: int, token: str, now: datetime) -> Shown:
    """Show an answered repeat again, to be answered anew.

    Raises:
        NotFound: No such pair.
        Refused: It is somebody else's, or not the answer that counts.
    """
    found = _mine(session, token, annotator_id)
    if found.id not in {each.id for each in repeat_answers.answers_of(session, annotator_id)}:
        raise Refused("You changed that answer already; revise the newer one.")
    return ask_again(session, found, now)


def shown(session: Session, repeat: Repeat) -> Shown:
    """What a repeat shows: as any pair, with its own token."""
    before = session.scalar(
        select(Repeat.verdict)
        .where(Repeat.judgment_id == repeat.judgment_id, Repeat.id < repeat.id)
        .order_by(desc(Repeat.id))
        .limit(1)
    )
    like = Assignment(  # never stored: what is shown is made from an assignment's fields
        token=repeat.token,
        comparison_id=repeat.comparison_id,
        placement=repeat.placement,
        attempt=1 if before is None else 2,
        shown_at=repeat.shown_at,
        expires_at=repeat.shown_at + LEASE,
    )
    if before is not None and repeat.placement < 0:
        before = SWAPPED[before]
    return show(session, like, previous=before)


def waits(session: Session, annotator_id: int) -> bool:
    """Whether this annotator has a repeat that is not answered."""
    return _open(session, annotator_id) is not None


def _open(session: Session, annotator_id: int) -> Repeat | None:
    return session.scalar(
        select(Repeat).where(Repeat.annotator_id == annotator_id, Repeat.answered_at.is_(None))
    )


def _mine(session: Session, token: str, annotator_id: int) -> Repeat:
    found = session.scalar(
        select(Repeat).where(Repeat.token == token).execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound("This pair is not known here. Reload the page for the next one.")
    if found.annotator_id != annotator_id:
        raise Refused("This pair was shown to somebody else. Reload the page for your own.")
    return found


def _put(
    session: Session,
    annotator_id: int,
    comparison_id: int,
    judgment_id: int,
    placement: int,
    now: datetime,
) -> Repeat:
    made = Repeat(
        token=fresh_token(),
        annotator_id=annotator_id,
        comparison_id=comparison_id,
        judgment_id=judgment_id,
        placement=placement,
        shown_at=now,
    )
    session.add(made)
    session.flush()
    return made
