"""What makes two preference runs the same, and whether one was made before.

Knows the ledger's runs. Does not know how they are trained. The same judgments, configuration,
reference, base model, code and weights of annotators give the same adapter to the bit, so asking
twice trains once.
"""

from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import jobs
from db.models import Adapter, AliasChange, Job, JobState, Round, RoundState, Run, Snapshot
from training.dpo_config import DPOConfig
from training.errors import AlreadyTrained
from training.rounds import abandon_run


def claim_key(session: Session, run: Run, key: str, code: str) -> None:
    """Give a run its key, unless another run has it.

    The database lets only one running or finished run have a key, whoever asks at the same time.

    Args:
        session: the session.
        run: the run, with its row in the session.
        key: hash of all that decides what it learns.
        code: SHA-256 of the code that trains.

    Raises:
        AlreadyTrained: the same run was made before or is being made; says which adapter came of
            it, and what became of that.
    """
    if run.key == key:
        return
    refuse_made(session, key, run.id)
    try:
        with session.begin_nested():
            run.key, run.code_sha256 = key, code
            session.flush()
    except IntegrityError:
        refuse_made(session, key, run.id)
        raise


def refuse_made(session: Session, key: str, run_id: int | None = None) -> None:
    """Refuse a run that was made before, or is being made by another job.

    Args:
        session: the session.
        key: of the run that is asked for.
        run_id: the run that asks, where it has its row.

    Raises:
        AlreadyTrained: says which adapter came of it, and what became of that.
    """
    same = select(Run).where(Run.key == key, Run.state.in_([JobState.RUNNING, JobState.DONE]))
    if run_id is not None:
        same = same.where(Run.id != run_id)
    for run in session.scalars(same):
        if run.state is JobState.DONE:
            raise AlreadyTrained(_made(session, run))
        raise AlreadyTrained(f"this very run is under way already (job {run.job_id}); wait for it")


def _made(session: Session, run: Run) -> str:
    made = session.scalar(select(Adapter).where(Adapter.run_id == run.id).order_by(Adapter.id))
    name = f"run {run.id}" if made is None else made.id
    fate = ""
    if made is not None:
        current = session.scalar(select(Round).where(Round.challenger_id == made.id))
        if current is not None and current.state is RoundState.BLIND:
            fate = ", which is being compared blind now"
        elif current is not None and current.state in (RoundState.PROMOTED, RoundState.REJECTED):
            fate = f", which round {current.number} {current.state.value}"
        elif session.scalar(select(AliasChange.id).where(AliasChange.adapter_id == made.id)):
            fate = ", which has answered"
    return (
        f"the same judgments, configuration, reference and code made {name} already{fate}; "
        "judge more pairs or change the configuration"
    )


def settle_orphans(session: Session, persona: str) -> int:
    """End runs whose job ended without them, as where nobody worked when it was cancelled.

    Returns:
        How many there were; the same run can be made again then.
    """
    query = (
        select(Run, Job)
        .join(Job, Job.id == Run.job_id)
        .where(
            Run.persona_slug == persona,
            Run.state == JobState.RUNNING,
            Job.state.not_in(jobs.LIVE),
        )
    )
    found = session.execute(query).tuples().all()
    for _, job in found:
        cancelled = job.state is JobState.CANCELLED
        abandon_run(session, job.id, JobState.CANCELLED if cancelled else JobState.FAILED)
    session.flush()
    return len(found)


def same_run(
    session: Session, snapshot: str, config: DPOConfig, reference_id: str, code: str
) -> str | None:
    """Why a run of these judgments would not be made again, before its key can be known; or None.

    Args:
        session: the session.
        snapshot: SHA-256 of the judgments.
        config: of the run.
        reference_id: the adapter that it would start from.
        code: SHA-256 of the code that trains.
    """
    query = (
        select(Run)
        .join(Snapshot, Snapshot.id == Run.snapshot_id)
        .where(
            Snapshot.sha256 == snapshot,
            Run.reference_id == reference_id,
            Run.code_sha256 == code,
            Run.state == JobState.DONE,
        )
    )
    wanted = asdict(config)
    same = next((run for run in session.scalars(query) if run.config == wanted), None)
    return None if same is None else _made(session, same)
