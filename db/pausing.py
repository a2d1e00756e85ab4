"""When judging is paused for somebody, by the rule on gold or by an admin, and how it goes on.

The rule: after each gold answer the evidence that somebody guesses is looked at, over all gold
answers since they began (or were last resumed); at 20 they are paused. Somebody who is right at
least 75 % of the time is ever paused in at most 5 % of careers, however long, because the evidence
is a bet that they can only win by guessing (``preference.guessing``): 6 wrong of the first 6 pause,
8 of the first 10, and a coin after some 20. The first answer to a gold pair counts, undone or not.
Knows no page.
"""

from collections.abc import Sequence
from datetime import datetime

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
from preference.guessing import evidence_of_guessing

STRONG = 20.0
"""Evidence at which somebody is paused: reached by chance in at most 1 of 20 careers."""
ANSWERS_BACK = 5000
"""Answers among which the gold ones are looked for: 250 gold pairs where one in twenty is gold."""
BY_RULE = "personaloop"
"""Who pauses by the rule, in the audit log."""
PAUSED = "paused"
"""The kind of the notice."""


def fails(answers: Sequence[bool]) -> bool:
    """Whether these gold answers, the oldest first, mean a pause now."""
    return bool(answers) and float(evidence_of_guessing(answers)[-1]) >= STRONG


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
    if not fails(answers[::-1]):
        return False
    right = sum(answers)
    pause(
        session,
        person,
        f"Of your {len(answers)} answers to pairs whose better reply is known, {right}"
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
        f"paused by the rule on gold: {right} of {len(answers)} gold answers were right",
        now=now,
    )
    return True


def latest_gold(session: Session, annotator_id: int) -> list[bool]:
    """Whether each gold answer since the last resume was right, newest first."""
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
