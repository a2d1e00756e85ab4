"""How far clusters disagree about a win rate: variances of ratios over clusters.

Knows: judgments and their clusters; both ways of summing, from counts of kinds where these are
small (`tallies`) and from sorted keys otherwise. Does not know intervals.

The variance of a unit (an item or a pair) with score S and N judgments, p = S/N, is
G/(G-1) times the sum over clusters of (S_g - p N_g)^2, over N^2. Of two ways of clustering
it is V1 + V2 - V12, never below either one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from preference.counts import Cells, distinct, exact_bincount, item_index, ranked
from preference.encoding import BOTH_BAD, AnyArray, Floats, Ints, Judgments
from preference.tallies import Tally, same_key, tally

Spread = tuple[Floats, Floats]
"""Variance of each unit's win rate, and its (smallest) number of clusters."""

SCORES = np.array([1.0, 0.0, 0.5, 0.0])
_WIDEST_KEY = 60


def spreads(
    j: Judgments, cells: Cells, met: Ints, clusters: Sequence[Ints]
) -> tuple[Spread, Spread, tuple[int, ...]]:
    """Spread of every item and of every pair, and how many clusters each way has.

    Args:
        j: the judgments.
        cells: their counts.
        met: sorted a * k + b of the pairs that are asked for, a < b.
        clusters: one or two arrays of codes.
    """
    counted = tally(j, cells, clusters)
    if counted is not None:
        return *_from_counts(counted, met), counted.labels
    return *_from_rows(j, cells, met, clusters), tuple(distinct(c) for c in clusters)


# --- from counts of kinds -------------------------------------------------------------------------


def _from_counts(t: Tally, met: Ints) -> tuple[Spread, Spread]:
    cells = t.cells
    kinds = 3 * len(cells.a)
    at = np.arange(kinds)
    cell, score = at // 3, SCORES[at % 3]
    score_of = np.zeros((kinds, cells.k))
    share_of = np.zeros((kinds, cells.k))
    for side, gained in ((cells.a, score), (cells.b, 1 - score)):
        score_of[at, side[cell]] = gained
        share_of[at, side[cell]] = 1.0
    items = _units(t, score_of, share_of, None if t.joint is None else t.joint.items)
    pair = np.searchsorted(met, cells.a * cells.k + cells.b)[cell]
    score_of = np.zeros((kinds, len(met)))
    share_of = np.zeros((kinds, len(met)))
    score_of[at, pair], share_of[at, pair] = score, 1.0
    groups = None if t.joint is None else t.joint.first[:-1] @ share_of
    return items, _units(t, score_of, share_of, groups)


def _units(t: Tally, score_of: Floats, share_of: Floats, groups: Floats | None) -> Spread:
    """Spread of units, given the (kinds, units) score and number of one judgment of each kind.

    `groups` are the joint clusters of each unit, where two ways are given.
    """
    counts = [way[:, :-1] for way in t.ways]
    sums = [(n @ score_of, n @ share_of) for n in counts]
    total = sums[0][1].sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = sums[0][0].sum(axis=0) / total
    ways: list[Spread] = []
    for s, w in sums:
        squares = ((s - p * w) ** 2).sum(axis=0)
        ways.append(_variance(squares, total, (w > 0).sum(axis=0).astype(np.float64)))
    if t.joint is None or groups is None:
        return ways[0]
    apart = score_of - p * share_of
    squares = ((t.joint.together[:-1, :-1] @ apart) * apart).sum(axis=0)
    return _combined(ways, _variance(np.maximum(squares, 0.0), total, groups)[0])


def _variance(squares: Floats, total: Floats, groups: Floats) -> Spread:
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = squares / total**2 * groups / (groups - 1)
    return np.where(groups > 1, variance, np.nan), groups


def _combined(ways: list[Spread], joint: Floats) -> Spread:
    floor = np.fmax(ways[0][0], ways[1][0])
    variance = np.fmax(ways[0][0] + ways[1][0] - joint, floor)
    return variance, np.minimum(ways[0][1], ways[1][1])


# --- from rows ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Rows:
    """Judgments that prefer or tie: item positions, a's score, weight (None for ones)."""

    keep: Ints
    a: Ints
    b: Ints
    score: Floats
    weight: Floats | None

    @staticmethod
    def of(j: Judgments, cells: Cells) -> _Rows:
        keep = np.flatnonzero(j.verdict != BOTH_BAD)
        index = item_index(j, cells)
        weight = None if j.weight is None else j.weight[keep]
        return _Rows(keep, index[j.a[keep]], index[j.b[keep]], SCORES[j.verdict[keep]], weight)


def _from_rows(
    j: Judgments, cells: Cells, met: Ints, clusters: Sequence[Ints]
) -> tuple[Spread, Spread]:
    rows = _Rows.of(j, cells)
    k = cells.k
    kept = [c[rows.keep] for c in clusters]
    two = None if rows.weight is None else np.concatenate([rows.weight] * 2)
    items = _spread(
        np.concatenate([rows.a, rows.b]),
        np.concatenate([rows.score, 1 - rows.score]),
        two,
        [np.concatenate([c] * 2) for c in kept],
        k,
    )
    place = np.full(k * k, -1, dtype=np.int64)
    place[met] = np.arange(len(met))
    low, high = np.minimum(rows.a, rows.b), np.maximum(rows.a, rows.b)
    score = np.where(rows.a < rows.b, rows.score, 1 - rows.score)
    return items, _spread(place[low * k + high], score, rows.weight, kept, len(met))


def _spread(
    unit: Ints, score: Floats, weight: Floats | None, clusters: list[Ints], units: int
) -> Spread:
    one = np.ones(len(unit)) if weight is None else weight
    total = exact_bincount(unit, one, units)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = exact_bincount(unit, score * one, units) / total
    ways = [_one_way(unit, score, weight, c, p, total) for c in clusters]
    if len(ways) == 1:
        return ways[0]
    both = clusters[0] * (int(clusters[1].max(initial=0)) + 1) + clusters[1]
    return _combined(ways, _one_way(unit, score, weight, both, p, total)[0])


def _one_way(
    unit: Ints, score: Floats, weight: Floats | None, cluster: Ints, p: Floats, total: Floats
) -> Spread:
    units = len(total)
    width = int(cluster.max(initial=0)) + 1
    if units * width >= 1 << _WIDEST_KEY:
        _, cluster = ranked(cluster)
        width = int(cluster.max(initial=0)) + 1
    key = unit * width + cluster
    if weight is None:
        of, s, w = _sums(key, score, width, units)
    else:
        names, inverse = ranked(key)
        of = names // width
        s = exact_bincount(inverse, score * weight, len(names))
        w = exact_bincount(inverse, weight, len(names))
    groups = np.bincount(of[w > 0], minlength=units).astype(np.float64)
    squares: Floats = np.bincount(of, (s - p[of] * w) ** 2, units).astype(np.float64, copy=False)
    return _variance(squares, total, groups)


def _sums(key: Ints, score: Floats, width: int, units: int) -> tuple[AnyArray, Floats, Floats]:
    """Unit, score and number of every key that occurs, in the order of keys."""
    if units * width <= 2 * len(key):
        found = np.bincount(key, minlength=units * width)
        used = np.flatnonzero(found)
        sums = np.bincount(key, score, units * width)[used]
        return used // width, sums.astype(np.float64, copy=False), found[used].astype(np.float64)
    packed = key << 2
    packed += (2 * score).astype(np.int64)
    packed.sort()
    last = np.flatnonzero(~same_key(packed, 2))
    halves = np.cumsum(packed & 3)[last]
    s: Floats = np.diff(halves, prepend=0) / 2
    return (packed[last] >> 2) // width, s, np.diff(last, prepend=-1).astype(np.float64)
