"""Single values that callers hand in: levels, counts, margins.

Knows: how to check one number and say what is wrong with it. Does not know columns
(`preference.encoding`) or what the number is for.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, cast

import numpy as np

from preference.errors import InputError


def level(ci: Any) -> float:
    """A confidence level strictly between 0 and 1.

    Raises:
        InputError: anything else.
    """
    if not _real(ci) or not 0 < ci < 1:
        raise InputError(f"ci {ci!r} must lie between 0 and 1, for example 0.95")
    return float(ci)


def number(
    value: Any, name: str, least: float, most: float = np.inf, *, open_: bool = False
) -> float:
    """A finite number from `least` (or above it, with `open_`) to `most`.

    Raises:
        InputError: anything else.
    """
    closed = not (open_ and value == least)
    if _real(value) and np.isfinite(value) and least <= value <= most and closed:
        return float(value)
    what = f"above {least:g}" if open_ else f"{least:g} or more"
    if most < np.inf:
        what += f", at most {most:g}"
    raise InputError(f"{name} {value!r} must be a number {what}")


def whole(value: Any, name: str, least: int = 0) -> int:
    """A whole number of at least `least`.

    Raises:
        InputError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        words = {0: "zero or more", 1: "one or more"}.get(least, f"at least {least}")
        raise InputError(f"{name} {value!r} must be a whole number, {words}")
    return int(value)


def listed(values: Any, name: str) -> list[Any]:
    """A column as a list.

    Raises:
        InputError: one value, or text, where a column is needed.
    """
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise InputError(f"{name} must be a column of values, not {type(values).__name__}")
    return list(cast("list[Any]", values))


def _real(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real)
