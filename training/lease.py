"""A worker's hold on a job: kept by heartbeats, lost to others, freed when a process is gone.

Knows the queue's verbs and processes of this machine. Does not know what a job does.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import jobs
from db.clock import utcnow
from db.errors import JobCancelled, LeaseLost
from db.models import Job, JobState
from training.errors import Cancelled

log = logging.getLogger(__name__)
BEAT_SECONDS = 15.0


def worker_name() -> str:
    """This process, as leases name it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def free_the_dead(session: Session) -> int:
    """End the leases of workers of this machine whose process is gone; how many there were."""
    host, freed = socket.gethostname(), 0
    for job in session.scalars(select(Job).where(Job.state == JobState.RUNNING)):
        name, _, pid = (job.worker or "").rpartition(":")
        if name == host and pid.isdigit() and not _alive(int(pid)):
            job.lease_expires_at = utcnow() - timedelta(days=1)
            freed += 1
    return freed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class FencedSessions(sessionmaker[Session]):
    """Sessions whose every transaction first makes sure that this worker still has its job.

    Whoever lost the lease, to whatever it slept through, finds each door of the ledger closed:
    nothing that is written through these sessions is written for a job that somebody else has.
    """

    def __init__(self, sessions: sessionmaker[Session], hold: Callable[[Session], object]):
        """Bind.

        Args:
            sessions: of the ledger.
            hold: locks the job in a session, or raises `LeaseLost` or `JobCancelled`.
        """
        super().__init__(class_=sessions.class_, **sessions.kw)
        self._hold = hold

    @contextlib.contextmanager
    def begin(self) -> Iterator[Session]:
        """A transaction that holds the job from its first moment to its last."""
        with super().begin() as session:
            self._hold(session)
            yield session


class Lease:
    """Keeps one job's lease while it runs, and stops the job when it should stop."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        job_id: int,
        worker: str,
        stop: threading.Event,
        fence: int | None = None,
    ):
        """Nothing beats before the context is entered.

        Args:
            sessions: of the ledger.
            job_id: the job.
            worker: who claimed it.
            stop: set where the worker is to stop.
            fence: the job's number at this claim; None asks for the worker's name only.
        """
        self._fence = fence
        self._sessions, self._job_id, self._worker = sessions, job_id, worker
        self._stop = stop
        self._told = ("", 0.0)
        self._said = ("", -1.0, 0.0)
        self._ended = threading.Event()
        self._lost: Exception | None = None
        self._thread = threading.Thread(target=self._beats, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        """Start beating."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop beating."""
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raise where the job was cancelled, lost, or this worker is to stop."""
        if self._lost is not None:
            raise self._lost
        if self._stop.is_set():
            raise Cancelled("the worker was told to stop; the job goes on at its next start")

    def progress(self, stage: str, share: float) -> None:
        """Remember how far the job is; written at most once a second, a new stage at once.

        Args:
            stage: what it does now.
            share: of the whole job, 0 to 1.
        """
        self.check()
        self._told = (stage, share)
        said_stage, said_share, at = self._said
        if stage != said_stage or (share != said_share and time.monotonic() - at > 1.0):
            self._beat()

    def hold(self, session: Session) -> None:
        """Lock the job in a transaction that writes for it.

        Raises:
            JobCancelled: somebody cancelled it.
            LeaseLost: another claim has it; nothing may be written.
        """
        if self._fence is not None:
            jobs.hold(session, self._job_id, self._worker, self._fence)

    def give_back(self) -> None:
        """Let another worker take the job up at once."""
        with self._sessions.begin() as session:
            job = session.get(Job, self._job_id)
            if job is None or job.state is not JobState.RUNNING or job.worker != self._worker:
                return
            if self._fence in {None, job.fence}:
                job.lease_expires_at = utcnow() - timedelta(days=1)

    def _beat(self) -> None:
        stage, share = self._told
        try:
            with self._sessions.begin() as session:
                jobs.beat(
                    session,
                    self._job_id,
                    self._worker,
                    fence=self._fence,
                    stage=stage or None,
                    progress=share,
                )
            self._said = (stage, share, time.monotonic())
        except (JobCancelled, LeaseLost) as error:
            self._lost = error
            raise
        except Exception as error:  # noqa: BLE001 - a busy database ends no lease
            log.warning("lease of job %d not renewed: %s", self._job_id, error)

    def _beats(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self._beat()
            except (JobCancelled, LeaseLost):
                return
