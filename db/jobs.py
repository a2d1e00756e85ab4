"""The job queue: a page writes a row, one worker claims it, renews its lease, and ends it.

Every claim raises the job's fence. Who writes for a job says by which claim, so that a worker that
slept through the end of its lease can write nothing more, even where the next one has its name.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.errors import JobCancelled, LeaseLost, NotFound, Refused
from db.leases import now_or
from db.models import Job, JobKind, JobState

LEASE = timedelta(minutes=2)
"""How long a worker may be silent before another one takes its job."""
LIVE = (JobState.QUEUED, JobState.RUNNING)


def enqueue(
    session: Session,
    kind: JobKind | str,
    *,
    persona: str | None = None,
    params: Mapping[str, Any] | None = None,
    requested_by: str = "",
) -> Job:
    """Ask for work.

    Raises:
        Refused: A retraining of this persona is queued or running already.
    """
    asked = JobKind(kind)
    if asked is JobKind.RETRAIN:
        if persona is None:
            raise Refused("a retraining needs a persona")
        live = session.scalar(
            select(Job).where(Job.kind == asked, Job.persona_slug == persona, Job.state.in_(LIVE))
        )
        if live is not None:
            raise Refused(_already(persona, live))
    made = Job(
        kind=asked, persona_slug=persona, params=dict(params or {}), requested_by=requested_by
    )
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError as error:
        if asked is JobKind.RETRAIN and "one_retrain" in str(error.orig) + str(error):
            raise Refused(_already(str(persona), None)) from None
        if "UNIQUE" in str(error.orig) and asked is JobKind.RETRAIN:
            raise Refused(_already(str(persona), None)) from None
        raise
    return made


def claim_job(
    session: Session,
    worker: str,
    *,
    lease: timedelta = LEASE,
    now: datetime | None = None,
) -> Job | None:
    """Take the oldest job that is queued, or running under a lease that ran out; None if none.

    Two workers never get the same one.
    """
    moment = now_or(now)
    job = session.scalar(
        select(Job)
        .where(
            or_(
                Job.state == JobState.QUEUED,
                and_(Job.state == JobState.RUNNING, Job.lease_expires_at < moment),
            )
        )
        .order_by(Job.id)
        .limit(1)
        .with_for_update(of=Job, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if job is None:
        return None
    job.state = JobState.RUNNING
    job.worker = worker
    job.attempts += 1
    job.fence += 1
    job.lease_expires_at = moment + lease
    job.started_at = job.started_at or moment
    session.flush()
    return job


def beat(
    session: Session,
    job_id: int,
    worker: str,
    *,
    fence: int | None = None,
    stage: str | None = None,
    progress: float | None = None,
    lease: timedelta = LEASE,
    now: datetime | None = None,
) -> Job:
    """Say that the worker lives, and how far it is; renews the lease.

    Args:
        session: The session.
        job_id: The job.
        worker: Who claimed it.
        fence: The job's number at that claim; None only asks for the name.
        stage: What it does now, in words.
        progress: Share done, 0 to 1.
        lease: How long from now.
        now: The moment (UTC).

    Raises:
        JobCancelled: Somebody cancelled it: stop and clean up.
        LeaseLost: Another worker has it, or it ended.
    """
    job = _mine(session, job_id, worker, fence)
    job.lease_expires_at = now_or(now) + lease
    if stage is not None:
        job.stage = stage[:64]
    if progress is not None:
        job.progress = min(max(progress, 0.0), 1.0)
    session.flush()
    return job


def hold(session: Session, job_id: int, worker: str, fence: int) -> Job:
    """Lock a job, sure that this worker holds it by this claim; for what writes on its behalf.

    Whoever took it over meanwhile has claimed it with a higher number.

    Raises:
        JobCancelled: Somebody cancelled it.
        LeaseLost: It was claimed anew, or it ended; nothing may be written for it.
    """
    return _mine(session, job_id, worker, fence)


def finish(
    session: Session,
    job_id: int,
    worker: str,
    *,
    fence: int | None = None,
    message: str = "",
    now: datetime | None = None,
) -> Job:
    """End a job well.

    Raises:
        JobCancelled: Somebody cancelled it meanwhile.
        LeaseLost: Another worker has it, or it ended.
    """
    job = _mine(session, job_id, worker, fence)
    job.progress = 1.0
    return _end(session, job, JobState.DONE, message, now_or(now))


def fail(
    session: Session,
    job_id: int,
    worker: str,
    message: str,
    *,
    fence: int | None = None,
    now: datetime | None = None,
) -> Job:
    """End a job with the reason in one line.

    Raises:
        JobCancelled: Somebody cancelled it meanwhile.
        LeaseLost: Another worker has it, or it ended.
    """
    job = _mine(session, job_id, worker, fence)
    return _end(session, job, JobState.FAILED, message, now_or(now))


def cancel(session: Session, job_id: int, *, now: datetime | None = None) -> Job:
    """Cancel a queued or running job; its worker learns at the next beat.

    Raises:
        NotFound: There is no such job.
        Refused: It ended already.
    """
    job = _locked(session, job_id)
    if job.state not in LIVE:
        raise Refused(f"job {job_id} is {job.state.value} already")
    return _end(session, job, JobState.CANCELLED, "cancelled", now_or(now))


def job(session: Session, job_id: int) -> Job:
    """One job.

    Raises:
        NotFound: There is no such job.
    """
    found = session.get(Job, job_id, populate_existing=True)
    if found is None:
        raise NotFound(f"there is no job {job_id}")
    return found


def jobs(
    session: Session, *, persona: str | None = None, live: bool = False, limit: int = 50
) -> list[Job]:
    """Jobs, newest first; of one persona, or only those queued and running."""
    query = select(Job).order_by(Job.id.desc()).limit(limit)
    if persona is not None:
        query = query.where(Job.persona_slug == persona)
    if live:
        query = query.where(Job.state.in_(LIVE))
    return list(session.scalars(query))


def _mine(session: Session, job_id: int, worker: str, fence: int | None) -> Job:
    job = _locked(session, job_id)
    if job.state is JobState.CANCELLED:
        raise JobCancelled(f"job {job_id} was cancelled")
    if job.state is not JobState.RUNNING or job.worker != worker:
        holder = f"with {job.worker}" if job.state is JobState.RUNNING else job.state.value
        raise LeaseLost(f"job {job_id} is {holder} now, not with {worker}")
    if fence is not None and job.fence != fence:
        raise LeaseLost(
            f"job {job_id} was claimed anew by {worker} (claim {job.fence}, this was {fence})"
        )
    return job


def _locked(session: Session, job_id: int) -> Job:
    found = session.scalar(
        select(Job)
        .where(Job.id == job_id)
        .with_for_update(of=Job)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound(f"there is no job {job_id}")
    return found


def _end(session: Session, job: Job, state: JobState, message: str, now: datetime) -> Job:
    job.state = state
    job.message = message
    job.finished_at = now
    job.lease_expires_at = None
    session.flush()
    return job


def _already(persona: str, live: Job | None) -> str:
    which = "" if live is None else f" (job {live.id}, {live.state.value})"
    return f"a retraining of {persona} is under way already{which}; wait for it or cancel it"
