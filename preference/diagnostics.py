"""Does the model hold: goodness of fit, circles, drift.

Knows: a fit with its counts, and judgments in time order. Does not know why a model fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from preference.arguments import listed
from preference.bradley_terry import BradleyTerryFit, as_prior, fit_judgments
from preference.encoding import Floats, Item, encode, encode_clusters
from preference.errors import InputError, PreferenceError
from preference.outcomes import TieModel, probabilities
from preference.untyped import special


@dataclass(frozen=True, eq=False)
class GoodnessOfFit:
    """Pearson's test of observed against expected counts.

    Attributes:
        statistic, degrees_of_freedom, p_value: over pairs (and placements) and verdicts.
        worst: the pairs with the largest standardised residuals: (first, second, residual); a
            positive one means that first won more than the ratings say.
        explanation: when the p-value should not be read, why.
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float
    worst: tuple[tuple[Item, Item, float], ...]
    explanation: str | None = None


@dataclass(frozen=True)
class Cycle:
    """first beats second beats third beats first, head to head.

    `z` are the three standardised margins; `evidence` is the smallest: how many standard errors the
    weakest link is away from even. Below 2 it may well be chance.
    """

    first: Item
    second: Item
    third: Item
    z: tuple[float, float, float]
    evidence: float


@dataclass(frozen=True, eq=False)
class Drift:
    """Ratings of the later judgments minus those of the earlier.

    Attributes:
        change, z: per item; |z| above about 3 is drift, not noise.
        statistic, degrees_of_freedom, p_value: all items together.
    """

    items: tuple[Item, ...]
    change: Floats
    z: Floats
    statistic: float
    degrees_of_freedom: int
    p_value: float


def goodness_of_fit(fit: BradleyTerryFit, most: int = 10) -> GoodnessOfFit:
    """Pearson's chi-squared over cells; with covariates or weights read the residuals only."""
    c = fit.cells
    place = {item: i for i, item in enumerate(fit.items)}
    order = np.array([place[item] for item in c.items], dtype=np.int64)
    ratings = fit.ratings[order]
    gamma = fit.placement_effect or 0.0
    eta = ratings[c.a] - ratings[c.b] + gamma * c.placement
    tie = fit.effects.get("log_tie_parameter")
    model: TieModel = "half" if tie is None else fit.tie_model
    p = np.stack(probabilities(model, eta, 0.0 if tie is None else tie.value))
    seen = np.stack([c.wins_a, c.wins_b, c.ties])
    if model == "half":
        seen = np.stack([c.wins_a + c.ties / 2, c.wins_b + c.ties / 2, np.zeros(len(eta))])
    n = seen.sum(axis=0)
    used = n > 0
    expected = p[:, used] * n[used]
    outcomes = 2 if model == "half" else 3
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(expected > 0, (seen[:, used] - expected) ** 2 / expected, 0.0)
    statistic = float(parts[:outcomes].sum())
    free = len(fit.items) - 1 + len(fit.effects)
    degrees = int(used.sum()) * (outcomes - 1) - free
    score = (seen[0] - seen[1])[used] - n[used] * (p[0] - p[1])[used]
    spread = n[used] * (p[0] + p[1] - (p[0] - p[1]) ** 2)[used]
    residual = score / np.sqrt(np.maximum(spread, 1e-300))
    names_a, names_b = c.a[used], c.b[used]
    worst = tuple(
        (c.items[int(names_a[i])], c.items[int(names_b[i])], float(residual[i]))
        for i in np.argsort(-np.abs(residual), kind="stable")[:most]
    )
    why = None
    if degrees <= 0:
        why = "as many parameters as pairs: every fit is perfect"
    elif float((expected[:outcomes] < 5).mean()) > 0.2:
        why = "too few judgments a pair for the p-value (a fifth of expected counts below 5)"
    elif any(name not in ("placement", "log_tie_parameter") for name in fit.effects):
        why = "covariates are not in the expected counts"
    p_value = float(special.chdtrc(degrees, statistic)) if degrees > 0 else float("nan")
    return GoodnessOfFit(statistic, degrees, p_value, worst, why)


def intransitive_cycles(fit: BradleyTerryFit, *, most: int = 20, least: float = 0.0) -> list[Cycle]:
    """Circles of three in the head-to-head results, strongest evidence first.

    The margin of a pair is (wins - losses) / sqrt(wins + losses): a standard normal when the two
    are equal. Only circles whose weakest link exceeds `least` are listed.
    """
    wins = fit.cells.wins()
    total = wins + wins.T
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(total > 0, (wins - wins.T) / np.sqrt(total), 0.0)
    up = z > least
    items = fit.cells.items
    found: list[Cycle] = []
    for i in range(len(items)):
        for j in np.flatnonzero(up[i]):
            for k in np.flatnonzero(up[j] & up[:, i]):
                if i < j and i < k:
                    margins = (float(z[i, j]), float(z[j, k]), float(z[k, i]))
                    found.append(
                        Cycle(items[i], items[int(j)], items[int(k)], margins, min(margins))
                    )
    found.sort(key=lambda c: (-c.evidence, str(c.first), str(c.second)))
    return found[:most]


def _booleans(later: Any) -> Any:
    if getattr(later, "dtype", None) == np.bool_ and getattr(later, "ndim", 0) == 1:
        return np.asarray(later)
    values = listed(later, "later")
    for i, value in enumerate(values):
        if not isinstance(value, (bool, np.bool_)):
            raise InputError(f"later {value!r} at index {i}: use True for the later part or False")
    return np.array(values, dtype=np.bool_)


def drift(
    item_a: Any,
    item_b: Any,
    verdict: Any,
    *,
    later: Any,
    cluster: Any = None,
) -> Drift:
    """Whether ratings differ between earlier and later judgments.

    Args:
        item_a: n items.
        item_b: n items, the other side.
        verdict: n verdicts.
        later: n booleans: True for the later part (for example the second half in time).
        cluster: annotator labels for robust errors (a person in both parts is taken as two).

    Raises:
        InputError: one part is empty or holds other items.
        PreferenceError: one part alone has no finite ratings.
    """
    mask = _booleans(later)
    j = encode(item_a, item_b, verdict)
    if len(mask) != j.n:
        raise InputError(f"later has {len(mask)} values where verdict has {j.n}")
    if mask.all() or not mask.any():
        raise InputError(f"the {'earlier' if mask.all() else 'later'} part holds no judgment")
    groups = [] if cluster is None else encode_clusters(cluster, j.n)
    fits: list[BradleyTerryFit] = []
    for part, name in ((~mask, "earlier"), (mask, "later")):
        rows = np.flatnonzero(part)
        try:
            fits.append(
                fit_judgments(
                    j.take(rows),
                    [g[rows] for g in groups],
                    ties="davidson",
                    ci=0.95,
                    prior=as_prior(None),
                    variance="sandwich",
                )
            )
        except PreferenceError as error:
            raise type(error)(f"in the {name} part: {error}") from None
    early, late = fits
    if early.items != late.items:
        other = sorted({*map(str, early.items)} ^ {*map(str, late.items)})
        raise InputError(f"items in one part only: {', '.join(other[:6])}")
    change = late.ratings - early.ratings
    c = late.covariance + early.covariance
    se = np.sqrt(np.maximum(np.diag(c), 1e-300))
    k = len(change)
    statistic = float(change @ np.linalg.pinv(c, rcond=1e-10, hermitian=True) @ change)
    return Drift(
        early.items,
        change,
        change / se,
        statistic,
        k - 1,
        float(special.chdtrc(k - 1, statistic)),
    )
