"""What a fit says about items against each other: differences, ranks, quasi standard errors.

Knows: a fit's ratings and covariance. Does not know judgments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preference.bradley_terry import BradleyTerryFit
from preference.covariance import quantile
from preference.encoding import Floats, Ints, Item
from preference.untyped import special

DRAWS = 4000
_SEED = 20_100
_MOST_ITEMS = 400  # beyond it Sidak's bound is used instead of simulation
_CHUNK_VALUES = 1 << 22


@dataclass(frozen=True, eq=False)
class Differences:
    """All pairs of items, first < second in item order.

    Attributes:
        first, second: item positions.
        value, se: rating of first minus rating of second.
        ci_low, ci_high: interval; jointly valid over all pairs when simultaneous.
        critical: what se was multiplied by.
        method: `pointwise`, `simulated maximum` or `Sidak bound`.
    """

    items: tuple[Item, ...]
    first: Ints
    second: Ints
    value: Floats
    se: Floats
    ci_low: Floats
    ci_high: Floats
    critical: float
    method: str


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where each item could stand, 1 best; all statements hold jointly at the fit's level."""

    items: tuple[Item, ...]
    rank: Ints
    low: Ints
    high: Ints


@dataclass(frozen=True, eq=False)
class QuasiErrors:
    """Quasi standard errors: se of a difference is nearly sqrt(q_i^2 + q_j^2).

    Attributes:
        worst_relative_error: over pairs, how far that is from the exact se (0.02 is 2 %).
    """

    items: tuple[Item, ...]
    quasi_se: Floats
    worst_relative_error: float


def pairwise_differences(fit: BradleyTerryFit, *, simultaneous: bool = True) -> Differences:
    """Differences of all pairs of ratings.

    With `simultaneous`, the critical value is the level's quantile of the largest |difference|/se
    over pairs, by 4,000 seeded draws from the estimate's (t) distribution, so that all intervals
    hold at once (Hothorn, Bretz and Westfall 2008, Biometrical Journal 50:346-363).
    """
    k = len(fit.items)
    first, second = (np.asarray(x, dtype=np.int64) for x in np.triu_indices(k, 1))
    c = fit.covariance
    d = np.diag(c)
    value = fit.ratings[first] - fit.ratings[second]
    se = np.sqrt(np.maximum(d[first] + d[second] - 2 * c[first, second], 0.0))
    critical, method = fit.quantile, "pointwise"
    if simultaneous and k > 2:
        critical, method = _largest(fit, first, second, se)
    half = critical * se
    return Differences(
        fit.items, first, second, value, se, value - half, value + half, critical, method
    )


def _largest(fit: BradleyTerryFit, first: Ints, second: Ints, se: Floats) -> tuple[float, str]:
    pairs = len(first)
    if len(fit.items) > _MOST_ITEMS:
        return quantile(fit.ci ** (1 / pairs), fit.degrees_of_freedom), "Sidak bound"
    values, vectors = np.linalg.eigh(fit.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    rng = np.random.default_rng(_SEED)
    draws = rng.standard_normal((DRAWS, len(fit.items))) @ root.T
    if np.isfinite(fit.degrees_of_freedom):
        chi = rng.chisquare(fit.degrees_of_freedom, DRAWS) / fit.degrees_of_freedom
        draws /= np.sqrt(chi)[:, None]
    safe = np.where(se > 0, se, np.inf)
    top = np.zeros(DRAWS)
    step = max(1, _CHUNK_VALUES // DRAWS)
    for start in range(0, pairs, step):
        part = slice(start, start + step)
        gaps = np.abs(draws[:, first[part]] - draws[:, second[part]]) / safe[part]
        np.maximum(top, gaps.max(axis=1), out=top)
    return max(float(np.quantile(top, fit.ci)), fit.quantile), "simulated maximum"


def rank_intervals(fit: BradleyTerryFit) -> Ranks:
    """Intervals of ranks from simultaneous differences.

    An item's best possible rank is 1 + the number of items surely above it, its worst the number
    of items minus those surely below (Mogstad, Romano, Shaikh and Wilhelm 2024, REStud 91:476-518).
    """
    k = len(fit.items)
    d = pairwise_differences(fit)
    above, below = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.int64)
    up, down = d.ci_low > 0, d.ci_high < 0
    np.add.at(below, d.first[up], 1)
    np.add.at(above, d.second[up], 1)
    np.add.at(above, d.first[down], 1)
    np.add.at(below, d.second[down], 1)
    rank = np.empty(k, dtype=np.int64)
    rank[np.argsort(-fit.ratings, kind="stable")] = np.arange(1, k + 1)
    return Ranks(fit.items, rank, 1 + above, k - below)


def quasi_se(fit: BradleyTerryFit) -> QuasiErrors:
    """Quasi standard errors (Firth and de Menezes 2004, Biometrika 91:65-80).

    Finds q with q_i^2 + q_j^2 close to the variance of every difference, by least squares on the
    log scale (iterated), so that readers can compare any two items from one number each.
    """
    k = len(fit.items)
    c = fit.covariance
    d = np.diag(c)
    if k == 2:
        half = float(np.sqrt(max(d[0] + d[1] - 2 * c[0, 1], 0.0) / 2))
        return QuasiErrors(fit.items, np.full(2, half), 0.0)
    first, second = np.triu_indices(k, 1)
    want = np.maximum(d[first] + d[second] - 2 * c[first, second], 1e-300)
    q = np.maximum((want.mean() / 2) * np.ones(k), 1e-300)
    for _ in range(200):  # Gauss-Newton on log(q_i + q_j) - log(want)
        total = q[first] + q[second]
        residual = np.log(total) - np.log(want)
        w = 1 / total
        normal = np.zeros((k, k))
        np.add.at(normal, (first, second), w * w)
        normal += normal.T
        normal[np.arange(k), np.arange(k)] += np.bincount(first, w * w, k) + np.bincount(
            second, w * w, k
        )
        slope = np.bincount(first, w * residual, k) + np.bincount(second, w * residual, k)
        step = np.linalg.lstsq(normal, slope, rcond=None)[0]
        size = 1.0
        while (q - size * step <= 0).any() and size > 1e-6:
            size /= 2
        q = np.maximum(q - size * step, 1e-300)
        if float(np.abs(step).max()) < 1e-12 * float(q.max()):
            break
    error = np.abs(np.sqrt((q[first] + q[second]) / want) - 1).max()
    return QuasiErrors(fit.items, np.sqrt(q), float(error))


def chance_better(fit: BradleyTerryFit, first: Item, second: Item) -> float:
    """One-sided confidence, 0 to 1, that `first` is rated above `second`."""
    d = fit.difference(first, second)
    if d.se == 0:
        return 0.5 if d.value == 0 else float(d.value > 0)
    z = d.value / d.se
    if np.isinf(fit.degrees_of_freedom):
        return float(special.ndtr(z))
    return float(special.stdtr(fit.degrees_of_freedom, z))
