"""The end of things: what is finished, expired, idle, or has to make room for what is new.

Nothing that a client still uses is taken from it: what has been silent leaves first, and where
everything is in use the newcomer is told to wait. Knows no HTTP and no torch.
"""

import shutil
from collections.abc import Iterable
from datetime import timedelta

from training.engine.errors import Busy, NotFound
from training.engine.messages import ModelFacts
from training.engine.protocol.files import now
from training.engine.protocol.registry import Sampler
from training.engine.protocol.service import Compute, Service
from training.engine.settings import EngineSettings

RECORD_TTL = timedelta(days=30)
PRUNE_EVERY = timedelta(hours=1)


class Keeping(Service):
    """Cancelling, finishing, sweeping, making room."""

    def __init__(
        self, settings: EngineSettings, facts: ModelFacts, compute: Compute, alive: set[str]
    ):
        super().__init__(settings, facts, compute, alive)
        self._pruned = now()
        self.sweep_snapshots()

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
        self._remove_samplers(samplers)

    def _drop(self, model_id: str) -> None:
        turns = self.turns.pop(model_id, None)
        if turns:
            turns.release(everything=True)  # to be told that the model is gone
        self.alive.discard(model_id)
        self.compute.submit(
            model_id, lambda models: models.drop(model_id), lambda _value, _error: None
        )

    def sweep(self) -> None:
        """Regular housekeeping: expired results, idle models out of memory, old records."""
        self.futures.sweep()
        self._save_runs()
        for request_id in list(self.tasks):
            if self.futures.is_abandoned(request_id, self.settings.model_ttl_s):
                self.cancel(request_id)
                self.futures.drop(request_id)
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

    def make_room_for_model(self) -> None:
        """Let go of what silent clients trained, when there are too many models.

        Raises:
            Busy: all are in use.
        """
        limits = self.limits
        if len(self.alive) >= limits.models:
            silent = now() - timedelta(seconds=self.settings.model_ttl_s)
            for model_id in self.registry.silent_models(silent)[: limits.models // 16 + 1]:
                self._drop(model_id)
            if len(self.alive) >= limits.models:
                raise Busy(
                    f"{limits.models} models are being trained on this engine, its limit; close "
                    "a ServiceClient that is no longer used"
                )
        if len(self.registry.runs.records) >= limits.runs:
            self.registry.forget_runs(
                self.alive | {checkpoint.run for checkpoint in self.store.listing()}
            )

    def make_room_for_snapshot(self) -> None:
        """Remove the private weights that nobody sampled from for longest."""
        used = {request_id.rpartition(":")[0] for request_id in self.tasks}
        self._remove_samplers(self.registry.oldest_snapshots(used))

    def _remove_samplers(self, samplers: Iterable[Sampler]) -> None:
        for sampler in samplers:
            if sampler.snapshot:
                folder = self.snapshots / sampler.snapshot
                self.disk.submit(shutil.rmtree, folder, ignore_errors=True)
            self.registry.samplers.remove(sampler.sampler_id)

    def release_all(self) -> None:
        """Start what waits for its turn, because the engine is ending."""
        for turns in self.turns.values():
            turns.release(everything=True)

    def flush(self) -> None:
        """Write what is only in memory (at a clean end, after the worker stopped)."""
        self.release_all()
        self.disk.shutdown(wait=True)
        self._save_runs()

    def _save_runs(self) -> None:
        """Write how far the models have come: a parked one outlives even a crash."""
        for run in self.registry.runs.records.values():
            if run.last_seq != run.saved_seq:
                self.registry.runs.put(run)

    def sweep_snapshots(self) -> None:
        """Remove private weights that no sampling session uses any more."""
        used = {s.snapshot for s in list(self.registry.samplers.records.values())}
        for folder in self.snapshots.iterdir():
            if folder.name not in used:
                shutil.rmtree(folder, ignore_errors=True)
