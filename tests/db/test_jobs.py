"""The job queue, on both databases."""

from datetime import UTC, datetime, timedelta

import filling
import pytest
from sqlalchemy.orm import Session, sessionmaker

from db import jobs
from db.clock import utcnow
from db.errors import JobCancelled, LeaseLost, NotFound, Refused

Make = sessionmaker[Session]


@pytest.fixture
def job(make: Make) -> int:
    """A queued retraining."""
    with make.begin() as session:
        filling.persona(session)
        return jobs.enqueue(session, "retrain", persona=filling.PERSONA, params={"beta": 0.1}).id


def test_the_oldest_job_goes_to_one_worker_only(make: Make, job: int) -> None:
    with make.begin() as session:
        second = jobs.enqueue(session, "generate").id
    with make.begin() as session:
        first = jobs.claim_job(session, "w1")
        assert first is not None and first.id == job and first.params == {"beta": 0.1}
    with make.begin() as session:
        other = jobs.claim_job(session, "w2")
        assert other is not None and other.id == second
        assert jobs.claim_job(session, "w3") is None


def test_two_open_claims_never_get_the_same_job(make: Make, job: int) -> None:
    with make.begin() as session:
        taken = jobs.claim_job(session, "w1")
        if session.get_bind().dialect.name == "postgresql":  # SQLite lets one writer in at a time
            with make.begin() as other:
                assert jobs.claim_job(other, "w2") is None
    assert taken is not None


def test_a_silent_worker_loses_its_job_to_another(make: Make, job: int) -> None:
    now = utcnow()
    with make.begin() as session:
        jobs.claim_job(session, "w1", now=now)
        jobs.beat(session, job, "w1", stage="training", progress=0.5, now=now)
        assert jobs.claim_job(session, "w2", now=now + timedelta(minutes=1)) is None
        again = jobs.claim_job(session, "w2", now=now + timedelta(minutes=3))
        assert again is not None and (again.attempts, again.stage) == (2, "training")
        with pytest.raises(LeaseLost, match="with w2 now"):
            jobs.beat(session, job, "w1")
        with pytest.raises(LeaseLost):
            jobs.finish(session, job, "w1")
        jobs.finish(session, job, "w2", message="promoted")
        assert (jobs.job(session, job).state, jobs.job(session, job).progress) == ("done", 1.0)


def test_a_second_retraining_of_a_persona_is_refused_while_one_lives(make: Make, job: int) -> None:
    with pytest.raises(Refused, match="under way already"), make.begin() as session:
        jobs.enqueue(session, "retrain", persona=filling.PERSONA)
    with make.begin() as session:
        jobs.claim_job(session, "w")
        with pytest.raises(Refused, match="running"):
            jobs.enqueue(session, "retrain", persona=filling.PERSONA)
        jobs.fail(session, job, "w", "no judgments")
        assert jobs.enqueue(session, "retrain", persona=filling.PERSONA).id != job


def test_a_cancelled_job_tells_its_worker(make: Make, job: int) -> None:
    with make.begin() as session:
        jobs.claim_job(session, "w")
        jobs.cancel(session, job)
        with pytest.raises(JobCancelled):
            jobs.beat(session, job, "w")
        with pytest.raises(Refused, match="cancelled already"):
            jobs.cancel(session, job)
        with pytest.raises(NotFound):
            jobs.cancel(session, 99)
        assert [each.id for each in jobs.jobs(session)] == [job]
        assert jobs.jobs(session, live=True) == []


def test_every_claim_raises_the_fence_and_an_old_claim_writes_nothing(make: Make) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with make.begin() as session:
        filling.persona(session)
        job = jobs.enqueue(session, "generate", persona=filling.PERSONA).id
        first = jobs.claim_job(session, "w", now=now)
        assert first is not None and first.fence == 1
        jobs.hold(session, job, "w", 1)
        again = jobs.claim_job(session, "w", now=now + timedelta(minutes=3))
        assert again is not None and (again.id, again.fence) == (job, 2)
    with make.begin() as session:
        for old in (
            lambda: jobs.beat(session, job, "w", fence=1),
            lambda: jobs.finish(session, job, "w", fence=1),
            lambda: jobs.fail(session, job, "w", "why", fence=1),
            lambda: jobs.hold(session, job, "w", 1),
        ):
            with pytest.raises(LeaseLost, match="claimed anew by w"):
                old()
        assert jobs.hold(session, job, "w", 2).state == "running"
        jobs.finish(session, job, "w", fence=2, message="made")
