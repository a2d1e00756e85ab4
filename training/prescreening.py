"""A judge before people: a function judges the same pairs first, and is never more than a hint.

Knows the ledger and judges. Does not decide: what the judge clearly finds worse may stop before
people's time is spent, but nothing is promoted by it. Its judgments are stored as automatic, in a
batch of their own that is given to nobody else, so that they never mix with those of people.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import batches, jobs, people
from db.models import (
    AnnotatorKind,
    BatchAnnotator,
    BatchKind,
    BatchState,
    Comparison,
    Job,
    JobKind,
    Round,
    RoundState,
)
from training.blind import batch_judgments
from training.errors import JudgeRefused
from training.evaluation.gate import rated
from training.evaluation.gate_config import GateConfig
from training.evaluation.judges import annotators, judge_name, load_judge
from training.simulation import judge_all

Sessions = sessionmaker[Session]
WAITING = "Not decided: a judge looks at the pairs first; people are asked after it."
NOT_MADE = "not made"


def wanted(decision: Mapping[str, Any], config: GateConfig) -> bool:
    """Whether a judge is configured and has neither judged nor been asked."""
    return bool(config.judge) and not (decision.get("prescreen") or decision.get("prescreen_job"))


def ask(session: Session, current: Round, actor: str) -> dict[str, Any]:
    """Ask for the judge's look, and keep the pairs from people until it is over."""
    assert current.blind_batch_id is not None
    batches.set_state(session, current.blind_batch_id, BatchState.PAUSED)
    job = jobs.enqueue(
        session,
        JobKind.GENERATE,
        persona=current.persona_slug,
        params={"round": current.id, "prescreen": True},
        requested_by=actor,
    )
    return {"prescreen_job": job.id}


def state(session: Session, current: Round, config: GateConfig) -> dict[str, Any]:
    """What became of the judge's look where it ended without a finding; nothing otherwise."""
    before = current.decision or {}
    number = before.get("prescreen_job")
    if number is None or before.get("prescreen"):
        return {}
    job = session.get_one(Job, number)
    if job.state in jobs.LIVE:
        return {}
    assert current.blind_batch_id is not None
    batches.set_state(session, current.blind_batch_id, BatchState.OPEN)
    why = job.message or job.state.value
    return {
        "prescreen": {"verdict": NOT_MADE, "judge": config.judge, "words": f"{NOT_MADE}: {why}."}
    }


def prescreen(
    sessions: Sessions,
    round_id: int,
    config: GateConfig,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> str:
    """Let the configured judge judge a round's pairs; what it found, in a sentence.

    Killed, it goes on where it was.

    Raises:
        JudgeRefused: no judge is configured here, or it failed or answered no verdict.
    """
    if not config.judge:
        raise JudgeRefused("this worker has no judge; name one in configs/gate.yaml or --judge")
    panel = annotators(1, judge=load_judge(config.judge), name=f"judge-{judge_name(config.judge)}")
    with sessions.begin() as session:
        current = session.get_one(Round, round_id)
        if current.state is not RoundState.BLIND or current.blind_batch_id is None:
            return f"round {current.number} of {current.persona_slug} is decided already"
        batch_id = _own_batch(session, current, panel[0].name)
    progress("pre-screening", 0.0)
    judge_all(sessions, panel, batch_id=batch_id, kind=AnnotatorKind.AUTOMATIC)
    with sessions.begin() as session:
        current = session.get_one(Round, round_id, with_for_update=True, populate_existing=True)
        assert current.challenger_id is not None and current.blind_batch_id is not None
        frame = batch_judgments(session, batch_id)
        found = rated(frame, current.challenger_id, config.confidence)
        bounds = found.bounds
        verdict = (
            "nothing preferred"
            if bounds is None
            else "lost"
            if bounds.behind
            else "won"
            if bounds.ahead
            else "even"
        )
        said = (
            "preferred neither anywhere."
            if bounds is None
            else f"found the challenger better in {bounds.value:.0%} of {bounds.outcomes} pairs "
            f"({config.confidence:.0%} interval {bounds.low:.0%} to {bounds.high:.0%}); it decides "
            "nothing by itself."
        )
        told = {
            "verdict": verdict,
            "judge": config.judge,
            "annotator": panel[0].name,
            "kind": AnnotatorKind.AUTOMATIC.value,
            "batch": batch_id,
            "counts": found.counts,
            "value": None if bounds is None else bounds.value,
            "low": None if bounds is None else bounds.low,
            "high": None if bounds is None else bounds.high,
            "words": f"{panel[0].name} {said}",
        }
        batches.set_state(session, batch_id, BatchState.CLOSED)
        if current.state is RoundState.BLIND:
            current.decision = {**(current.decision or {}), "prescreen": told, "seen": None}
            batches.set_state(session, current.blind_batch_id, BatchState.OPEN)
    return f"AUTOMATIC: {told['words']}"


def _own_batch(session: Session, current: Round, name: str) -> int:
    """The judge's own batch of the round's pairs, made or found."""
    assert current.blind_batch_id is not None
    judge = people.put_annotator(session, name, kind=AnnotatorKind.AUTOMATIC)
    title = f"{current.persona_slug} round {current.number} pre-screen {current.id}-{name}"[:160]
    made = batches.open_batch(
        session, name=title, kind=BatchKind.BLIND, persona=current.persona_slug
    )
    made.named_only = True
    if session.get(BatchAnnotator, (made.id, judge.id)) is None:
        session.add(BatchAnnotator(batch_id=made.id, annotator_id=judge.id))
    asked = session.scalars(
        select(Comparison)
        .where(Comparison.batch_id == current.blind_batch_id, Comparison.overlap > 0)
        .order_by(Comparison.id)
    )
    for one in list(asked):
        batches.put_comparison(session, made, one.candidate_a, one.candidate_b)
    return made.id
