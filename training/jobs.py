"""The worker: claims jobs, keeps their lease, runs them, and decides complete blind comparisons.

Knows the queue and what each kind of job calls. Does not know how training works. A worker that is
killed leaves a lease behind; the next one on the same machine sees that its process is gone and
goes on at once, any other waits for the lease to run out.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from db import jobs, reranking
from db.errors import JobCancelled, LeaseLost, PersonaLoopError, Refused
from db.models import JobKind, JobState, RoundState
from training.candidates import CandidateConfig
from training.configs import CONFIGS, load_config, make_config
from training.deciding import decide_complete
from training.dpo_config import DPOConfig
from training.errors import Cancelled, ServiceGone
from training.lease import Lease, free_the_dead, worker_name
from training.retraining import Retraining
from training.rounds import abandon_run, open_round
from training.service import Service, open_service

log = logging.getLogger(__name__)
Sessions = sessionmaker[Session]
RANK_SECONDS = 15.0
"""Between two looks for batches whose order is due."""
MOST_ATTEMPTS = 5
"""Attempts of one worker at a job whose service went away under it."""
SHARES = {
    "connecting": (0.0, 0.02),
    "snapshot": (0.02, 0.03),
    "reference": (0.03, 0.08),
    "training": (0.08, 0.75),
    "measuring": (0.75, 0.8),
    "exporting": (0.8, 0.82),
    "generating": (0.82, 1.0),
}
"""Where each stage of a retraining lies in the whole."""


@dataclass
class Done:
    """What became of a job: its id, ``done``, ``failed``, ``cancelled`` or ``left``, and why."""

    job_id: int
    outcome: str
    message: str


class Worker:
    """Runs jobs of one ledger until told to stop."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        connect: Callable[[], Service] = open_service,
        dpo: DPOConfig | None = None,
        candidates: CandidateConfig | None = None,
        name: str | None = None,
        follow_up: bool = True,
    ):
        """Bind; the service is connected with the first job that needs it.

        Args:
            sessions: of the ledger.
            connect: opens the model service; called again after the service went away.
            dpo: configuration of preference runs; None reads configs/dpo.yaml at each job.
            candidates: of candidates; None reads configs/candidates.yaml at each job.
            name: in leases; None is this machine and process.
            follow_up: ask for the next round's label batch after each decision.
        """
        self.sessions = sessions
        self.connect = connect
        self.dpo = dpo
        self.candidates = candidates
        self.name = name or worker_name()
        self.follow_up = follow_up
        self.stop = threading.Event()
        self._service: Service | None = None

    def stop_on_signals(self) -> None:
        """Let SIGTERM and SIGINT end the worker after the present step."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())

    def work(self, *, once: bool = False, poll_seconds: float = 2.0) -> int:
        """Run jobs, decide rounds and keep the order of pairs fresh; the number of jobs run.

        Args:
            once: end when there is nothing to do instead of waiting for more.
            poll_seconds: time between two looks at an empty queue.
        """
        count = 0
        ranked = -RANK_SECONDS
        while not self.stop.is_set():
            self.decide()
            if time.monotonic() - ranked >= RANK_SECONDS:
                reranking.rank_due(self.sessions)
                ranked = time.monotonic()
            done = self.step()
            if done is not None:
                count += 1
                log.info("job %d %s: %s", done.job_id, done.outcome, done.message)
            elif once:
                break
            else:
                self.stop.wait(poll_seconds)
        return count

    def decide(self) -> None:
        """Decide every blind comparison whose judgments are all in."""
        wanted = self._candidate_config().label_comparisons if self.follow_up else None
        for persona, decision in decide_complete(
            self.sessions, actor="gate", next_comparisons=wanted
        ):
            log.info("%s: %s", persona, decision.words)

    def step(self) -> Done | None:
        """Claim and run one job; None when there is none."""
        with self.sessions.begin() as session:
            free_the_dead(session)
            job = jobs.claim_job(session, self.name)
            if job is None:
                return None
            claimed = (job.id, job.kind, job.persona_slug, dict(job.params or {}))
        with Lease(self.sessions, claimed[0], self.name, self.stop) as lease:
            return self._attempts(lease, *claimed)

    def _attempts(
        self, lease: Lease, job_id: int, kind: JobKind, persona: str | None, params: dict[str, Any]
    ) -> Done:
        """Run a job to an end; where the service goes away, take it up again."""
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                message = self._run(lease, job_id, kind, persona, params)
                with self.sessions.begin() as session:
                    jobs.finish(session, job_id, self.name, message=message)
                return Done(job_id, "done", message)
            except LeaseLost as error:
                return Done(job_id, "left", str(error))
            except JobCancelled as error:
                with self.sessions.begin() as session:
                    abandon_run(session, job_id, JobState.CANCELLED)
                return Done(job_id, "cancelled", str(error))
            except Cancelled as error:
                lease.give_back()
                return Done(job_id, "left", str(error))
            except Exception as error:  # noqa: BLE001 - the SDK raises many kinds
                if not service_trouble(error):
                    return self._failed(job_id, self._said(job_id, error))
                self._service = None
                if attempt == MOST_ATTEMPTS:
                    return self._failed(job_id, f"the model service failed: {one_line(error)}")
                log.warning("job %d, attempt %d: %s", job_id, attempt, one_line(error))
                self.stop.wait(min(2.0**attempt, 15.0))
        raise AssertionError("unreachable")

    def _run(
        self, lease: Lease, job_id: int, kind: JobKind, persona: str | None, params: dict[str, Any]
    ) -> str:
        if persona is None:
            raise Refused(f"a {kind.value} job needs a persona")
        candidates = self._candidate_config()
        if kind is JobKind.RETRAIN:
            dpo = self.dpo or load_config(DPOConfig, CONFIGS / "dpo.yaml")
            overrides = dict(params.get("config") or {})
            if overrides:
                dpo = make_config(DPOConfig, {**dpo.__dict__, **overrides}, "the job's config")
            return Retraining(
                self.sessions,
                self._connected(lease),
                persona,
                job_id=job_id,
                include_simulated=bool(params.get("include_simulated")),
                config=dpo,
                candidates=candidates,
                progress=lambda stage, share: lease.progress(stage, overall(stage, share)),
            ).run()
        if kind is JobKind.GENERATE:
            wanted = int(params.get("comparisons") or candidates.label_comparisons)
            service = self._connected(lease)
            return make_label_batch(
                self.sessions, service, persona, candidates, wanted, lease.progress
            )
        raise Refused(f"this worker runs no {kind.value} jobs; use `personaloop {kind.value}`")

    def _candidate_config(self) -> CandidateConfig:
        return self.candidates or load_config(CandidateConfig, CONFIGS / "candidates.yaml")

    def service(self) -> Service:
        """The connected model service."""
        if self._service is None:
            self._service = self.connect()
        return self._service

    def _connected(self, lease: Lease) -> Service:
        lease.progress("connecting", 0.0)
        service = self.service()
        service.check = lease.check
        return service

    def _said(self, job_id: int, error: Exception) -> str:
        """What a person reads of an error; what nobody foresaw goes to the log in full."""
        if isinstance(error, PersonaLoopError):
            return str(error)
        log.error("job %d", job_id, exc_info=error)
        return f"{one_line(error)} (the worker's log has more)"

    def _failed(self, job_id: int, message: str) -> Done:
        """End job and run together; neither, where another worker has the job by now."""
        try:
            with self.sessions.begin() as session:
                jobs.fail(session, job_id, self.name, message)
                abandon_run(session, job_id, JobState.FAILED)
        except LeaseLost as error:
            return Done(job_id, "left", str(error))
        except JobCancelled as error:
            with self.sessions.begin() as session:
                abandon_run(session, job_id, JobState.CANCELLED)
            return Done(job_id, "cancelled", str(error))
        return Done(job_id, "failed", message)


def overall(stage: str, share: float) -> float:
    """The share of a whole retraining that a stage's share makes."""
    begin, end = SHARES.get(stage, (0.0, 1.0))
    return begin + (end - begin) * min(max(share, 0.0), 1.0)


def service_trouble(error: Exception) -> bool:
    """Whether an error is the service's going away, so that taking the job up again can help."""
    if isinstance(error, PersonaLoopError):
        return isinstance(error, ServiceGone)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    gone = {"TinkerError", "RetryableException", "HTTPError", "ConnectionError", "URLError"}
    return bool(kinds & gone) or "poisoned" in str(error)


def one_line(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def make_label_batch(
    sessions: Sessions,
    service: Service,
    persona: str,
    config: CandidateConfig,
    wanted: int,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> str:
    """Open the persona's round and its label batch, or find them; what there is, in words."""
    from training.batches import BatchMaker

    with sessions.begin() as session:
        current = open_round(session, persona)
        number, incumbent = current.number, current.incumbent_id
    maker = BatchMaker(sessions, service, persona, replace(config), progress)
    made = maker.label_batch(f"{persona} round {number} label", incumbent, wanted)
    with sessions.begin() as session:
        current = open_round(session, persona)
        if current.number == number and current.state is RoundState.LABELING:
            current.label_batch_id = made.batch_id
    left = f" ({made.too_long} prompts are too long for the model)" if made.too_long else ""
    return f"{made.comparisons} comparisons of {incumbent} to judge for round {number}{left}"
