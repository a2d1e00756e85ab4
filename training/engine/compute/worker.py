"""The one thread that owns torch: training requests and sampling share it in small slices.

Requests of one model run in the order they came; models take turns; sampling and training get half
of the time each while both have work. A slice ends after a micro-batch or a decoding step at the
latest, however long the request. Knows no HTTP: results go to callbacks.
"""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from training.engine.compute.base import BaseModel
from training.engine.compute.lanes import MAX_ROWS, Arrival, Done, Lanes
from training.engine.compute.memory import release_memory
from training.engine.compute.models import Models
from training.engine.compute.tasks import Task, rows_of
from training.engine.messages import SampleRequest

logger = logging.getLogger(__name__)

SLICE_S = 0.025
GATHER_S = 0.004
GATHER_LIMIT_S = 0.04
"""Requests come in bursts: an idle worker waits this long for one more before it starts a batch."""

Operation = Callable[[Models], Any]
"""Runs on the worker's thread; a generator is run in slices, its last value is the result."""


@dataclass
class _Job:
    operation: Operation
    done: Done
    running: Iterator[Any] | None = None


class Worker(threading.Thread):
    """Runs operations and sampling until :meth:`stop`."""

    def __init__(
        self,
        models: Models,
        kv_budget_bytes: int | None = None,
        on_crash: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        """Bind the models.

        Args:
            models: what operations get.
            kv_budget_bytes: memory for the cache of sequences being sampled; None is 128 MiB on
                CPU and a quarter of the free memory on CUDA.
            on_crash: called when the thread itself fails, after which nothing would be answered.
            clock: seconds, by which training and sampling share the thread.
        """
        super().__init__(name="engine-compute", daemon=True)
        self._on_crash = on_crash
        self._clock = clock
        self.models = models
        self.base: BaseModel = models.base
        self._wake = threading.Condition()
        self._jobs: OrderedDict[str, deque[_Job]] = OrderedDict()
        self._lanes = Lanes(models, kv_budget_bytes, clock)
        self._incoming: deque[Arrival] = deque()
        self._stopping = False
        self._spent = {"train": 0.0, "sample": 0.0}

    # Called from any thread

    def submit(self, model_id: str, operation: Operation, done: Done) -> None:
        """Queue an operation behind all others of the same model."""
        with self._wake:
            self._jobs.setdefault(model_id, deque()).append(_Job(operation, done))
            self._wake.notify()

    def sample(self, request: SampleRequest, done: Done) -> Task:
        """Queue a sampling request; ``done`` gets a ``SampleResult``."""
        task, rows = rows_of(self.base, request)
        with self._wake:
            self._incoming.append(Arrival(task, rows, done))
            self._wake.notify()
        return task

    def cancel(self, task: Task) -> None:
        """Stop working on a request soon; its callback still comes, with what there is."""
        task.cancelled = True

    def stop(self, timeout: float = 20.0) -> None:
        """End after the running slice, then move all training models to disk."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self.is_alive():
            self.join(timeout)

    # The thread

    def run(self) -> None:
        """Alternate between training and sampling until stopped."""
        try:
            self._loop()
            self.models.park_all(unfinished=set(self._jobs))
        except BaseException:
            logger.exception("the compute thread failed")
            self._on_crash()
            raise

    def _loop(self) -> None:
        while True:
            with self._wake:
                if not (self._jobs or self._lanes):
                    self._rest()
                if self._stopping:
                    break
            self.turn()

    def turn(self) -> None:
        """Take in what came, then run one slice of training or of sampling."""
        with self._wake:
            arrivals = list(self._incoming)
            self._incoming.clear()
        self._lanes.add(arrivals)
        kind = self._choose()
        started = self._clock()
        if kind == "train":
            self._train_slice(started + SLICE_S)
        else:

            def over() -> bool:
                return self._clock() > started + SLICE_S or bool(self._incoming)

            self._lanes.run(over, alone=not self._jobs)
        self._spent[kind] += self._clock() - started

    def _rest(self) -> None:
        """Wait for work (the lock is held); for sampling, until the burst of requests is over."""
        release_memory()
        while not (self._stopping or self._jobs or self._incoming):
            self._wake.wait()
        until = time.perf_counter() + GATHER_LIMIT_S
        count = 0
        while not self._jobs and count < len(self._incoming) < MAX_ROWS:
            count = len(self._incoming)
            if time.perf_counter() > until:
                break
            self._wake.wait(GATHER_S)

    def _choose(self) -> str:
        """Whoever had less time; time not used while idle is not saved up."""
        if not self._lanes:
            return "train"
        if not self._jobs:
            return "sample"
        train, sample = self._spent["train"], self._spent["sample"]
        floor = max(train, sample) - 0.2
        self._spent = {"train": max(train, floor), "sample": max(sample, floor)}
        return "train" if self._spent["train"] <= self._spent["sample"] else "sample"

    # Training

    def _train_slice(self, until: float) -> None:
        while self._jobs and self._clock() < until:
            with self._wake:
                model_id = next(iter(self._jobs))
                self._jobs.move_to_end(model_id)
                job = self._jobs[model_id][0]
            finished = self._advance(job)
            (self.models.running.discard if finished else self.models.running.add)(model_id)
            if finished:
                with self._wake:
                    self._jobs[model_id].popleft()
                    if not self._jobs[model_id]:
                        del self._jobs[model_id]

    def _advance(self, job: _Job) -> bool:
        """Run one piece of a job; True when it is finished and reported."""
        try:
            if job.running is None:
                value = job.operation(self.models)
                if not isinstance(value, Iterator):
                    job.done(value, None)
                    return True
                job.running = value
            value = next(job.running)
            if value is None:
                return False
            job.done(value, None)
        except StopIteration:
            job.done(None, RuntimeError("the operation ended without a result"))
        except Exception as error:  # noqa: BLE001 - every failure belongs to the request
            job.done(None, error)
        return True
