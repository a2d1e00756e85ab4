"""Win rates: of every item and of every pair, with intervals that hold at 0 and 1.

Knows: counts, Wilson's interval, and what clusters do to it. Does not know ratings, nor how sums
over clusters are made (`win_rate_spread`).

Win rate = (wins + ties/2) / (wins + losses + ties); both_bad is reported apart. Without clusters
the interval is Wilson's (1927, JASA 22:209-212) on n judgments, which ties make a little wide.
With clusters the variance is that of the ratio estimator over clusters, V = G/(G-1) times the sum
of (S_g - p N_g)^2 over N^2, and Wilson's formula is used with the effective number n = p(1-p)/V,
never more than the judgments, and with Student's t on G-1 degrees of freedom. Where nobody
disagrees V is zero and says nothing; then n is the number of clusters. Two ways of clustering
combine as in `preference.covariance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preference.arguments import level
from preference.counts import count
from preference.covariance import quantile
from preference.encoding import Floats, Ints, Item, Judgments, encode, encode_clusters
from preference.errors import InputError
from preference.results import Estimate
from preference.untyped import special
from preference.win_rate_spread import spreads


@dataclass(frozen=True, eq=False)
class PairWinRates:
    """One entry a pair that was compared, first < second; values are the first one's win rate.

    `effective_n` is how many independent judgments the clustered ones are worth.
    """

    first: tuple[Item, ...]
    second: tuple[Item, ...]
    value: Floats
    se: Floats
    ci_low: Floats
    ci_high: Floats
    wins: Floats
    losses: Floats
    ties: Floats
    both_bad: Floats
    n: Floats
    effective_n: Floats


@dataclass(frozen=True, eq=False)
class WinRates:
    """Win rates of every item against all it met, in the order of `items`; NaN where n is 0."""

    items: tuple[Item, ...]
    value: Floats
    se: Floats
    ci_low: Floats
    ci_high: Floats
    wins: Floats
    losses: Floats
    ties: Floats
    both_bad: Floats
    n: Floats
    effective_n: Floats
    both_bad_rate: Floats
    pairs: PairWinRates
    ci: float
    clusters: tuple[int, ...]

    def matrix(self) -> Floats:
        """(k, k) win rate of the row over the column; NaN where the pair never met."""
        k = len(self.items)
        out = np.full((k, k), np.nan)
        place = {item: i for i, item in enumerate(self.items)}
        first = np.array([place[x] for x in self.pairs.first], dtype=np.int64)
        second = np.array([place[x] for x in self.pairs.second], dtype=np.int64)
        out[first, second] = self.pairs.value
        out[second, first] = 1 - self.pairs.value
        return out

    def pair(self, first: Item, second: Item) -> Estimate:
        """Win rate of `first` over `second`.

        Raises:
            InputError: the two were never compared.
        """
        for x, y, flip in ((first, second, False), (second, first, True)):
            for i, both in enumerate(zip(self.pairs.first, self.pairs.second, strict=True)):
                if both == (x, y):
                    p = self.pairs
                    low, high = float(p.ci_low[i]), float(p.ci_high[i])
                    value, se = float(p.value[i]), float(p.se[i])
                    if flip:
                        return Estimate(1 - value, se, 1 - high, 1 - low)
                    return Estimate(value, se, low, high)
        raise InputError(f"{first!r} and {second!r} were never compared")


def wilson(value: Any, n: Any, z: Any) -> tuple[Floats, Floats]:
    """Wilson's score interval for a proportion `value` of `n`, at normal or t quantile `z`.

    Returns:
        Low and high ends, in [0, 1]; NaN where n is 0.
    """
    p, size = np.asarray(value, dtype=np.float64), np.asarray(n, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        z2 = np.asarray(z, dtype=np.float64) ** 2
        middle = (p + z2 / (2 * size)) / (1 + z2 / size)
        half = np.sqrt(z2 * (p * (1 - p) / size + z2 / (4 * size**2))) / (1 + z2 / size)
    low, high = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    return np.where(p == 0, 0.0, low), np.where(p == 1, 1.0, high)


def win_rates(
    item_a: Any,
    item_b: Any,
    verdict: Any,
    *,
    weight: Any = None,
    cluster: Any = None,
    ci: float = 0.95,
) -> WinRates:
    """Win rates of every item and pair.

    Args:
        item_a: n items: strings, integers or pandas categoricals.
        item_b: n items, the other side.
        verdict: n of `a`, `b`, `tie`, `both_bad`, or codes 0 to 3.
        weight: n numbers >= 0.
        cluster: one or two label arrays (annotator; annotator and prompt).
        ci: confidence level.

    Raises:
        InputError: a value is wrong; names its index.
    """
    ci = level(ci)
    j = encode(item_a, item_b, verdict, weight=weight)
    clusters = [] if cluster is None else encode_clusters(cluster, j.n)
    return win_rates_of(j, clusters, ci)


def win_rates_of(j: Judgments, clusters: Sequence[Ints], ci: float) -> WinRates:
    """`win_rates` on encoded judgments."""
    cells = count(j)
    k = cells.k
    won, tied, bad = cells.wins(), cells.tied(), cells.bad()
    tables = [won.sum(axis=1), won.sum(axis=0), tied.sum(axis=1), bad.sum(axis=1)]
    met = np.flatnonzero(np.triu(won + won.T + tied + bad, 1).ravel())
    pair_tables = [x.ravel()[met] for x in (won, won.T.copy(), tied, bad)]
    spread = pair_spread = None
    labels: tuple[int, ...] = ()
    if clusters:
        spread, pair_spread, labels = spreads(j, cells, met, clusters)
    value, se, ci_low, ci_high, n, effective = _intervals(tables, spread, ci)
    pv, pse, plow, phigh, pn, peff = _intervals(pair_tables, pair_spread, ci)
    with np.errstate(invalid="ignore"):
        bad_rate = tables[3] / (n + tables[3])
    pairs = PairWinRates(
        tuple(cells.items[i] for i in met // k),
        tuple(cells.items[i] for i in met % k),
        pv,
        pse,
        plow,
        phigh,
        pair_tables[0],
        pair_tables[1],
        pair_tables[2],
        pair_tables[3],
        pn,
        peff,
    )
    return WinRates(
        cells.items,
        value,
        se,
        ci_low,
        ci_high,
        tables[0],
        tables[1],
        tables[2],
        tables[3],
        n,
        effective,
        bad_rate,
        pairs,
        ci,
        labels,
    )


def _intervals(
    tables: list[Floats], spread: tuple[Floats, Floats] | None, ci: float
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
    wins, losses, ties, _ = tables
    n = wins + losses + ties
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (wins + ties / 2) / n
        plain = np.maximum((wins + ties / 4) / n - value**2, 0.0) / n
        if spread is None:
            low, high = wilson(value, n, quantile(ci))
            return value, np.sqrt(plain), low, high, n, n.copy()
        variance, groups = spread
        effective = np.where(variance > 0, value * (1 - value) / variance, groups)
        effective = np.minimum(np.where(groups > 1, effective, 1.0), n)
        variance = np.where(groups > 1, variance, value * (1 - value))
        z = np.where(
            groups > 1, special.stdtrit(np.maximum(groups - 1, 1), (1 + ci) / 2), quantile(ci)
        )
    low, high = wilson(value, effective, z)
    return value, np.sqrt(variance), low, high, n, effective
