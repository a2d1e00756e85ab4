"""The one thread that owns torch: training requests and sampling share it in small slices.

Requests of one model run in the order they came; models take turns; sampling and training get half
of the time each while both have work. Knows no HTTP: results go to callbacks.
"""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from training.engine.compute.base import BaseModel
from training.engine.compute.memory import release_memory
from training.engine.compute.models import Models
from training.engine.compute.sampling import Cohort
from training.engine.compute.tasks import Row, Task, rows_of
from training.engine.messages import SampleRequest, SampleResult

logger = logging.getLogger(__name__)

SLICE_S = 0.025
ABSORB_EVERY = 8
ABSORB_TOKENS = 8192
MAX_ROWS = 256
CPU_KV_BYTES = 128 * 1024 * 1024
GATHER_S = 0.004
GATHER_LIMIT_S = 0.04
"""Requests come in bursts: an idle worker waits this long for one more before it starts a batch."""

Done = Callable[[Any, Exception | None], None]
"""Called on the worker's thread with a result or an exception; must be quick and not raise."""
Operation = Callable[[Models], Any]
"""Runs on the worker's thread; a generator is run in slices, its last value is the result."""


@dataclass
class _Job:
    operation: Operation
    done: Done
    running: Iterator[Any] | None = None


@dataclass
class _Lane:
    """Everything sampled from one set of weights."""

    waiting: deque[Row] = field(default_factory=deque)
    cohort: Cohort | None = None
    steps: int = 0


class Worker(threading.Thread):
    """Runs operations and sampling until :meth:`stop`."""

    def __init__(
        self,
        models: Models,
        kv_budget_bytes: int | None = None,
        on_crash: Callable[[], None] = lambda: None,
    ):
        """Bind the models.

        Args:
            models: what operations get.
            kv_budget_bytes: memory for the cache of sequences being sampled; None is 128 MiB on
                CPU and a quarter of the free memory on CUDA.
            on_crash: called when the thread itself fails, after which nothing would be answered.
        """
        super().__init__(name="engine-compute", daemon=True)
        self._on_crash = on_crash
        self.models = models
        self.base: BaseModel = models.base
        self._wake = threading.Condition()
        self._jobs: OrderedDict[str, deque[_Job]] = OrderedDict()
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._done: dict[Task, Done] = {}
        self._incoming: deque[tuple[Task, list[Row]]] = deque()
        self._stopping = False
        self._spent = {"train": 0.0, "sample": 0.0}
        self._columns = self._kv_columns(kv_budget_bytes)

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
            self._done[task] = done
            self._incoming.append((task, rows))
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
                while self._incoming:
                    task, rows = self._incoming.popleft()
                    lane = self._lanes.setdefault(task.request.weights, _Lane())
                    lane.waiting.extend(rows)
            kind = self._choose()
            started = time.perf_counter()
            (self._train_slice if kind == "train" else self._sample_slice)()
            self._spent[kind] += time.perf_counter() - started

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

    def _train_slice(self) -> None:
        until = time.perf_counter() + SLICE_S
        while self._jobs and time.perf_counter() < until:
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

    # Sampling

    def _sample_slice(self) -> None:
        key, lane = next(iter(self._lanes.items()))
        self._lanes.move_to_end(key)
        until = time.perf_counter() + SLICE_S
        try:
            with torch.inference_mode(), self.models.sampling_from(key):
                while True:
                    if lane.waiting and (lane.cohort is None or lane.steps >= ABSORB_EVERY):
                        self._admit(lane)
                    if lane.cohort is None:
                        break
                    for task in lane.cohort.step():
                        self._report(task, task.result(), None)
                    lane.steps += 1
                    if not lane.cohort.rows:
                        lane.cohort = None
                    if time.perf_counter() > until:
                        break
                    if self._incoming:
                        break
        except Exception as error:  # noqa: BLE001 - every failure belongs to the requests
            self._fail_lane(lane, error)
        if lane.cohort is None and not lane.waiting:
            del self._lanes[key]

    def _admit(self, lane: _Lane) -> None:
        """Start as many waiting rows as fit in memory."""
        used = sum(lane.cohort.cost for lane in self._lanes.values() if lane.cohort)
        count = len(lane.cohort.rows) if lane.cohort else 0
        rows: list[Row] = []
        tokens = 0
        while lane.waiting and count + len(rows) < MAX_ROWS and tokens < ABSORB_TOKENS:
            row = lane.waiting[0]
            if row.task.cancelled or row.task not in self._done:
                lane.waiting.popleft()
                self._drop_cancelled(row.task)
                continue
            if used + row.cost > self._columns and (used or rows):
                break
            lane.waiting.popleft()
            rows.append(row)
            used += row.cost
            tokens += len(row.task.request.prompt)
        lane.steps = 0
        if not rows:
            return
        cohort = Cohort(self.base, rows)
        if lane.cohort is None:
            lane.cohort = cohort
        else:
            lane.cohort.absorb(cohort)

    def _drop_cancelled(self, task: Task) -> None:
        self._report(task, SampleResult([]), None)

    def _fail_lane(self, lane: _Lane, error: Exception) -> None:
        logger.warning("sampling failed: %s", error, exc_info=not hasattr(error, "status"))
        rows = list(lane.waiting) + (lane.cohort.rows if lane.cohort else [])
        lane.waiting.clear()
        lane.cohort = None
        for task in dict.fromkeys(row.task for row in rows):
            self._report(task, None, error)

    def _report(self, task: Task, result: SampleResult | None, error: Exception | None) -> None:
        done = self._done.pop(task, None)
        if done is not None:
            done(result, error)

    def _kv_columns(self, budget: int | None) -> int:
        config = self.base.config
        heads = int(config.num_attention_heads)
        kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
        size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        if budget is None and self.base.device.type == "cuda":
            budget = torch.cuda.mem_get_info(self.base.device)[0] // 4
        return (budget or CPU_KV_BYTES) // (self.base.n_layers * 2 * kv_heads * size * 4)
