"""Who judged what how often: counts of kinds of judgment by cluster, made once and shared.

Knows: that whatever is summed over clusters depends on a judgment only through its kind (pair,
placement, verdict), so that a table of counts stands for a million judgments. Does not know scores,
ratings or win rates.

A kind is `3 * cell + verdict` with the cells of `preference.counts.Cells`; every both_bad is the
last kind. All counts are whole numbers, so no row order can change a digit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from preference.counts import Cells, chunks, fused_codes, item_index
from preference.encoding import BOTH_BAD, AnyArray, Floats, Ints, Judgments

SMALL_TABLE = 1 << 18  # entries that are always affordable
_WIDEST_KEY = 62  # bits of a sorted key


@dataclass(frozen=True, eq=False)
class Joint:
    """Counts over the clusters that two ways of clustering make together.

    Attributes:
        number: clusters that hold any judgment.
        together: (kinds, kinds), [s, t] the ordered pairs (i, j) of judgments of kinds s and t in
            one cluster, i = j included.
        alone: (kinds,) judgments that are the only one of their cluster.
        items: (k,) clusters in which each item was judged, both_bad left out.
        first: (kinds,) judgments that are the first of their pair in their cluster, so that summed
            over a pair's kinds they are its clusters.
    """

    number: int
    together: Floats
    alone: Floats
    items: Floats
    first: Floats


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of kinds by cluster.

    Attributes:
        cells: the counts that kinds refer to.
        ways: for each way of clustering (clusters, kinds) counts, clusters with both_bad only
            left out.
        labels: for each way how many clusters there are, those with both_bad only included.
        joint: for two ways.
        n: judgments, both_bad included.
    """

    cells: Cells
    ways: tuple[Floats, ...]
    labels: tuple[int, ...]
    joint: Joint | None
    n: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Clusters of each way that say something."""
        return tuple(len(way) for way in self.ways)


_made: WeakKeyDictionary[Judgments, list[tuple[list[Ints], Tally | None]]] = WeakKeyDictionary()


def tally(j: Judgments, cells: Cells, clusters: Sequence[Ints]) -> Tally | None:
    """Counts for these judgments and clusters, or None where tables would not be small.

    Made once for the same arrays: a report needs them for win rates and for ratings.
    """
    kept = _made.setdefault(j, [])
    for arrays, found in kept:
        if len(arrays) == len(clusters) and all(
            x is y for x, y in zip(arrays, clusters, strict=True)
        ):
            return found
    found = _count(j, cells, clusters)
    kept.append((list(clusters), found))
    return found


def _count(j: Judgments, cells: Cells, clusters: Sequence[Ints]) -> Tally | None:
    kinds = 3 * len(cells.a) + 1
    most = max(SMALL_TABLE, 2 * j.n)
    tops = [int(c.max()) + 1 for c in clusters]
    raw = len(j.labels) ** 2 * 12
    if j.weight is not None or j.covariates is not None or raw > most:
        return None
    if not clusters or kinds**2 > most or any(top * kinds > most for top in tops):
        return None
    kind = _kinds(j, cells, kinds)
    ways: list[Floats] = []
    codes: list[Ints] = []
    labels: list[int] = []
    for group, top in zip(clusters, tops, strict=True):
        key = np.empty(j.n, dtype=np.int64)
        for part in chunks(j.n):
            np.multiply(group[part], kinds, out=key[part])
            key[part] += kind[part]
        table = np.bincount(key, minlength=top * kinds).reshape(top, kinds)
        labels.append(int((table.any(axis=1)).sum()))
        useful = table[:, :-1].any(axis=1)
        ways.append(table[useful].astype(np.float64))
        codes.append(group if useful.all() else np.where(useful, np.cumsum(useful) - 1, 0)[group])
    joint = None
    if len(clusters) == 2:
        joint = _joint(cells, kind, kinds, codes, (len(ways[0]), len(ways[1])), most)
        if joint is None:
            return None
    return Tally(cells, tuple(ways), tuple(labels), joint, j.n)


def _kinds(j: Judgments, cells: Cells, kinds: int) -> AnyArray:
    """(n,) kind of each judgment."""
    raw, places = len(j.labels), 1 if j.placement is None else 3
    code = np.arange(raw * raw * places * 4, dtype=np.int64)
    verdict, rest = code & 3, code >> 2
    place = rest % places - 1 if places == 3 else np.zeros_like(rest)
    rest //= places
    index = item_index(j, cells)
    a, b = index[rest // raw], index[rest % raw]
    swap = a > b
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    place = np.where(swap, -place, place)
    verdict = np.where(swap & (verdict < 2), 1 - verdict, verdict)
    known = ((cells.a * cells.k + cells.b) * 3 + 1 + cells.placement).astype(np.int64)
    cell = np.searchsorted(known, (a * cells.k + b) * 3 + place + 1)
    table = np.where(verdict == BOTH_BAD, kinds - 1, cell * 3 + verdict)
    table = table.astype(np.uint16 if kinds <= 1 << 16 else np.int64)
    out = np.empty(j.n, dtype=table.dtype)
    for part in chunks(j.n):
        out[part] = table[fused_codes(j, part)]
    return out


def _joint(
    cells: Cells, kind: AnyArray, kinds: int, codes: list[Ints], sizes: tuple[int, int], most: int
) -> Joint | None:
    bits = int(kinds - 1).bit_length()
    if (sizes[0] * sizes[1]).bit_length() + bits > _WIDEST_KEY:
        return None
    packed = np.empty(len(kind), dtype=np.int64)
    for part in chunks(len(kind)):
        key = codes[0][part] * sizes[1]
        key += codes[1][part]
        key <<= bits
        np.bitwise_or(key, kind[part], out=packed[part], casting="unsafe")
    packed.sort()
    same = same_key(packed, bits)
    kind = (packed & ((1 << bits) - 1)).astype(kind.dtype)
    number = len(kind) - int(same.sum())
    pair = np.append(cells.a * cells.k + cells.b, -1)[np.arange(kinds) // 3]
    seen = np.bincount(kind, minlength=kinds)
    lone = ~same
    lone[1:] &= ~same[:-1]
    alone = np.bincount(kind[lone], minlength=kinds)
    again = np.flatnonzero(same[:-1])
    again = again[pair[kind[again]] == pair[kind[again + 1]]] + 1
    first = seen - np.bincount(kind[again], minlength=kinds)
    first[-1] = 0
    if pairs_within(same) > 4 * len(kind):
        return _dense(cells, kind, kinds, same, number, alone, first, most)
    together = np.zeros(kinds * kinds, dtype=np.int64)
    sides = (
        np.append(cells.a, -1)[np.arange(kinds) // 3],
        np.append(cells.b, -2)[np.arange(kinds) // 3],
    )
    known = [
        ((side[None, :] == sides[0][:, None]) | (side[None, :] == sides[1][:, None])).ravel()
        for side in sides
    ]
    old = [np.zeros(len(kind), dtype=np.bool_) for _ in sides]
    for left, right in neighbours(same):
        both = kind[left].astype(np.int64) * kinds + kind[right]
        together += np.bincount(both, minlength=kinds * kinds)
        for mark, table in zip(old, known, strict=True):
            mark[right[table[both]]] = True
    items = np.zeros(cells.k)
    for side, mark in zip(sides, old, strict=True):
        new = (seen - np.bincount(kind[mark], minlength=kinds))[:-1]
        items += np.bincount(side[:-1], new, cells.k)
    square = together.reshape(kinds, kinds)
    square = square + square.T + np.diag(seen)
    return Joint(
        number,
        square.astype(np.float64),
        alone.astype(np.float64),
        items,
        first.astype(np.float64),
    )


def _dense(
    cells: Cells,
    kind: AnyArray,
    kinds: int,
    same: AnyArray,
    number: int,
    alone: Ints,
    first: Ints,
    most: int,
) -> Joint | None:
    """The same from a table, where few clusters hold many judgments each."""
    if number * kinds > most:
        return None
    cluster = np.cumsum(np.append(True, ~same[:-1])) - 1
    table = np.bincount(cluster * kinds + kind, minlength=number * kinds)
    table = table.reshape(number, kinds).astype(np.float64)
    by_cell = table[:, :-1].reshape(number, -1, 3).sum(axis=2)
    touched = np.zeros((number, cells.k), dtype=np.bool_)
    for side in (cells.a, cells.b):
        for cell, item in enumerate(side):
            touched[:, item] |= by_cell[:, cell] > 0
    return Joint(
        number,
        table.T @ table,
        alone.astype(np.float64),
        touched.sum(axis=0).astype(np.float64),
        first.astype(np.float64),
    )


# --- sorted keys ----------------------------------------------------------------------------------


def same_key(packed: Ints, bits: int) -> AnyArray:
    """(n,) whether the next entry has the same key; keys are above the lowest `bits`."""
    same = np.zeros(len(packed), dtype=np.bool_)
    for part in chunks(len(packed) - 1):
        stop = part.stop + 1
        key = packed[part.start : stop] >> bits
        np.equal(key[1:], key[:-1], out=same[part])
    return same


def pairs_within(same: AnyArray) -> int:
    """Unordered pairs of entries with one key."""
    edges = np.flatnonzero(~same)
    size = np.diff(edges, prepend=-1)
    return int((size * (size - 1) // 2).sum())


def neighbours(same: AnyArray) -> Iterator[tuple[Ints, Ints]]:
    """All pairs of positions with one key, by distance: next neighbours first."""
    left = np.flatnonzero(same)
    gap = 1
    while len(left):
        yield left, left + gap
        left = left[same[left + gap]]
        gap += 1
