"""May we look every hour? Confidence sequences for a win rate.

Knows: outcomes in the order they came, and two ways to bound their mean at all times at once. Does
not know items or ratings.

An ordinary 95 % interval holds at one planned moment; looked at daily until it leaves 50 %, it is
wrong far more often than 5 %. A confidence sequence holds at every moment together, so stopping
whenever one likes is allowed.

* `betting`: the hedged capital process of Waudby-Smith and Ramdas (2024, JRSS-B 86:1-27, theorem
  3), exact for independent outcomes between 0 and 1, any sample size.
* `asymptotic`: the Gaussian-mixture boundary of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
  (2024, Annals of Statistics 52:2613-2640, theorem 2.2) around a cluster-robust standard error, for
  judges who judge many times. Approximate, and only as good as the number of clusters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from preference.arguments import level, listed
from preference.encoding import BOTH_BAD, AnyArray, Floats, Ints, encode_clusters, encode_verdicts
from preference.errors import InputError

_GRID = 1001
_CHUNK = 512
_FEWEST_CLUSTERS = 10


@dataclass(frozen=True, eq=False)
class ConfidenceSequence:
    """Bounds of a win rate that hold at every moment together.

    Attributes:
        n: outcomes seen (both_bad left out).
        value: their mean.
        ci_low, ci_high: bounds now.
        lows, highs: bounds after each outcome (betting: running intersection, so they only close
            in; asymptotic: now only).
        evidence: betting: capital won by betting against "at most one half"; 20 or more refutes it
            at 5 % at any time (an e-value). None for asymptotic.
        method: `betting` or `asymptotic`.
        explanation: why bounds are trivial or made otherwise, or None.
    """

    n: int
    value: float
    ci_low: float
    ci_high: float
    lows: Floats
    highs: Floats
    evidence: float | None
    method: str
    ci: float
    explanation: str | None = None

    @property
    def ahead(self) -> bool:
        """Surely above one half."""
        return self.ci_low > 0.5

    @property
    def behind(self) -> bool:
        """Surely below one half."""
        return self.ci_high < 0.5


def win_rate_sequence(
    verdict: Any, *, challenger: Any = None, cluster: Any = None, ci: float = 0.95
) -> ConfidenceSequence:
    """Anytime-valid bounds of the challenger's win rate.

    Args:
        verdict: n verdicts in the order they were given (names or codes 0 to 3).
        challenger: n of `a` or `b` (or +1 a, -1 b): which side the challenger is; None: always a.
        cluster: labels of annotators; then `asymptotic`, robust to repeated judging.
        ci: level.

    Raises:
        InputError: a value is wrong; names its index.
    """
    ci = level(ci)
    codes = encode_verdicts(verdict)
    score = np.array([1.0, 0.0, 0.5, np.nan])[codes]
    if challenger is not None:
        side = _sides(challenger, len(codes))
        score = np.where(side, score, 1 - score)
    keep = np.flatnonzero(codes != BOTH_BAD)
    if len(keep) == 0:
        nothing = np.zeros(0)
        why = "every judgment found both bad, so there is no win rate yet"
        return ConfidenceSequence(
            0,
            float("nan"),
            0.0,
            1.0,
            nothing,
            nothing,
            None,
            "betting" if cluster is None else "asymptotic",
            ci,
            why if len(codes) else "no judgment yet",
        )
    if cluster is None:
        return _betting(score[keep], ci)
    groups = encode_clusters(cluster, len(codes))
    if len(groups) != 1:
        raise InputError("cluster takes one array of labels here")
    return _asymptotic(score[keep], groups[0][keep], ci)


def _sides(challenger: Any, n: int) -> AnyArray:
    values = listed(challenger, "challenger")
    if len(values) != n:
        raise InputError(f"challenger has {len(values)} values where verdict has {n}")
    out = np.empty(n, dtype=np.bool_)
    for i, value in enumerate(values):
        known = isinstance(value, (str, int, float, np.number)) and not isinstance(value, bool)
        if not known or value not in ("a", "b", 1, -1):
            raise InputError(f"challenger {value!r} at index {i}: use a or b (+1 or -1)")
        out[i] = value in ("a", 1)
    return out


def _betting(x: Floats, ci: float) -> ConfidenceSequence:
    alpha = 1 - ci
    n = len(x)
    t = np.arange(1, n + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    spread = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], spread[:-1]])  # each bet uses what was known before it
    bet = np.sqrt(2 * np.log(2 / alpha) / (before * t * np.log(t + 1)))
    grid = np.linspace(0, 1, _GRID)
    up, down = np.zeros(_GRID), np.zeros(_GRID)
    lows, highs = np.empty(n), np.empty(n)
    bound = np.log(2 / alpha)  # either side may reach 1/alpha with half the stake
    low, high = 0.0, 1.0
    half = _GRID // 2
    with np.errstate(divide="ignore"):
        top_up, top_down = 0.5 / grid, 0.5 / (1 - grid)
    for start in range(0, n, _CHUNK):
        part = slice(start, min(start + _CHUNK, n))
        gap = x[part, None] - grid[None, :]
        grown_up = np.cumsum(np.log1p(np.minimum(bet[part, None], top_up) * gap), axis=0) + up
        grown_down = (
            np.cumsum(np.log1p(-np.minimum(bet[part, None], top_down) * gap), axis=0) + down
        )
        kept = np.maximum(grown_up, grown_down) < bound
        for i in range(len(gap)):
            inside = np.flatnonzero(kept[i])
            if len(inside):
                low = max(low, float(grid[max(inside[0] - 1, 0)]))
                high = min(high, float(grid[min(inside[-1] + 1, _GRID - 1)]))
            if low > high:  # outcomes drift: no single mean fits; bounds meet in the middle
                low = high = (low + high) / 2
            lows[start + i], highs[start + i] = low, high
        up, down = grown_up[-1], grown_down[-1]
    return ConfidenceSequence(
        n,
        float(x.mean()),
        float(lows[-1]),
        float(highs[-1]),
        lows,
        highs,
        float(np.exp(min(up[half], 700.0))),
        "betting",
        ci,
    )


def _asymptotic(x: Floats, groups: Ints, ci: float) -> ConfidenceSequence:
    alpha = 1 - ci
    value = float(x.mean())
    sums = np.bincount(groups, x - value)
    g = int((np.bincount(groups) > 0).sum())
    if g < _FEWEST_CLUSTERS:
        return ConfidenceSequence(
            len(x),
            value,
            0.0,
            1.0,
            np.zeros(1),
            np.ones(1),
            None,
            "asymptotic",
            ci,
            f"{'one annotator is' if g == 1 else f'{g} annotators are'} too few for bounds that "
            f"may be looked at any time: {_FEWEST_CLUSTERS} are needed",
        )
    spread = float((sums**2).sum())
    if spread <= 1e-18 * len(x) ** 2:
        # nobody differs from anybody, so the error cannot be seen: as many outcomes as people
        means = np.bincount(groups, x)[np.unique(groups)] / np.bincount(groups)[np.unique(groups)]
        found = _betting(means, ci)
        why = "all annotators agree exactly, so each counts as one judgment"
        return replace(found, n=len(x), evidence=None, method="betting", explanation=why)
    spread += (len(x) / g / 2) ** 2  # one more annotator of full spread, as `_betting` starts with
    se = float(np.sqrt(g / (g - 1) * spread)) / len(x)
    # boundary tuned to be tightest near the present number of clusters, rounded to a power of two
    # so that it is not chosen anew at every look
    target = 2.0 ** round(np.log2(g))
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / target
    spent = g * rho2
    half = se * float(np.sqrt((spent + 1) / spent * np.log((spent + 1) / alpha**2)))
    low, high = max(value - half, 0.0), min(value + half, 1.0)
    return ConfidenceSequence(
        len(x), value, low, high, np.array([low]), np.array([high]), None, "asymptotic", ci
    )
