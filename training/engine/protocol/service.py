"""What every request needs: the served base, checkpoints, and turning results into replies.

Between routes (HTTP) and worker (torch): it knows models, checkpoints and futures, neither HTTP nor
torch. Used on the event loop's thread; results come back from the worker's and the disk's threads.
"""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from training.engine.errors import BadRequest, NotFound
from training.engine.hashes import check_base_hash
from training.engine.messages import ModelFacts, SampleRequest
from training.engine.protocol.checkpoint import Checkpoint
from training.engine.protocol.files import now
from training.engine.protocol.futures import Futures, Reply, failure
from training.engine.protocol.registry import Registry, Run
from training.engine.protocol.store import Store
from training.engine.settings import EngineSettings

RECORD_TTL = timedelta(days=30)
PRUNE_EVERY = timedelta(hours=6)
MAX_SEQ = 2**53
"""Largest number of a model, a sampler or a request: what JSON carries exactly."""


class Compute(Protocol):
    """The compute as the protocol sees it: ``training.engine.compute.worker.Worker``."""

    def submit(self, model_id: str, operation: Any, done: Callable[[Any, Any], None]) -> None:
        """Queue an operation on the models."""

    def sample(self, request: SampleRequest, done: Callable[[Any, Any], None]) -> Any:
        """Queue a sampling request."""

    def cancel(self, task: Any) -> None:
        """Stop a sampling request."""


class Service:
    """What all requests need.

    Attributes:
        facts: limits of the base model.
        alive: ids of the training models that the compute has, in memory or parked.
        futures, registry, store: the protocol's state.
    """

    def __init__(
        self, settings: EngineSettings, facts: ModelFacts, compute: Compute, alive: set[str]
    ):
        self.settings = settings
        self.facts = facts
        self.compute = compute
        self.alive = alive
        self._pruned = now()
        self.futures = Futures(settings.result_ttl_s)
        self.store = Store(settings.state_dir / "checkpoints", settings.adapters, facts.name)
        self.registry = Registry(settings.state_dir, facts.name)
        self.snapshots = settings.state_dir / "snapshots"
        self.snapshots.mkdir(parents=True, exist_ok=True)
        self.disk = ThreadPoolExecutor(2, thread_name_prefix="engine-disk")
        self.tasks: dict[str, Any] = {}
        self.sweep_snapshots()

    # Helpers

    def check_base(self, name: str) -> None:
        """Refuse another base model than the one served; any spelling of its folder will do.

        Raises:
            BadRequest: it is another.
        """
        served = Path(self.facts.name)
        if (
            name != self.facts.name
            and name != served.name
            and Path(name).resolve() != served.resolve()
        ):
            raise BadRequest(
                f"base model {name!r} is not served here; this engine serves {self.facts.name}"
            )

    def deliver(
        self,
        request_id: str,
        encode: Callable[[Any], Reply],
        failed: Callable[[], None] | None = None,
    ) -> Callable[[Any, Exception | None], None]:
        """A callback that turns the worker's result into the request's reply."""

        def done(value: Any, error: Exception | None) -> None:
            self.tasks.pop(request_id, None)
            try:
                reply = failure(error) if error is not None else encode(value)
            except Exception as encoding_error:  # noqa: BLE001 - must answer whatever happens
                reply = failure(encoding_error)
            if error is not None and failed is not None:
                failed()
            self.futures.resolve(request_id, reply)

        return done

    def live_run(self, model_id: str) -> Run:
        """The run of a model that still exists.

        Raises:
            NotFound: never made, freed with its session, or lost in a crash.
        """
        run = self.registry.run(model_id)
        if model_id not in self.alive:
            raise NotFound(
                f"model {model_id} is not on this engine any more; create a training client from "
                "its last saved state"
            )
        return run

    def accept(self, model_id: str, seq_id: int, start: Callable[[str], None]) -> dict[str, Any]:
        """Queue a training request under its number, once."""
        run = self.live_run(model_id)
        if not 1 <= seq_id <= MAX_SEQ:  # 0 is the model's own creation
            raise BadRequest(f"seq_id: {seq_id} is out of range, must be from 1 to {MAX_SEQ}")
        request_id = f"{model_id}:{seq_id}"

        def begin() -> None:
            if seq_id <= run.last_seq:
                # Its result was lost with an earlier process; running it twice would be wrong.
                raise BadRequest(
                    f"request {seq_id} of {model_id} was already taken; its result is lost"
                )
            start(request_id)
            run.last_seq = seq_id
            run.last_request = now().isoformat()
            session = self.registry.sessions.records.get(run.session_id)
            if session is not None:
                session.seen = now()

        reply, _ = self.futures.submit(request_id, begin, model_id=model_id)
        return reply

    def loadable(self, path: str) -> Checkpoint:
        """The checkpoint at a path, if this engine's base model can take it.

        Raises:
            BadRequest, NotFound: it cannot, or is not there.
        """
        checkpoint = self.store.get(path)
        if checkpoint.kind == "external_weights":
            raise BadRequest(
                f"{path} is an export for download; load its weights/ checkpoint instead"
            )
        self.check_base(str(checkpoint.facts["base_model"]))
        check_base_hash(checkpoint.folder, self.facts.sha256, path)
        return checkpoint

    # The end of things

    def cancel(self, request_id: str) -> None:
        """Stop a sampling request whose client gave up."""
        task = self.tasks.get(request_id)
        if task is not None:
            self.compute.cancel(task)

    def delete_checkpoint(self, path: str) -> None:
        """Remove a checkpoint from the disk; what is being sampled from it is finished."""
        self.store.delete(path)

    def finish_session(self, session_id: str) -> None:
        """Free what a session's client used: models, private snapshots, unfinished samples."""
        session = self.registry.sessions.records.get(session_id)
        if session is None:
            raise NotFound(f"no session {session_id} here")
        session.finished = True
        self.registry.sessions.put(session)
        runs, samplers = self.registry.of_session(session_id)
        for run in runs:
            self._drop(run.model_id)
        for sampler in samplers:
            for request_id in [k for k in self.tasks if k.startswith(f"{sampler.sampler_id}:")]:
                self.cancel(request_id)
            if sampler.snapshot:
                shutil.rmtree(self.snapshots / sampler.snapshot, ignore_errors=True)
            self.registry.samplers.remove(sampler.sampler_id)

    def _drop(self, model_id: str) -> None:
        self.alive.discard(model_id)
        self.compute.submit(
            model_id, lambda models: models.drop(model_id), lambda _value, _error: None
        )

    def sweep(self) -> None:
        """Regular housekeeping: expired results, idle models out of memory, old records."""
        self.futures.sweep()
        limit = now() - timedelta(seconds=self.settings.model_ttl_s)
        sessions = self.registry.sessions.records
        idle = {s.session_id for s in sessions.values() if s.seen < limit}
        models = [m for m in self.alive if m.rpartition(":train:")[0] in idle]
        if models:
            self.compute.submit(
                "",
                lambda all_models: [all_models.park(model_id) for model_id in models],
                lambda _value, _error: None,
            )
        if now() - self._pruned > PRUNE_EVERY:
            self._pruned = now()
            kept = {checkpoint.run for checkpoint in self.store.listing()}
            for model_id in self.registry.prune(now() - RECORD_TTL, kept):
                self._drop(model_id)
            self.sweep_snapshots()

    def flush(self) -> None:
        """Write what is only in memory (at a clean end, after the worker stopped)."""
        self.disk.shutdown(wait=True)
        for run in self.registry.runs.records.values():
            self.registry.runs.put(run)

    def sweep_snapshots(self) -> None:
        """Remove private weights that no sampling session uses any more."""
        used = {s.snapshot for s in self.registry.samplers.records.values()}
        for folder in self.snapshots.iterdir():
            if folder.name not in used:
                shutil.rmtree(folder, ignore_errors=True)
