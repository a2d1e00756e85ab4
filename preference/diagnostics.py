"""Does the model hold: goodness of fit, the pairs that fit worst, circles.

Knows: a fit with its counts. Does not know why a model fails, nor times (`preference.drift`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preference.arguments import number, whole
from preference.bradley_terry import BradleyTerryFit
from preference.counts import ranked
from preference.encoding import Floats, Item
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
class PairResidual:
    """One pair: win rate of first over second, seen and expected from the ratings.

    `p_value`: how likely any pair's residual is to be as large, by chance (Bonferroni).
    """

    first: Item
    second: Item
    win_rate: float
    expected: float
    n: float
    residual: float
    p_value: float


@dataclass(frozen=True)
class Cycle:
    """first beats second beats third beats first, head to head.

    `z` are the three standardised margins; `evidence` is the smallest: how many standard errors the
    weakest link is away from even. `p_value`: how likely a circle so strong is by chance among so
    many pairs, if the items do have an order.
    """

    first: Item
    second: Item
    third: Item
    z: tuple[float, float, float]
    evidence: float
    p_value: float


def goodness_of_fit(fit: BradleyTerryFit, most: int = 10) -> GoodnessOfFit:
    """Pearson's chi-squared over cells; with covariates or weights read the residuals only."""
    most = whole(most, "most")
    c = fit.cells
    model, p = _expected(fit)
    seen = np.stack([c.wins_a, c.wins_b, c.ties])
    if model == "half":
        seen = np.stack([c.wins_a + c.ties / 2, c.wins_b + c.ties / 2, np.zeros(len(c.a))])
    n = seen.sum(axis=0)
    used = n > 0
    expected = p[:, used] * n[used]
    outcomes = 2 if model == "half" else 3
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(expected > 0, (seen[:, used] - expected) ** 2 / expected, 0.0)
    statistic = float(parts[:outcomes].sum())
    free = len(fit.items) - 1 + len(fit.effects)
    degrees = int(used.sum()) * (outcomes - 1) - free
    worst = tuple((r.first, r.second, r.residual) for r in pair_residuals(fit, most=most)[0])
    why = None
    if degrees <= 0:
        why = "as many parameters as pairs: every fit is perfect"
    elif float((expected[:outcomes] < 5).mean()) > 0.2:
        why = "too few judgments a pair for the p-value (a fifth of expected counts below 5)"
    elif any(name not in ("placement", "log_tie_parameter") for name in fit.effects):
        why = "covariates are not in the expected counts"
    elif model == "half" and c.ties.any():
        why = "ties counted as half wins vary less than the p-value assumes"
    p_value = float(special.chdtrc(degrees, statistic)) if degrees > 0 else float("nan")
    return GoodnessOfFit(statistic, degrees, p_value, worst, why)


def _expected(fit: BradleyTerryFit) -> tuple[TieModel, Floats]:
    """The tie model, and P(a), P(b), P(tie) of every cell, shape (3, cells)."""
    c = fit.cells
    place = {item: i for i, item in enumerate(fit.items)}
    order = np.array([place[item] for item in c.items], dtype=np.int64)
    ratings = fit.ratings[order]
    eta = ratings[c.a] - ratings[c.b] + (fit.placement_effect or 0.0) * c.placement
    tie = fit.effects.get("log_tie_parameter")
    model: TieModel = "half" if tie is None else fit.tie_model
    return model, np.stack(probabilities(model, eta, 0.0 if tie is None else tie.value))


def pair_residuals(
    fit: BradleyTerryFit, worth: Floats | None = None, *, most: int
) -> tuple[list[PairResidual], int]:
    """The pairs that fit worst, observed against expected win rates; and how many pairs there are.

    The residual is the sum of (wins - losses) less its expectation over the root of its variance,
    both from the ratings and over all placements.

    Args:
        fit: ratings and their counts.
        worth: (k, k) how many independent judgments one of a pair is worth, at most 1 (people who
            judge a pair repeatedly); residuals shrink by its root.
        most: how many pairs.
    """
    c = fit.cells
    model, p = _expected(fit)
    ties = c.ties if model != "half" else np.zeros_like(c.ties)
    won, lost = c.wins_a + (c.ties - ties) / 2, c.wins_b + (c.ties - ties) / 2
    n = won + lost + ties
    keys, inverse = ranked(c.a * c.k + c.b)

    def summed(values: Floats) -> Floats:
        return np.bincount(inverse, values, len(keys)).astype(np.float64, copy=False)

    score = summed(won - lost - n * (p[0] - p[1]))
    spread = summed(n * (p[0] + p[1] - (p[0] - p[1]) ** 2))
    seen, expected, count = summed(won + ties / 2), summed(n * (p[0] + p[2] / 2)), summed(n)
    residual = score / np.sqrt(np.maximum(spread, 1e-300))
    if worth is not None:
        residual *= np.sqrt(worth.ravel()[keys])
    residual = np.where(count > 0, residual, 0.0)
    pairs = int((count > 0).sum())
    out: list[PairResidual] = []
    for i in np.argsort(-np.abs(residual), kind="stable")[: min(most, pairs)]:
        first, second = c.items[int(keys[i]) // c.k], c.items[int(keys[i]) % c.k]
        z, total = float(residual[i]), float(count[i])
        chance = min(1.0, pairs * 2 * float(special.ndtr(-abs(z))))
        rates = float(seen[i]) / total, float(expected[i]) / total
        out.append(PairResidual(first, second, *rates, total, z, chance))
    return out, pairs


def intransitive_cycles(fit: BradleyTerryFit, *, most: int = 20, least: float = 0.0) -> list[Cycle]:
    """Circles of three in the head-to-head results, strongest evidence first.

    The margin of a pair is (wins - losses) / sqrt(wins + losses): a standard normal when the two
    are equal. Only circles whose weakest link exceeds `least` are listed.
    """
    return cycles_of(fit, most=most, least=least)[0]


def cycles_of(
    fit: BradleyTerryFit, *, most: int, least: float, worth: Floats | None = None
) -> tuple[list[Cycle], int]:
    """The strongest circles, and how many there are; `worth` (k, k) shrinks margins by its root.

    The p-value is that of the weakest link times the number of pairs: if the items have an order,
    one link of every circle runs against it, and any of the pairs may have been that one.
    """
    most, least = whole(most, "most"), number(least, "least", 0.0)
    items, wins = fit.cells.items, fit.cells.wins()
    total = wins + wins.T
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(total > 0, (wins - wins.T) / np.sqrt(total), 0.0)
    if worth is not None:
        z = z * np.sqrt(worth)
    pairs = int((total > 0).sum()) // 2
    up = z > least
    found: list[tuple[float, int, int, int]] = []
    several = 0
    for i in range(len(items)):
        later = np.arange(i + 1, len(items))
        j = later[up[i, later]]
        k = later[up[later, i]]
        rows, columns = np.nonzero(up[np.ix_(j, k)])
        several += len(rows)
        if len(rows) == 0:
            continue
        weakest = np.minimum(z[i, j[rows]], z[k[columns], i])
        weakest = np.minimum(weakest, z[j[rows], k[columns]])
        for at in np.argsort(-weakest, kind="stable")[:most]:
            found.append((-float(weakest[at]), i, int(j[rows[at]]), int(k[columns[at]])))
    found.sort()
    out: list[Cycle] = []
    for evidence, i, j, k in found[:most]:
        margins = (float(z[i, j]), float(z[j, k]), float(z[k, i]))
        p = min(1.0, pairs * float(special.ndtr(evidence)))
        out.append(Cycle(items[i], items[j], items[k], margins, -evidence, p))
    return out, several
