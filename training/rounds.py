"""Rounds, runs and what an adapter has learned from, as training asks the ledger for them.

Knows the ledger. Does not know models or services.
"""

import hashlib
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, batches, rounds
from db.clock import utcnow
from db.models import Adapter, JobState, Round, RoundState, Run, SnapshotJudgment
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


def abandon_run(sessions: sessionmaker[Session], job_id: int, state: JobState) -> None:
    """Mark a job's run failed or cancelled, and open its round for judgments again."""
    with sessions.begin() as session:
        run = run_of_job(session, job_id)
        if run is None:
            return
        run.state, run.finished_at = state, utcnow()
        current = round_of_run(session, run.id)
        if current is not None and current.state is RoundState.TRAINING:
            current.state, current.run_id = RoundState.LABELING, None


def refuse_while_blind(session: Session, current: Round) -> None:
    """Refuse to train while the last challenger is still being compared.

    Raises:
        TooLittleData: it is; says how many judgments are in.
    """
    if current.state is not RoundState.BLIND or current.blind_batch_id is None:
        return
    done = batches.progress(session, current.blind_batch_id)
    raise TooLittleData(
        f"{current.challenger_id} is still being compared with {current.incumbent_id} "
        f"({done.judged} of {done.wanted} blind judgments are in); the next retraining comes "
        "after that decision"
    )


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
    """The judgments that an adapter was trained on (its snapshot holds its ancestors' too)."""
    run = session.get(Run, adapter.run_id) if adapter.run_id is not None else None
    if run is None or run.snapshot_id is None:
        return set()
    ids = select(SnapshotJudgment.judgment_id).where(
        SnapshotJudgment.snapshot_id == run.snapshot_id
    )
    return set(session.scalars(ids))


def fresh_and_earlier(
    pairs: Sequence[PreferencePair], known: set[int], config: DPOConfig
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """Pairs with a judgment that the reference has not seen, and a seeded share of the others."""
    fresh = [pair for pair in pairs if not known.issuperset(pair.judgments)]
    others = [pair for pair in pairs if known.issuperset(pair.judgments)]
    others.sort(key=lambda p: hashlib.sha256(f"{config.seed}:{p.key}".encode()).digest())
    return fresh, others[: round(config.earlier * len(fresh))]
