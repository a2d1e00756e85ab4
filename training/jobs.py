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

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from db import jobs, reranking
from db.errors import JobCancelled, LeaseLost, Refused
from db.models import Job, JobKind, JobState, RoundState
from training.asking_more import is_more, more_pairs
from training.candidates import CandidateConfig
from training.configs import CONFIGS, load_config, make_config
from training.counterfactual import Counterfactual
from training.deciding import decide_complete, gate_config
from training.dpo_config import DPOConfig
from training.errors import Cancelled
from training.evaluation.gate_config import GateConfig
from training.job_config import JobConfig
from training.keeping import keep_adapters
from training.lease import FencedSessions, Lease, free_the_dead, worker_name
from training.prescreening import prescreen
from training.retraining import Retraining
from training.rounds import abandon_run, open_round
from training.service import Service, open_service
from training.troubles import one_line, reason, service_trouble

log = logging.getLogger(__name__)
Sessions = sessionmaker[Session]
RANK_SECONDS = 15.0
"""Between two looks for batches whose order is due."""
MOST_ATTEMPTS = 5
"""Attempts of one worker at a job whose service went away under it."""
MOST_CLAIMS = 30
"""Claims of a job that none of its workers brought to an end; then it is what kills them."""
SHARES = {
    "connecting": (0.0, 0.02),
    "snapshot": (0.02, 0.03),
    "reference": (0.03, 0.08),
    "training": (0.08, 0.75),
    "measuring": (0.75, 0.8),
    "exporting": (0.8, 0.82),
    "generating": (0.82, 1.0),
    "comparing": (0.82, 1.0),
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
        job: JobConfig | None = None,
        candidates: CandidateConfig | None = None,
        gate: GateConfig | None = None,
        name: str | None = None,
        follow_up: bool = True,
    ):
        """Bind; the service is connected with the first job that needs it.

        Args:
            sessions: of the ledger.
            connect: opens the model service; called again after the service went away.
            dpo: configuration of preference runs; None reads configs/dpo.yaml at each job.
            job: what judgments must be like; None reads configs/job.yaml at each job.
            candidates: of candidates; None reads configs/candidates.yaml at each job.
            gate: of promotions; None reads configs/gate.yaml at each look.
            name: in leases; None is this machine and process.
            follow_up: ask for the next round's label batch after each decision.
        """
        self.sessions = sessions
        self.connect = connect
        self.dpo = dpo
        self.job = job
        self.candidates = candidates
        self.gate = gate
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
        """Look at every blind comparison in which something changed; promote, reject or ask."""
        wanted = self._candidate_config().label_comparisons if self.follow_up else None
        for persona, decision in decide_complete(
            self.sessions, actor="gate", next_comparisons=wanted, config=self._gate_config()
        ):
            log.info("%s: %s", persona, decision.words)

    def step(self) -> Done | None:
        """Claim and run one job; None when there is none."""
        with self.sessions.begin() as session:
            free_the_dead(session)
            job = jobs.claim_job(session, self.name)
            if job is None:
                return None
            claim, claims = Claim.of(job), job.attempts
        with Lease(self.sessions, claim.job_id, self.name, self.stop, claim.fence) as lease:
            if claims > MOST_CLAIMS:
                return self._failed(claim, f"{MOST_CLAIMS} workers began it and none came back")
            return self._attempts(lease, claim)

    def _attempts(self, lease: Lease, claim: "Claim") -> Done:
        """Run a job to an end; where the service goes away, take it up again."""
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                message = self._run(lease, claim)
                with self.sessions.begin() as session:
                    jobs.finish(
                        session, claim.job_id, self.name, fence=claim.fence, message=message
                    )
                return Done(claim.job_id, "done", message)
            except LeaseLost as error:
                return Done(claim.job_id, "left", str(error))
            except JobCancelled as error:
                return self._cancelled(claim, error)
            except Cancelled as error:
                lease.give_back()
                return Done(claim.job_id, "left", str(error))
            except Exception as error:  # noqa: BLE001 - the SDK raises many kinds
                if not service_trouble(error):
                    return self._failed(claim, self._said(claim.job_id, error))
                self._service = None
                if attempt == MOST_ATTEMPTS:
                    return self._failed(claim, f"the model service failed: {one_line(error)}")
                log.warning("job %d, attempt %d: %s", claim.job_id, attempt, one_line(error))
                self.stop.wait(min(2.0**attempt, 15.0))
        raise AssertionError("unreachable")

    def _run(self, lease: Lease, claim: "Claim") -> str:
        persona, params = claim.persona, claim.params
        if persona is None:
            raise Refused(f"a {claim.kind.value} job needs a persona")
        candidates = self._candidate_config()
        held = FencedSessions(self.sessions, lease.hold)
        if claim.kind is JobKind.RETRAIN and params.get("without"):
            return Counterfactual(
                held,
                self._connected(lease),
                persona,
                of=str(params["of"]),
                without=[int(each) for each in params["without"]],
                job_id=claim.job_id,
                progress=lambda stage, share: lease.progress(stage, overall(stage, share)),
            ).run()
        if claim.kind is JobKind.RETRAIN:
            dpo = self.dpo or load_config(DPOConfig, CONFIGS / "dpo.yaml")
            overrides = dict(params.get("config") or {})
            if overrides:
                dpo = make_config(DPOConfig, {**dpo.__dict__, **overrides}, "the job's config")
            return Retraining(
                held,
                self._connected(lease),
                persona,
                job_id=claim.job_id,
                include_simulated=bool(params.get("include_simulated")),
                force=str(params.get("force") or ""),
                config=dpo,
                candidates=candidates,
                job=self.job,
                progress=lambda stage, share: lease.progress(stage, overall(stage, share)),
            ).run()
        if claim.kind is JobKind.GENERATE and is_more(params):
            return self._for_the_gate(lease, held, params)
        if claim.kind is JobKind.GENERATE:
            wanted = int(params.get("comparisons") or candidates.label_comparisons)
            service = self._connected(lease)
            return make_label_batch(held, service, persona, candidates, wanted, lease.progress)
        raise Refused(
            f"this worker runs no {claim.kind.value} jobs; use `personaloop {claim.kind.value}`"
        )

    def _for_the_gate(self, lease: Lease, held: FencedSessions, params: dict[str, Any]) -> str:
        """What a waiting gate asked for: a judge's look, or more pairs for people."""
        round_id = int(params["round"])
        if params.get("prescreen"):
            return prescreen(held, round_id, self._gate_config(), lease.progress)
        return more_pairs(
            held,
            self._connected(lease),
            round_id,
            int(params["total"]),
            self._candidate_config(),
            lease.progress,
        )

    def _gate_config(self) -> GateConfig:
        return self.gate or gate_config()

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
        keep_adapters(self.sessions, service)
        return service

    def _said(self, job_id: int, error: Exception) -> str:
        """What a person reads of an error; what nobody foresaw goes to the log in full."""
        told = reason(error)
        if told is not None:
            return told
        log.error("job %d", job_id, exc_info=error)
        return f"{one_line(error)} (the worker's log has more)"

    def _failed(self, claim: "Claim", message: str) -> Done:
        """End job and run together; neither, where another worker has the job by now."""
        try:
            with self.sessions.begin() as session:
                jobs.fail(session, claim.job_id, self.name, message, fence=claim.fence)
                abandon_run(session, claim.job_id, JobState.FAILED)
        except LeaseLost as error:
            return Done(claim.job_id, "left", str(error))
        except JobCancelled as error:
            return self._cancelled(claim, error)
        except DBAPIError as error:  # a full disk takes no reason either
            log.error("job %d failed and the ledger cannot say so: %s", claim.job_id, message)
            return Done(claim.job_id, "left", f"{message}; the ledger: {one_line(error)}")
        return Done(claim.job_id, "failed", message)

    def _cancelled(self, claim: "Claim", error: JobCancelled) -> Done:
        with self.sessions.begin() as session:
            abandon_run(session, claim.job_id, JobState.CANCELLED)
        return Done(claim.job_id, "cancelled", str(error))


@dataclass(frozen=True)
class Claim:
    """A job as one worker has it: by the number of its claim nobody else's writes are its own."""

    job_id: int
    fence: int
    kind: JobKind
    persona: str | None
    params: dict[str, Any]

    @classmethod
    def of(cls, job: Job) -> "Claim":
        """Just claimed."""
        return cls(job.id, job.fence, job.kind, job.persona_slug, dict(job.params or {}))


def overall(stage: str, share: float) -> float:
    """The share of a whole retraining that a stage's share makes."""
    begin, end = SHARES.get(stage, (0.0, 1.0))
    return begin + (end - begin) * min(max(share, 0.0), 1.0)


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
