"""What an annotator sees of the own work: the day, the history, why nothing is left."""

from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from db import eligibility, mixing, repeat_answers
from db.batches import SWAPPED
from db.eligibility import open_for
from db.leases import now_or
from db.models import (
    Annotator,
    Assignment,
    AssignmentState,
    Batch,
    BatchState,
    Comparison,
    Judgment,
    Persona,
    Retraction,
    Verdict,
)
from db.onboarding import step

REMAINING_COUNTED = 1000
"""``remaining`` stops counting here, so that a page costs the same with a million comparisons."""
LONGEST_LOOK_MS = 5 * 60 * 1000
"""A pair left open over lunch counts as five minutes of work."""
PACE_AFTER = 3
"""Pairs of a day before a pace is told."""


@dataclass(frozen=True)
class MyDay:
    """An annotator's day.

    Attributes:
        judged_today: Standing judgments given since the day began.
        minutes_today: Time spent on them, in minutes, at most five for each.
        judged_total: Standing judgments ever.
        remaining: Pairs that could be given to this annotator now, counted up to 1,000.
        pace_s: Median seconds a pair today; None before there are ``PACE_AFTER``.
    """

    judged_today: int
    minutes_today: float
    judged_total: int
    remaining: int
    pace_s: float | None = None


@dataclass(frozen=True)
class Past:
    """One of an annotator's own judgments, in the order in which it was shown.

    Attributes:
        judgment_id: To revise it.
        created_at: When (UTC).
        persona_name: Who it should have sounded like.
        messages: The conversation.
        response_a: What was shown first.
        response_b: What was shown second.
        verdict: The answer, in shown order.
        strength: 1 or 2; None for tie and both bad.
        comment: The comment.
        tags: The reasons.
        stands: False where it was undone or revised.
        token: Opaque, the only id of it that may reach a browser.
        is_repeat: Whether it is the answer to a repeat, which is no judgment.
        flag: What was flagged.
        in_character: ``yes``, ``no``, ``unsure``, or None where it was left open.
        helpful: Likewise.
        safe: Likewise.
    """

    judgment_id: int
    created_at: datetime
    persona_name: str
    messages: list[dict[str, Any]]
    response_a: str
    response_b: str
    verdict: Verdict
    strength: int | None
    comment: str | None
    tags: list[str]
    stands: bool
    flag: str | None = None
    in_character: str | None = None
    helpful: str | None = None
    safe: str | None = None
    token: str = ""
    is_repeat: bool = False


def my_day(
    session: Session,
    annotator_id: int,
    *,
    now: datetime | None = None,
    since: datetime | None = None,
) -> MyDay:
    """How much this annotator did today and altogether, and what is left.

    Args:
        session: The session.
        annotator_id: Whose day.
        now: The moment (UTC); None for the present.
        since: When their day began (UTC); None for midnight UTC.
    """
    moment = now_or(now)
    midnight = since or moment.replace(hour=0, minute=0, second=0, microsecond=0)
    dwells = session.scalars(
        select(Judgment.dwell_ms)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .where(
            Judgment.annotator_id == annotator_id,
            Judgment.created_at >= midnight,
            Assignment.state == AssignmentState.JUDGED,
        )
    ).all()
    total = session.scalar(
        select(func.count()).where(
            Assignment.annotator_id == annotator_id, Assignment.state == AssignmentState.JUDGED
        )
    )
    open_ids = open_for(annotator_id).limit(REMAINING_COUNTED).subquery()
    remaining = session.scalar(select(func.count()).select_from(open_ids))
    dwells = [*dwells, *repeat_answers.dwells_since(session, annotator_id, midnight)]
    judged = (total or 0) + repeat_answers.count(session, annotator_id)
    return MyDay(
        judged_today=len(dwells),
        minutes_today=sum(min(ms or 0, LONGEST_LOOK_MS) for ms in dwells) / 60000,
        judged_total=judged,
        remaining=mixing.remaining(session, annotator_id, remaining or 0, judged, moment)
        if (remaining or 0) < REMAINING_COUNTED
        else REMAINING_COUNTED,
        pace_s=_pace([ms for ms in dwells if ms is not None]),
    )


def my_history(session: Session, annotator_id: int, limit: int = 50) -> list[Past]:
    """The annotator's own latest judgments, newest first, retracted ones marked."""
    rows = session.execute(
        select(
            Judgment, Comparison, Persona.name, Retraction.judgment_id.is_(None), Assignment.token
        )
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .outerjoin(Persona, Persona.slug == Comparison.persona_slug)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(Judgment.annotator_id == annotator_id)
        .order_by(Judgment.created_at.desc(), Judgment.id.desc())
        .limit(limit)
        .options(
            joinedload(Comparison.prompt),
            joinedload(Comparison.candidate_a),
            joinedload(Comparison.candidate_b),
        )
    ).all()
    past: list[Past] = []
    for judgment, comparison, persona_name, stands, token in rows:
        texts = comparison.candidate_a.text, comparison.candidate_b.text
        verdict = judgment.verdict
        if judgment.placement < 0:
            texts, verdict = (texts[1], texts[0]), SWAPPED[verdict]
        past.append(
            Past(
                judgment_id=judgment.id,
                created_at=judgment.created_at,
                persona_name=persona_name or "",
                messages=list(comparison.prompt.messages),
                response_a=texts[0],
                response_b=texts[1],
                verdict=verdict,
                strength=judgment.strength,
                comment=judgment.comment,
                tags=[str(tag) for tag in judgment.tags],
                stands=stands,
                flag=judgment.flag,
                in_character=judgment.in_character,
                helpful=judgment.helpful,
                safe=judgment.safe,
                token=token,
            )
        )
    past += _repeated(session, annotator_id, limit)
    return sorted(past, key=lambda each: each.created_at, reverse=True)[:limit]


def _repeated(session: Session, annotator_id: int, limit: int) -> list[Past]:
    """Answers to repeats: to their annotator they are answers like any other."""
    answers = repeat_answers.answers_of(session, annotator_id, limit)
    pairs = repeat_answers.pairs_of(session, answers)
    past: list[Past] = []
    for each in answers:
        comparison, persona_name = pairs[each.comparison_id]
        texts, verdict = (comparison.candidate_a.text, comparison.candidate_b.text), each.verdict
        assert verdict is not None and each.answered_at is not None
        if each.placement < 0:
            texts, verdict = (texts[1], texts[0]), SWAPPED[verdict]
        past.append(
            Past(
                judgment_id=each.judgment_id,
                created_at=each.answered_at,
                persona_name=persona_name,
                messages=list(comparison.prompt.messages),
                response_a=texts[0],
                response_b=texts[1],
                verdict=verdict,
                strength=each.strength,
                comment=None,
                tags=[],
                stands=True,
                token=each.token,
                is_repeat=True,
            )
        )
    return past


def why_nothing(session: Session, annotator_id: int) -> str:
    """Why there is no pair for this annotator now, in kind words with what to do."""
    person = session.get(Annotator, annotator_id)
    if person is not None and person.paused_at is not None:
        why = f" ({person.paused_reason})" if person.paused_reason else ""
        return (
            f"No pairs are handed to you at the moment{why}. What you judged is saved. The person"
            " who invited you knows, and can let you go on."
        )
    if step(session, annotator_id).must:
        return "There is something to read first: reload the page."
    if session.scalar(open_for(annotator_id).limit(1)) is not None:
        return "There is a pair for you now: reload the page."
    if session.scalar(select(Batch.id).limit(1)) is None:
        return (
            "Nothing has been prepared for judging yet. The person who invited you can make the"
            " first pairs with `personaloop generate`."
        )
    leased = eligibility.leased_by_others(session, annotator_id)
    mine = session.scalar(
        select(func.count()).where(
            Assignment.annotator_id == annotator_id, Assignment.state == AssignmentState.JUDGED
        )
    )
    pairs = "1 pair" if mine == 1 else f"{mine} pairs"
    thanks = f"You judged {pairs} so far: thank you! " if mine else ""
    if leased:
        return (
            f"{thanks}The last pairs are with other people right now ({leased} open). If one of"
            " them comes back it will appear here; look in again in a few minutes."
        )
    if eligibility.own_left(session, annotator_id):
        return (
            f"{thanks}What is open holds replies that you wrote, so somebody else's eyes are"
            " needed. New pairs come with the next round."
        )
    if eligibility.for_others_to_see(session, annotator_id):
        return (
            f"{thanks}You have seen every pair that is open. The rest needs somebody else's eyes,"
            " because each pair is judged by different people."
        )
    if eligibility.for_named_others(session, annotator_id):
        return (
            f"{thanks}The pairs that are open are set aside for certain people. New ones for"
            " everybody come with the next round."
        )
    paused = session.scalar(select(Batch.id).where(Batch.state == BatchState.PAUSED).limit(1))
    if paused is not None:
        return f"{thanks}Judging is paused for the moment. Nothing is lost; come back later."
    return f"{thanks}Every pair has all its judgments. New ones come with the next round."


def _pace(dwells: list[int]) -> float | None:
    """Median seconds a pair."""
    return None if len(dwells) < PACE_AFTER else median(dwells) / 1000
