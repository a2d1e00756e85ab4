"""When judging is paused for somebody, by the rule on gold or by an admin, and how it goes on.

The rule: an annotator is paused when the gold answers since they began (or were last resumed), the
latest 20 at most and at least 5, are so seldom right that somebody who is right 60 % of the time
would do as badly in at most 5 % of cases (exact binomial test): 0 right of 5, 1 of 6, 2 of 8, 4 of
13, 7 of 20. The first answer to a gold pair counts, undone or not. Knows no page.
"""

from datetime import datetime
from math import comb

from sqlalchemy import desc, func, select
from sqlalchemy.orm import Session

from db import audit, notices
from db.clock import utcnow
from db.errors import Paused, Refused
from db.leases import let_go, live_lease
from db.models import (
    Annotator,
    Assignment,
    AssignmentState,
    Comparison,
    Judgment,
    Notice,
)

LEAST = 5
"""Gold answers before which nobody is paused."""
LATEST = 20
"""Gold answers that the rule looks at."""
FLOOR = 0.6
"""A share right at which nobody should be paused."""
LEVEL = 0.05
"""How often somebody at the floor may do as badly."""
ANSWERS_BACK = 2000
"""Answers among which the gold ones are looked for."""
BY_RULE = "personaloop"
"""Who pauses by the rule, in the audit log."""
PAUSED = "paused"
"""The kind of the notice."""


def fails(right: int, of: int) -> bool:
    """Whether so few right answers mean a pause: P(X ≤ right) ≤ 5 % for X binomial(of, 0.6)."""
    if of < LEAST:
        return False
    chance = sum(comb(of, k) * FLOOR**k * (1 - FLOOR) ** (of - k) for k in range(right + 1))
    return chance <= LEVEL


def refuse_paused(person: Annotator) -> None:
    """Stop what would hand out a pair while its annotator is paused.

    Raises:
        Paused: In words for the person: what happened, and whom to ask.
    """
    if person.paused_at is None:
        return
    because = f" {person.paused_reason}" if person.paused_reason else ""
    raise Paused(
        f"Judging is paused for you.{because} Everything you answered is saved. Please ask the"
        " person who invited you; as soon as they let you go on, your next pair appears here."
    )


def after_gold(session: Session, person: Annotator, now: datetime) -> bool:
    """Look at the gold answers of somebody who just gave one, and pause them where the rule says.

    Args:
        session: The session, the new judgment flushed.
        person: Who.
        now: The moment (UTC).

    Returns:
        Whether they are paused now.
    """
    if person.paused_at is not None:
        return True
    answers = latest_gold(session, person.id)
    right = sum(answers)
    if not fails(right, len(answers)):
        return False
    pause(
        session,
        person,
        f"Of your last {len(answers)} answers to pairs whose better reply is known, {right}"
        f" {'was' if right == 1 else 'were'} as expected, so let us talk it over first.",
        actor=BY_RULE,
        now=now,
        right=right,
        of=len(answers),
    )
    notices.tell(
        session,
        PAUSED,
        subject(person),
        f"paused by the rule on gold: {right} of the last {len(answers)} gold answers were right",
        now=now,
    )
    return True


def latest_gold(session: Session, annotator_id: int) -> list[bool]:
    """Whether each of the latest gold answers was right, newest first, since the last resume."""
    recent = (
        select(Judgment.id)
        .where(Judgment.annotator_id == annotator_id)
        .order_by(desc(Judgment.created_at))
        .limit(ANSWERS_BACK)
        .subquery()
    )
    query = (
        select(Judgment.verdict, Comparison.gold)
        .join(recent, recent.c.id == Judgment.id)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .where(Comparison.gold.is_not(None), Assignment.attempt == 1)
        .order_by(desc(Judgment.created_at), desc(Judgment.id))
        .limit(LATEST)
    )
    since = session.scalar(
        select(func.max(Notice.seen_at)).where(
            Notice.kind == PAUSED, Notice.subject == f"annotator {annotator_id}"
        )
    )
    if since is not None:
        query = query.where(Judgment.created_at > since)
    return [verdict == gold for verdict, gold in session.execute(query).tuples()]


def pause(
    session: Session,
    person: Annotator,
    reason: str,
    *,
    actor: str,
    now: datetime | None = None,
    **detail: int,
) -> None:
    """Hand this person no pair any more; what they hold goes back. They may still sign in.

    Args:
        session: The session.
        person: Who.
        reason: In words for that person, as a sentence.
        actor: Who pauses; ``personaloop`` where it is the rule.
        now: The moment (UTC); None for the present.
        detail: Numbers for the audit log.

    Raises:
        Refused: They are paused already.
    """
    if person.paused_at is not None:
        raise Refused(f"{person.name} is paused already; `personaloop users resume` ends it")
    person.paused_at = now or utcnow()
    person.paused_reason = reason.strip() or None
    session.flush()
    held = live_lease(session, person.id)
    if held is not None:
        let_go(session, held, AssignmentState.RELEASED)
    audit.record(session, actor, "pause", person.name, **detail)


def resume(session: Session, person: Annotator, *, actor: str, now: datetime | None = None) -> None:
    """Let this person judge again, with a clean sheet: earlier gold answers pause them no more.

    Raises:
        Refused: They are not paused.
    """
    if person.paused_at is None:
        raise Refused(f"{person.name} is not paused")
    moment = now or utcnow()
    person.paused_at = None
    person.paused_reason = None
    # When the newest notice was put away is where the rule begins to count again.
    told = [each for each in notices.open_(session, PAUSED) if each.subject == subject(person)]
    for each in told or [notices.tell(session, PAUSED, subject(person), "resumed", now=moment)]:
        notices.put_away(session, each.id, actor, now=moment)
    audit.record(session, actor, "resume", person.name)


def subject(person: Annotator) -> str:
    """How notices speak of a person: by id, so that an erased name is in none."""
    return f"annotator {person.id}"
