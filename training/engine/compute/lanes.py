"""What is being sampled: a lane a set of weights, small requests and bulk apart, in slices of time.

Lanes take turns, small ones every other slice, so that a chat beside a thousand candidates gets
half of the time whatever the size of the others' batch. New sequences join between decoding steps.
Owned by the worker's thread. Knows no HTTP and no training.
"""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from training.engine.compute.models import Models
from training.engine.compute.sampling import Cohort
from training.engine.compute.sharing import Line, Load, Room
from training.engine.compute.tasks import Row, Task
from training.engine.messages import SampleResult

logger = logging.getLogger(__name__)

ABSORB_EVERY = 8
ABSORB_TOKENS = 8192
PREFILL_S = 0.25
PREFILL_ALONE_S = 1.0
"""Prompts are read in one go for so long at most, beside others and alone; one prompt always is."""
FEW_TOKENS = 512
"""Fewer say little about how long a token takes."""
MAX_ROWS = 256
CPU_KV_BYTES = 128 * 1024 * 1024

Done = Callable[[Any, Exception | None], None]
"""Called on the worker's thread with a result or an exception; must be quick and not raise."""


@dataclass
class Arrival:
    """A request that came, with its sequences and its callback."""

    task: Task
    rows: list[Row]
    done: Done


@dataclass
class Lane:
    """What is sampled from one set of weights, small requests or bulk."""

    weights: str
    small: bool
    line: Line = field(default_factory=Line)
    cohort: Cohort | None = None
    steps: int = 0

    @property
    def cost(self) -> int:
        """Columns that its sequences hold or may come to need."""
        return self.cohort.cost if self.cohort else 0


class Lanes:
    """All lanes of one worker."""

    def __init__(
        self,
        models: Models,
        kv_budget_bytes: int | None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        """Bind the models; the budget is for keys and values (None: see ``EngineSettings``)."""
        self.models = models
        self._clock = clock
        self._token_s = 0.0
        self.base = models.base
        self._lanes: OrderedDict[tuple[str, bool], Lane] = OrderedDict()
        self._done: dict[Task, Done] = {}
        self._load = Load()
        self._columns = self._kv_columns(kv_budget_bytes)
        self._last_was_small = False

    def __bool__(self) -> bool:
        return bool(self._lanes)

    @property
    def held(self) -> int:
        """How many requests are unanswered."""
        return len(self._done)

    def add(self, arrivals: Iterable[Arrival]) -> None:
        """Let requests wait in their lanes; what came together is judged together."""
        came = list(arrivals)
        for arrival in came:
            self._done[arrival.task] = arrival.done
            self._load.add(arrival.task)
        for arrival in came:
            lane = self._lane(arrival.task.request.weights, self._load.is_small(arrival.task))
            lane.line.add(arrival.task, arrival.rows)

    def _lane(self, weights: str, small: bool) -> Lane:
        first = self._lanes.get((weights, True))
        if not small and first and (weights, False) not in self._lanes and self._is_bulk(first):
            # What began as a small request turns out to be the first of many.
            first.small = False
            self._lanes[(weights, False)] = self._lanes.pop((weights, True))
        return self._lanes.setdefault((weights, small), Lane(weights, small))

    def _is_bulk(self, lane: Lane) -> bool:
        """Whether nothing in a lane is small any more."""
        rows = lane.cohort.rows if lane.cohort else []
        return not any(
            self._load.is_small(t) for t in [*(r.task for r in rows), *lane.line.tasks()]
        )

    # A slice of time

    def run(self, over: Callable[[], bool], *, alone: bool = True) -> None:
        """Decode in the lane whose turn it is until ``over`` says that the slice is over.

        Args:
            over: asked after each decoding step.
            alone: whether nothing but sampling waits for the thread.
        """
        alone = alone and len(self._lanes) == 1
        lane = self._next_lane()
        self._last_was_small = lane.small
        try:
            with torch.inference_mode(), self.models.sampling_from(lane.weights):
                self._join_bulk(lane)
                while True:
                    if lane.line and (lane.cohort is None or lane.steps >= ABSORB_EVERY):
                        self._admit(lane, PREFILL_ALONE_S if alone else PREFILL_S)
                    if lane.cohort is None:
                        break
                    for task in lane.cohort.step():
                        self._report(task, task.result(), None)
                    lane.steps += 1
                    if not lane.cohort.rows:
                        lane.cohort = None
                    if over():
                        break
        except Exception as error:  # noqa: BLE001 - every failure belongs to the requests
            self._fail_lane(lane, error)
        if lane.cohort is None and not lane.line:
            del self._lanes[(lane.weights, lane.small)]

    def _next_lane(self) -> Lane:
        lanes = self._lanes.values()
        other = [lane for lane in lanes if lane.small is not self._last_was_small]
        lane = next(iter(other or lanes))
        self._lanes.move_to_end((lane.weights, lane.small))
        return lane

    def _join_bulk(self, lane: Lane) -> None:
        """Let what is small no more go on with the bulk of the same weights."""
        bulk = self._lanes.get((lane.weights, False))
        if not lane.small or bulk is None or lane.cohort is None or not self._is_bulk(lane):
            return
        lane.line.drain_into(bulk.line)
        cohort, lane.cohort = lane.cohort, None
        if bulk.cohort is None:
            bulk.cohort = cohort
        else:
            bulk.cohort.absorb(cohort)

    def _admit(self, lane: Lane, seconds: float) -> None:
        """Start as many waiting sequences as there is room for and can be read in that time."""
        lane.steps = 0
        limit = min(float(ABSORB_TOKENS), seconds / self._token_s if self._token_s else math.inf)
        rows = self._next_rows(lane, limit)
        if not rows:
            return
        started = self._clock()
        try:
            cohort = Cohort(self.base, rows)
            self._learn(rows, self._clock() - started)
        except Exception as error:  # noqa: BLE001 - of these requests, not of those being decoded
            self._fail(rows, error)
            return
        if lane.cohort is None:
            lane.cohort = cohort
            return
        try:
            lane.cohort.absorb(cohort)
        except Exception as error:
            self._fail(rows, error)
            raise

    def _learn(self, rows: list[Row], seconds: float) -> None:
        """How long it takes to read a token of a prompt."""
        tokens = sum(len(task.request.prompt) for task in {row.task for row in rows})
        if tokens >= FEW_TOKENS or seconds > PREFILL_S:
            self._token_s = seconds / tokens

    def _next_rows(self, lane: Lane, token_limit: float) -> list[Row]:
        held = list(self._lanes.values())
        room = Room(
            self._columns,
            small=sum(other.cost for other in held if other.small),
            bulk=sum(other.cost for other in held if not other.small),
        )
        bulk_lanes = sum(1 for other in held if not other.small)
        mine, count = lane.cost, len(lane.cohort.rows) if lane.cohort else 0
        rows: list[Row] = []
        read: set[Task] = set()  # a prompt is read once for all its sequences
        tokens = 0
        while count + len(rows) < MAX_ROWS and tokens < token_limit:
            row = lane.line.peek()
            if row is None:
                break
            if row.task.cancelled or row.task not in self._done:
                self._report(lane.line.drop(), SampleResult([]), None)
                continue
            if lane.small and not room.admits_small(row.cost):
                break
            if not lane.small and not room.admits_bulk(row.cost, mine, bulk_lanes):
                break
            rows.append(lane.line.take())
            row.task.started = True
            mine += row.cost
            if row.task not in read:
                read.add(row.task)
                tokens += len(row.task.request.prompt)
            if lane.small:
                room.small += row.cost
            else:
                room.bulk += row.cost
        return rows

    # Answers

    def _fail_lane(self, lane: Lane, error: Exception) -> None:
        tasks = list(lane.line.tasks())
        rows = lane.cohort.rows if lane.cohort else []
        lane.line = Line()
        lane.cohort = None
        self._fail(rows, error, tasks)

    def _fail(self, rows: Iterable[Row], error: Exception, tasks: Iterable[Task] = ()) -> None:
        logger.warning("sampling failed: %s", error, exc_info=not hasattr(error, "status"))
        for task in dict.fromkeys([*(row.task for row in rows), *tasks]):
            self._report(task, None, error)

    def _report(self, task: Task, result: SampleResult | None, error: Exception | None) -> None:
        done = self._done.pop(task, None)
        if done is not None:
            self._load.remove(task)
            done(result, error)

    def _kv_columns(self, budget: int | None) -> int:
        config = self.base.config
        heads = int(config.num_attention_heads)
        kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
        size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        if budget is None and self.base.device.type == "cuda":
            budget = torch.cuda.mem_get_info(self.base.device)[0] // 4
        return (budget or CPU_KV_BYTES) // (self.base.n_layers * 2 * kv_heads * size * 4)
