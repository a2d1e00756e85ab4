"""What a longer answer gains, and the ratings as if all answers were equally long.

Knows: judgments and a difference of lengths each. Does not know texts.

The ratings' model with one covariate more: eta = rating_a - rating_b + beta * tanh(d / s) (and
placement), d the difference of lengths and s its root mean square; the form of the length term is
that of Dubois, Galambosi, Liang and Hashimoto (2024, "Length-controlled AlpacaEval"). For speed
tanh is rounded to a grid of 1/64, so that a million judgments become some thousand counts; beta
moves by far less than its error. `fit_bradley_terry` with the covariate is the exact one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from preference.confounding import refuse_confounded
from preference.counts import Cells, count, exact_bincount, ranked
from preference.covariance import clustered, plain_meat, quantile
from preference.encoding import BOTH_BAD, Floats, Ints, Item, Judgments
from preference.errors import InputError, SeparationError
from preference.newton import Design, Prior, maximise, wald_parts
from preference.outcomes import TieModel
from preference.results import Estimate

_GRID = 64
_INFINITE = 12.0


@dataclass(frozen=True, eq=False)
class LengthEffect:
    """What length does, beside the ratings.

    Attributes:
        effect: log-odds that an answer gains by being one `spread` longer.
        spread: root mean square of the difference of lengths.
        items, ratings: at equal length, mean zero; ci_low, ci_high: their intervals.
        longer_wins: win rate of the longer answer as it is, ratings aside.
        n: judgments that count.
    """

    effect: Estimate
    spread: float
    items: tuple[Item, ...]
    ratings: Floats
    ci_low: Floats
    ci_high: Floats
    longer_wins: float
    n: int


def length_effect(
    j: Judgments, clusters: list[Ints], gap: Floats, model: TieModel, ci: float
) -> LengthEffect:
    """Fit ratings and one effect of length.

    Args:
        j: judgments; clusters: as in `preference.covariance`.
        clusters: codes of annotators (and prompts), or none.
        gap: (n,) length of a's answer minus that of b's.
        model: how ties count.
        ci: confidence level.

    Raises:
        InputError: all lengths are equal, or nothing counts.
        UnidentifiedError: no finite answer exists.
        ConvergenceError: the optimum was not reached.
    """
    informative = j.verdict != BOTH_BAD
    spread = float(np.sqrt(np.mean(np.sort(gap[informative] ** 2)))) if informative.any() else 0.0
    if spread == 0:
        raise InputError("the two answers are equally long in every judgment")
    x = np.round(np.tanh(gap / spread) * _GRID) / _GRID
    cells = count(j)
    index = np.full(len(j.labels), -1, dtype=np.int64)
    place = {item: i for i, item in enumerate(cells.items)}
    for code, label in enumerate(j.labels):
        index[code] = place.get(label, -1)
    design = _design(j, cells, index, x)
    used: TieModel = model if design.ties.any() else "half"
    refuse_confounded(design)
    optimum = maximise(design, used, Prior())
    if np.abs(optimum.parameters).max() > _INFINITE:
        raise SeparationError("some rating, or the effect of length, has no finite estimate here")
    bread = wald_parts(optimum.information, cells.k)
    z = quantile(ci)
    if clusters:
        flat = replace(j, covariates=x[:, None], covariate_names=("length",))
        sure = clustered(bread, flat, clusters, used, optimum.parameters, cells, design, ci)
        covariance, z = sure.covariance, sure.quantile
    else:
        covariance = bread @ plain_meat(design, used, optimum.parameters) @ bread
    ratings = optimum.parameters[: cells.k] - optimum.parameters[: cells.k].mean()
    half = z * np.sqrt(np.maximum(np.diag(covariance)[: cells.k], 0.0))
    one = float(np.tanh(1.0))
    value = float(optimum.parameters[-1]) * one
    se = float(np.sqrt(max(covariance[-1, -1], 0.0))) * one
    return LengthEffect(
        Estimate(value, se, value - z * se, value + z * se),
        spread,
        cells.items,
        ratings,
        ratings - half,
        ratings + half,
        _longer(design),
        int(informative.sum()),
    )


def _design(j: Judgments, cells: Cells, index: Ints, x: Floats) -> Design:
    """One row for every (pair, placement, rounded difference) that occurs."""
    keep = np.flatnonzero(j.verdict != BOTH_BAD)
    a, b = index[j.a[keep]], index[j.b[keep]]
    swap = a > b
    sign = np.where(swap, -1, 1)
    low, high = np.minimum(a, b), np.maximum(a, b)
    verdict = j.verdict[keep].astype(np.int64)
    verdict = np.where(swap & (verdict < 2), 1 - verdict, verdict)
    levels = 2 * _GRID + 1
    grid = (x[keep] * _GRID).astype(np.int64) * sign + _GRID
    placed = np.zeros(len(keep), dtype=np.int64)
    if j.placement is not None:
        placed = j.placement[keep].astype(np.int64) * sign
    code = ((low * cells.k + high) * 3 + placed + 1) * levels + grid
    keys, inverse = ranked(code)
    weight = np.ones(len(keep)) if j.weight is None else j.weight[keep]
    table = exact_bincount(inverse * 3 + verdict, weight, len(keys) * 3).reshape(-1, 3)
    place = (keys // levels % 3 - 1).astype(np.float64)
    columns = [((keys % levels - _GRID) / _GRID)[:, None]]
    names: tuple[str, ...] = ("length",)
    if place.any():
        columns.insert(0, place[:, None])
        names = ("placement", *names)
    pair = keys // (3 * levels)
    won, lost, tied = np.ascontiguousarray(table.T)
    return Design(
        cells.k, pair // cells.k, pair % cells.k, won, lost, tied, np.hstack(columns), names
    )


def _longer(design: Design) -> float:
    x = design.extra[:, -1]
    won = np.where(x > 0, design.wins_a, design.wins_b)[x != 0].sum()
    lost = np.where(x > 0, design.wins_b, design.wins_a)[x != 0].sum()
    tied = design.ties[x != 0].sum()
    total = float(won + lost + tied)
    return float(won + tied / 2) / total if total else float("nan")
