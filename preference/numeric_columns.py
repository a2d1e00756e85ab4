"""Columns of numbers: weights, placement and covariates, checked.

Knows: which numbers mean something and how to say, with index and value, which do not. Does not
know items, verdicts or models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from preference.errors import InputError
from preference.untyped import pd

Floats = NDArray[np.float64]

RESERVED = ("placement", "log_tie_parameter")  # names that effects of the model have
LEAST_WEIGHT, MOST_WEIGHT = 1e-9, 1e9  # beyond these, sums and factorisations lose their digits
LEAST_SIZE, MOST_SIZE = 1e-5, 1e6  # of a covariate's largest value, for the same reason


def encode_weights(weight: Any, n: int) -> Floats:
    """Weights as float64, finite and not negative.

    Raises:
        InputError: with index and value, or when all are zero.
    """
    w = numeric(weight, "weight")
    same_length(n, weight=len(w))
    bad = ~(np.isfinite(w) & (w >= 0))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise InputError(f"weight {w[i]:g} at index {i} must be a finite number, zero or more")
    bad = (w > MOST_WEIGHT) | ((w > 0) & (w < LEAST_WEIGHT))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"weight {w[i]:g} at index {i} is beyond {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}: "
            "multiply all weights by one number, so that most are near 1"
        )
    if not w.any():
        raise InputError("every weight is zero: no judgment counts")
    return w


def encode_placement(placement: Any, n: int) -> NDArray[np.int8]:
    """Placement as int8 in -1, 0, +1.

    Raises:
        InputError: any other value, with its index.
    """
    given = cast("NDArray[Any]", placement) if isinstance(placement, np.ndarray) else None
    small = given is not None and given.ndim == 1 and given.dtype == np.int8
    p: NDArray[Any] = given if given is not None and small else numeric(placement, "placement")
    if not small and _first_bool(placement):
        raise InputError("placement holds True and False: use +1 where a had the first place, -1")
    same_length(n, placement=len(p))
    bad = (p != -1) & (p != 0) & (p != 1)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"placement {p[i]:g} at index {i} is unknown: +1 where a had the first place, "
            "-1 where b had it, 0 for neither"
        )
    return p.astype(np.int8, copy=False)


def encode_covariates(covariates: Any, n: int) -> tuple[Floats, tuple[str, ...]]:
    """Covariates as an (n, m) float array and their names.

    Raises:
        InputError: NaN or infinite value with its index, wrong length.
    """
    names: tuple[str, ...]
    if isinstance(covariates, pd.DataFrame):
        labels = [str(c) for c in list(covariates)]
        if len(set(labels)) < len(labels):
            raise InputError(f"covariates {', '.join(labels)}: two columns share a name")
        covariates = {c: covariates.iloc[:, i].array for i, c in enumerate(labels)}
    if isinstance(covariates, Mapping):
        columns = {str(k): v for k, v in cast("Mapping[Any, Any]", covariates).items()}
        names = tuple(columns)
        arrays = [_covariate(columns[k], k) for k in names]
        same_length(n, **{f"covariate {k}": len(v) for k, v in zip(names, arrays, strict=True)})
        x = np.column_stack(arrays) if arrays else np.zeros((n, 0))
    else:
        try:
            x = np.asarray(covariates, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError("covariates must hold numbers") from None
        x = x[:, None] if x.ndim == 1 else x
        if x.ndim != 2:
            raise InputError(f"covariates must have shape (n,) or (n, m), not {x.shape}")
        names = tuple(f"covariate_{j}" for j in range(x.shape[1]))
        same_length(n, covariates=len(x))
    bad = ~np.isfinite(x)
    if bad.any():
        i, j = (int(v) for v in np.argwhere(bad)[0])
        raise InputError(f"covariate {names[j]} is {x[i, j]} at index {i}: every value is needed")
    for j, name in enumerate(names):
        _refuse_useless(x[:, j], name)
    return np.ascontiguousarray(x), names


def _covariate(values: Any, name: str) -> Floats:
    """One covariate; names (a persona, say) speak for neither side and are refused."""
    if name in RESERVED:
        raise InputError(f"covariate {name!r} has the name of another effect: call it differently")
    kind = "category" if isinstance(values, pd.Categorical) else ""
    first = next(iter(values), None) if hasattr(values, "__len__") and len(values) else None
    if kind == "category" or isinstance(first, str):
        raise InputError(
            f"covariate {name} {first!r} at index 0 is not a number but a name, which speaks for "
            f"neither side: give a difference a - b, or compare the ratings of each {name} with "
            "ratings_by"
        )
    return numeric(values, f"covariate {name}")


def _refuse_useless(x: Floats, name: str) -> None:
    """Refuse a covariate that never varies or whose unit is far from its effect's."""
    low, high = float(x.min()), float(x.max())
    if low == high and len(x) > 1:
        raise InputError(
            f"covariate {name} is {low:g} throughout, so its effect cannot be seen: leave it out "
            "(for being shown first there is placement)"
        )
    size = max(abs(low), abs(high))
    if not LEAST_SIZE <= size <= MOST_SIZE:
        unit = 10.0 ** np.floor(np.log10(size)) if size else 1.0
        raise InputError(f"covariate {name} reaches {size:g}: divide it by {unit:g}")


def numeric(values: Any, name: str) -> Floats:
    """A column as float64; missing values become NaN.

    Raises:
        InputError: a value is not a number (with its index), or the shape is wrong.
    """
    if getattr(getattr(values, "dtype", None), "kind", "") in "cmM" and hasattr(values, "dtype"):
        raise InputError(f"{name} has dtype {values.dtype}: use numbers")
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        for i, value in enumerate(values):
            try:
                float(value)
            except (TypeError, ValueError):
                raise InputError(f"{name} {value!r} at index {i} is not a number") from None
        raise InputError(f"{name} must hold numbers") from None
    if array.ndim != 1:
        raise InputError(f"{name} must have one dimension, not shape {array.shape}")
    return array


def _first_bool(values: Any) -> bool:
    first = next(iter(values), None)
    return isinstance(first, (bool, np.bool_))


def same_length(n: int, **lengths: int) -> None:
    """Refuse a column whose length is not that of the verdicts."""
    for name, length in lengths.items():
        if length != n:
            raise InputError(f"{name} has {length} values where verdict has {n}")
