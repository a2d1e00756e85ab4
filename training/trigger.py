"""When a persona is due for a retraining: enough that is new, or old enough, and not too soon.

Knows the rule, and the ledger's runs and jobs. Does not know whether the judgments are any good
(preference/readiness.py) nor queues anything (training/tick.py). What is new is what no finished
run of the persona has seen, promoted or not: a rejected round waits for new judgments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Job, JobKind, JobState, Judgment, Run, SnapshotJudgment
from training.job_config import JobConfig
from training.pairs import PreferencePair

PART = 5000


@dataclass(frozen=True)
class Fresh:
    """What no run of a persona has seen.

    Attributes:
        pairs: usable pairs with such a judgment.
        prompts: their different prompts.
        oldest: when the oldest such judgment was made (UTC); None where there is none.
    """

    pairs: int
    prompts: int
    oldest: datetime | None


@dataclass(frozen=True)
class Due:
    """Whether a retraining is due, and why or why not in words."""

    now: bool
    words: str


def due(
    fresh: Fresh,
    last_ended: datetime | None,
    config: JobConfig,
    now: datetime,
    *,
    there: str = "",
) -> Due:
    """The rule: (enough pairs and prompts, or old enough) and the cooldown is over.

    Args:
        fresh: what is new.
        last_ended: when the persona's last retraining ended, whatever came of it; None for never.
        config: the numbers.
        now: the moment (UTC).
        there: what is new, in words; "" says its pairs and prompts.
    """
    there = there or f"{_many(fresh.pairs, 'new pair')} on {_many(fresh.prompts, 'prompt')}"
    if fresh.pairs == 0 or fresh.oldest is None:
        return Due(False, "nothing new to train on since the last run")
    if last_ended is not None:
        ready_at = last_ended + timedelta(hours=config.cooldown_hours)
        if now < ready_at:
            left = hours((ready_at - now).total_seconds() / 3600)
            return Due(False, f"the last retraining ended a short while ago, {left} to wait")
    if fresh.pairs >= config.pairs and fresh.prompts >= config.prompts:
        return Due(True, there)
    age = (now - fresh.oldest).total_seconds() / 3600
    if config.age_hours and age >= config.age_hours:
        return Due(True, f"{there}, the oldest judgment {hours(age)} old")
    wanted = f"{config.pairs} pairs on {config.prompts} prompts are wanted"
    if config.age_hours:
        wanted += f", or any in {hours(config.age_hours - age)}"
    return Due(False, f"{there}; {wanted}")


def fresh_of(pairs: Sequence[PreferencePair], seen: set[int], made: dict[int, datetime]) -> Fresh:
    """What of a set of pairs is new.

    Args:
        pairs: that a run would train on.
        seen: judgments that finished runs have seen.
        made: when each judgment that is not among these was made.
    """
    new = [pair for pair in pairs if not seen.issuperset(pair.judgments)]
    times = [made[each] for pair in new for each in pair.judgments if each in made]
    return Fresh(len(new), len({pair.prompt for pair in new}), min(times, default=None))


def seen_by_runs(session: Session, persona: str) -> set[int]:
    """Judgments that a finished retraining of the persona was given; counterfactual ones aside."""
    runs = session.scalars(
        select(Run).where(
            Run.persona_slug == persona,
            Run.kind == JobKind.RETRAIN,
            Run.state == JobState.DONE,
            Run.job_id.is_not(None),
        )
    )
    # An empty list of excluded annotators may be stored as JSON's null: not told apart by SQL.
    given = {run.snapshot_id for run in runs if not run.excluded}
    query = select(SnapshotJudgment.judgment_id).where(SnapshotJudgment.snapshot_id.in_(given))
    return set(session.scalars(query.distinct()))


def made_at(session: Session, ids: Sequence[int]) -> dict[int, datetime]:
    """When each judgment was made (UTC)."""
    found: dict[int, datetime] = {}
    query = select(Judgment.id, Judgment.created_at)
    for start in range(0, len(ids), PART):
        part = ids[start : start + PART]
        found.update(session.execute(query.where(Judgment.id.in_(part))).tuples().all())
    return found


def last_retraining(session: Session, persona: str) -> Job | None:
    """The persona's newest retrain job."""
    return session.scalar(
        select(Job)
        .where(Job.kind == JobKind.RETRAIN, Job.persona_slug == persona)
        .order_by(Job.id.desc())
        .limit(1)
    )


def hours(number: float) -> str:
    """A time for people."""
    if number < 1:
        return _many(max(1, round(number * 60)), "minute")
    return _many(round(number), "hour") if number < 48 else _many(round(number / 24), "day")


def _many(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
