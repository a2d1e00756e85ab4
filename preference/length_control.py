"""Win rate of one item over another as if both had answered at equal length.

Knows: outcomes and a difference per judgment. Does not know texts.

A logistic curve P(win) = sigma(alpha + beta * tanh(d / sd(d))) is fitted to outcomes 1, 1/2, 0 and
read at d = 0, after Dubois, Galambosi, Liang and Hashimoto (2024, "Length-controlled AlpacaEval").
The tanh keeps a few very long answers from steering the curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from preference.arguments import level
from preference.bradley_terry import Estimate
from preference.covariance import quantile
from preference.encoding import BOTH_BAD, Floats, encode_clusters, encode_verdicts
from preference.errors import ConvergenceError, InputError, SeparationError
from preference.numeric_columns import numeric
from preference.outcomes import sigmoid


@dataclass(frozen=True)
class LengthControlled:
    """Win rates of side a with and without the help of its length.

    Attributes:
        controlled: win rate at equal length, with interval.
        raw: win rate as observed (mean outcome).
        effect: beta, log-odds from a length difference of many standard deviations.
        n: judgments that count.
    """

    controlled: Estimate
    raw: float
    effect: Estimate
    n: int


def length_controlled_win_rate(
    verdict: Any, length_a: Any, length_b: Any, *, cluster: Any = None, ci: float = 0.95
) -> LengthControlled:
    """Win rate of a over b at equal length.

    Args:
        verdict: n verdicts (names or codes).
        length_a: n lengths of a's responses (tokens, words or characters, one unit for both).
        length_b: n lengths of b's responses.
        cluster: labels of annotators, for a cluster-robust interval.
        ci: level.

    Raises:
        InputError: wrong values.
        SeparationError: length explains every verdict, so nothing is left to compare.
    """
    ci = level(ci)
    codes = encode_verdicts(verdict)
    a, b = numeric(length_a, "length_a"), numeric(length_b, "length_b")
    if not len(a) == len(b) == len(codes):
        raise InputError(
            f"{len(codes)} verdicts, {len(a)} and {len(b)} lengths: one of each needed"
        )
    bad = ~(np.isfinite(a) & np.isfinite(b))
    if bad.any():
        raise InputError(f"length is missing at index {int(np.flatnonzero(bad)[0])}")
    keep = codes != BOTH_BAD
    if not keep.any():
        raise InputError("no judgment prefers or ties: there is no win rate")
    y = np.array([1.0, 0.0, 0.5, 0.0])[codes[keep]]
    d = (a - b)[keep]
    sd = float(d.std())
    if sd == 0:
        raise InputError("every length difference is the same: there is nothing to control for")
    x = np.column_stack([np.ones(len(y)), np.tanh(d / sd)])
    beta, bread = _logistic(x, y)
    score = x * (y - sigmoid(x @ beta))[:, None]
    freedom = np.inf
    if cluster is not None:
        ways = encode_clusters(cluster, len(codes))
        if len(ways) != 1:
            raise InputError("cluster takes one array of labels here")
        groups = ways[0][keep]
        g = len(np.unique(groups))
        if g < 2:
            raise InputError("cluster has a single label: at least two are needed")
        sums = np.stack([np.bincount(groups, score[:, i]) for i in range(2)], axis=1)
        meat, freedom = sums.T @ sums * (g / (g - 1)), float(g - 1)
    else:
        meat = score.T @ score
    covariance = bread @ meat @ bread
    z = quantile(ci, freedom)
    at, slope = (
        _interval(float(beta[i]), float(np.sqrt(max(covariance[i, i], 0.0))), z) for i in range(2)
    )
    p = _expit(at.value)
    rate = Estimate(p, at.se * p * (1 - p), _expit(at.ci_low), _expit(at.ci_high))
    return LengthControlled(rate, float(y.mean()), slope, len(y))


def _logistic(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    beta = np.zeros(x.shape[1])
    for _ in range(60):
        p = sigmoid(x @ beta)
        information = (x * (p * (1 - p))[:, None]).T @ x
        try:
            step = np.linalg.solve(information, x.T @ (y - p))
        except np.linalg.LinAlgError:
            break
        beta = beta + step / max(1.0, float(np.abs(step).max()) / 2)
        if float(np.abs(beta).max()) > 25:
            break
        if float(np.abs(step).max()) < 1e-11:
            return beta, np.asarray(np.linalg.inv(information), dtype=np.float64)
    else:
        raise ConvergenceError("the length curve did not converge: collect more judgments")
    raise SeparationError(
        "verdicts follow length (or are unanimous) without exception, so no finite win rate at "
        "equal length exists: collect judgments of pairs of similar length"
    )


def _interval(value: float, se: float, z: float) -> Estimate:
    return Estimate(value, se, value - z * se, value + z * se)


def _expit(x: float) -> float:
    return float(sigmoid(np.array([x]))[0])
