"""Rounds, runs and what an adapter has learned from, as training asks the ledger for them.

Knows the ledger. Does not know models or services.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from db import adapters, batches, rounds, snapshots
from db.clock import utcnow
from db.errors import Refused
from db.models import (
    Adapter,
    AdapterKind,
    Annotator,
    AnnotatorKind,
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    Comparison,
    JobState,
    Judgment,
    Prompt,
    Retraction,
    Round,
    RoundState,
    Run,
    SetAside,
    Snapshot,
    SnapshotJudgment,
)
from training.dpo_config import DPOConfig
from training.errors import TooLittleData
from training.pairs import PreferencePair


def run_of_job(session: Session, job_id: int | None) -> Run | None:
    """The run that a job began and did not abandon."""
    if job_id is None:
        return None
    live = Run.state.in_([JobState.RUNNING, JobState.DONE])
    query = select(Run).where(Run.job_id == job_id, live).order_by(Run.id.desc()).limit(1)
    return session.scalar(query)


def round_of_run(session: Session, run_id: int) -> Round | None:
    """The round that a run belongs to."""
    return session.scalar(select(Round).where(Round.run_id == run_id))


def abandon_run(session: Session, job_id: int, state: JobState) -> None:
    """Mark a job's run failed or cancelled, and open its round for judgments again."""
    run = run_of_job(session, job_id)
    if run is None:
        return
    run.state, run.finished_at = state, utcnow()
    current = round_of_run(session, run.id)
    if current is not None and current.state is RoundState.TRAINING:
        current.state, current.run_id = RoundState.LABELING, None


def why_blind(session: Session, current: Round) -> str | None:
    """Why a round cannot train now: its challenger is still being compared. None where it can."""
    if current.state is not RoundState.BLIND or current.blind_batch_id is None:
        return None
    done = batches.progress(session, current.blind_batch_id)
    return (
        f"{current.challenger_id} is still being compared with {current.incumbent_id} "
        f"({done.judged} of {done.wanted} blind judgments are in); the next retraining comes "
        "after that decision"
    )


def refuse_while_blind(session: Session, current: Round) -> None:
    """Refuse to train while the last challenger is still being compared.

    Raises:
        TooLittleData: it is; says how many judgments are in.
    """
    reason = why_blind(session, current)
    if reason is not None:
        raise TooLittleData(reason)


def adapter_of(session: Session, persona: str, adapter_id: str | None = None) -> Adapter:
    """An adapter that can answer for a persona; None is the one that answers now.

    Raises:
        NotFound: there is no such adapter, or none answers yet.
        Refused: it belongs to another persona, or only its name is known.
    """
    if adapter_id is None:
        return adapters.incumbent(session, persona)
    found = adapters.adapter(session, adapter_id)
    if found.kind is AdapterKind.EXTERNAL:
        raise Refused(f"{adapter_id} is known by name only, it cannot answer")
    if found.persona_slug != persona:
        owner = found.persona_slug or "no persona"
        raise Refused(f"adapter {adapter_id} belongs to {owner}, not to {persona}")
    return found


def open_round(session: Session, persona: str) -> Round:
    """The persona's round under way, or a new one.

    A round that is still collecting judgments follows the incumbent where an operator changed it.
    """
    incumbent = adapters.incumbent(session, persona)
    current = rounds.current_round(session, persona)
    if current is None:
        return rounds.open_round(session, persona, incumbent.id)
    if current.state is RoundState.LABELING and current.incumbent_id != incumbent.id:
        current.incumbent_id = incumbent.id
        session.flush()
    return current


def trained_judgments(session: Session, adapter: Adapter) -> set[int]:
    """The judgments that an adapter and its ancestors were trained on."""
    found: set[int] = set()
    waiting, seen = [adapter.id], set[str]()
    while waiting:
        one = session.get(Adapter, waiting.pop())
        if one is None or one.id in seen:
            continue
        seen.add(one.id)
        waiting += [str(parent.get("id", "")) for parent in one.parents]
        run = session.get(Run, one.run_id) if one.run_id is not None else None
        if run is not None and run.snapshot_id is not None:
            ids = select(SnapshotJudgment.judgment_id).where(
                SnapshotJudgment.snapshot_id == run.snapshot_id
            )
            found.update(session.scalars(ids))
    return found


def left_out(
    session: Session, snapshot: Snapshot, before: datetime, without: Collection[int] = ()
) -> dict[str, int]:
    """What people and others said of the persona and a snapshot has not, by reason.

    Args:
        session: the session.
        snapshot: the judgments that were frozen.
        before: what came later was not left out, it came too late.
        without: annotators (ids) who were left out on purpose.

    Returns:
        Counts by reason. Together with the snapshot's judgments, those of every reason but
        ``revised or undone`` and ``skipped`` are all that stood.
    """
    inside = select(SnapshotJudgment.judgment_id).where(SnapshotJudgment.snapshot_id == snapshot.id)
    told = session.execute(
        select(
            Batch.kind,
            Batch.purpose,
            Prompt.split,
            Retraction.judgment_id,
            and_(
                SetAside.comparison_id.is_not(None),
                SetAside.decision.is_distinct_from(snapshots.RELEASED),
            ),
            Annotator.kind,
            Annotator.id,
        )
        .select_from(Judgment)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .outerjoin(SetAside, SetAside.comparison_id == Comparison.id)
        .where(
            Comparison.persona_slug == snapshot.persona_slug,
            Judgment.created_at <= before,
            Judgment.id.not_in(inside),
        )
    )
    found = Counter(_why_left_out(*row[:-1], row[-1] in without) for row in told.tuples())
    found["skipped"] = (
        session.scalar(
            select(func.count())
            .select_from(Assignment)
            .join(Comparison, Comparison.id == Assignment.comparison_id)
            .join(Batch, Batch.id == Comparison.batch_id)
            .where(
                Comparison.persona_slug == snapshot.persona_slug,
                Assignment.state == AssignmentState.SKIPPED,
                Assignment.leased_at <= before,
                Batch.kind != BatchKind.BLIND,
                Batch.purpose != snapshots.GOLD,
            )
        )
        or 0
    )
    return {reason: count for reason, count in sorted(found.items()) if count}


def _why_left_out(
    batch: BatchKind,
    purpose: str,
    split: str,
    retracted: int | None,
    aside: bool,
    annotator: AnnotatorKind,
    unwanted: bool,
) -> str:
    if retracted is not None:
        return "revised or undone"
    if batch is BatchKind.BLIND:
        return "in blind comparisons"
    if purpose == snapshots.GOLD:
        return "gold"
    if split == snapshots.HELDOUT:
        return "on prompts of blind comparisons"
    if aside:
        return "set aside"
    if unwanted:
        return "by annotators left out on purpose"
    return "by no person" if annotator is not AnnotatorKind.HUMAN else "of unknown texts"


def fresh_and_earlier(
    pairs: Sequence[PreferencePair], known: set[int], config: DPOConfig
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """Pairs with a judgment that the reference has not seen, and a seeded share of the others."""
    fresh = [pair for pair in pairs if not known.issuperset(pair.judgments)]
    others = [pair for pair in pairs if known.issuperset(pair.judgments)]
    others.sort(key=lambda p: hashlib.sha256(f"{config.seed}:{p.key}".encode()).digest())
    return fresh, others[: round(config.earlier * len(fresh))]
