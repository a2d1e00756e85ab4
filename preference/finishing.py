"""How long will it take? Time to the end of some work at its pace so far, with an honest range.

Knows: when pieces of work were done, and how many are left. Does not know by whom or what they are.

People work in sittings, so pieces come in bursts and a count is far less certain than its square
root. The time from the first piece to now is cut into equal parts, and the spread of their counts
says how bursty the work is: with dispersion φ = variance / mean (1 at least) of the parts' counts,
the logarithm of the pace of the n pieces so far varies by √(φ/n), that of the m to come by √(φ/m)
(quasi-Poisson: McCullagh and Nelder 1989, section 6.2), and the range is that of 8 in 10 cases by
Student's t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from preference.covariance import quantile
from preference.errors import InputError

FEWEST = 10
"""Pieces before which no time is told."""
SHORTEST = 0.25
"""Hours from the first piece before which no time is told."""
SURE = 0.8
_PARTS = 12


@dataclass(frozen=True)
class Finish:
    """When work will be done at its pace.

    Attributes:
        left: pieces to do.
        done: pieces that the pace is of.
        span: hours that the pace is of.
        hours: until it is done.
        low, high: hours, the range of 8 in 10 cases.
    """

    left: int
    done: int
    span: float
    hours: float
    low: float
    high: float


def time_to_finish(hours_ago: Any, left: int) -> Finish | None:
    """When the rest will be done at the pace of what was done.

    Args:
        hours_ago: when each piece was done, in hours before now; in any order.
        left: pieces to do.

    Returns:
        None while fewer than 10 pieces or less than a quarter of an hour are known.

    Raises:
        InputError: left is negative, or a time is not a number or lies in the future.
    """
    when = np.asarray(hours_ago, dtype=np.float64)
    if left < 0:
        raise InputError(f"left must be 0 or more, not {left}")
    if not np.isfinite(when).all() or (when < 0).any():
        raise InputError("hours_ago has a value that is negative or no number")
    n = len(when)
    if n < FEWEST or float(when.max()) < SHORTEST:
        return None
    span = float(when.max())
    parts = int(np.clip(n // 4, 3, _PARTS))
    counts = np.histogram(when, bins=parts, range=(0.0, span))[0]
    dispersion = max(1.0, float(counts.var(ddof=1) / counts.mean()))
    spread = quantile(SURE, parts - 1) * float(np.sqrt(dispersion * (1 / n + 1 / max(left, 1))))
    hours = left * span / n
    return Finish(
        left, n, span, hours, hours * float(np.exp(-spread)), hours * float(np.exp(spread))
    )
