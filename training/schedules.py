"""Which rows each step takes and at what learning rate: pure functions of step and seed.

Because nothing here has state, a resumed run continues exactly where it stopped.
"""

import math
import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")
SCHEDULES = ("constant", "linear", "cosine")


def rate(step: int, steps: int, peak: float, schedule: str, warmup: float) -> float:
    """Learning rate of a step, counted from 0.

    Args:
        step: 0 to steps - 1.
        steps: of the whole run.
        peak: largest rate.
        schedule: ``constant``, ``linear`` (to zero after the last step) or ``cosine`` (likewise).
        warmup: share of the steps over which the rate rises linearly, 0 to 1.
    """
    rising = max(1, round(warmup * steps)) if warmup > 0 else 0
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    done = (step - rising) / max(1, steps - rising)
    if schedule == "linear":
        return peak * (1 - done)
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    return peak


def even_batches(count: int, batch: int) -> int:
    """How many batches hold ``count`` rows, none left out, none larger than ``batch``."""
    return max(1, math.ceil(count / batch))


def batch_of(rows: Sequence[Item], step: int, batch: int, seed: int) -> list[Item]:
    """The rows of a step: each epoch is shuffled anew and split into batches of nearly one size.

    No row is dropped: 37 rows in batches of 16 make three steps of 13, 12 and 12.
    """
    batches = even_batches(len(rows), batch)
    epoch, position = divmod(step, batches)
    order = list(range(len(rows)))
    random.Random(f"{seed}:{epoch}").shuffle(order)
    return [rows[index] for index in order[position::batches]]


def stream_of(rows: Sequence[Item], step: int, count: int, seed: int) -> list[Item]:
    """``count`` rows of an endless stream that is shuffled anew each time round."""
    taken = []
    for place in range(step * count, (step + 1) * count):
        time_round, index = divmod(place, len(rows))
        order = list(range(len(rows)))
        random.Random(f"{seed}:replay:{time_round}").shuffle(order)
        taken.append(rows[order[index]])
    return taken
