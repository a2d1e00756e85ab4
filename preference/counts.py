"""Judgments to counts, in one pass.

Knows: how to sum judgments into (pair, placement) cells so that no row order, chunk size or swap
of the two sides changes a digit. Does not know any model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log2
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from preference.encoding import AnyArray, Floats, Ints, Item, Judgments
from preference.in_parallel import in_parallel
from preference.untyped import pd, sparse

_CHUNK = 1 << 16
_WIDE_CHUNK = 1 << 20
_DENSE_BINS = 1 << 22


@dataclass(frozen=True, eq=False)
class Cells:
    """Counts by pair and placement; the sides are canonical (a < b as item index).

    Attributes:
        items: sorted labels of the items that occur.
        a, b: (cells,) item index of the two sides.
        placement: (cells,) -1, 0, +1 for the canonical a.
        wins_a, wins_b, ties, both_bad: (cells,) summed weights.
    """

    items: tuple[Item, ...]
    a: Ints
    b: Ints
    placement: Floats
    wins_a: Floats
    wins_b: Floats
    ties: Floats
    both_bad: Floats

    @property
    def k(self) -> int:
        """Number of items."""
        return len(self.items)

    def matrix(self, values_a: Floats, values_b: Floats) -> Floats:
        """(k, k) with [i, j] the sum of values_a where i is a and of values_b where i is b."""
        k = self.k
        flat = np.bincount(self.a * k + self.b, values_a, k * k).astype(np.float64, copy=False)
        flat += np.bincount(self.b * k + self.a, values_b, k * k)
        return flat.reshape(k, k)

    def wins(self) -> Floats:
        """(k, k) wins of the row over the column."""
        return self.matrix(self.wins_a, self.wins_b)

    def tied(self) -> Floats:
        """(k, k) symmetric ties."""
        return self.matrix(self.ties, self.ties)

    def bad(self) -> Floats:
        """(k, k) symmetric both_bad."""
        return self.matrix(self.both_bad, self.both_bad)


def exact_parts(weight: Floats) -> tuple[Floats, Floats]:
    """Split weights so that sums of the first part are exact in any order.

    The first part are multiples of one power of two, small enough that no sum of all of them
    needs more than 53 bits; the second part is the remainder (about 1e-10 of the first), whose
    own rounding is far below one unit in the last place of the total.
    """
    top = max(float(weight.max(initial=0.0)), -float(weight.min(initial=0.0)))
    if top == 0.0 or not np.isfinite(top):
        return weight, np.zeros(0)
    high = rounded(weight, top, len(weight))
    return high, weight - high


def rounded(weight: Floats, top: float, n: int) -> Floats:
    """The first of `exact_parts` for n weights of which none is above `top` in size."""
    if top == 0.0 or not np.isfinite(top):
        return weight
    unit = 2.0 ** (ceil(log2(top)) + ceil(log2(max(n, 2))) - 51)
    high = weight / unit
    np.round(high, out=high)
    high *= unit
    return high


def exact_bincount(index: NDArray[Any], weight: Floats, length: int) -> Floats:
    """`numpy.bincount` with weights whose result does not depend on the order of rows."""
    high, low = exact_parts(weight)
    total = np.bincount(index, high, length).astype(np.float64, copy=False)
    if low.any():
        total += np.bincount(index, low, length)
    return total


def ranked(keys: Ints) -> tuple[Ints, Ints]:
    """Sorted distinct keys (non-negative integers), and the position of each key among them."""
    top = int(keys.max(initial=-1)) + 1
    if top <= 4 * len(keys) + 1024:
        used = np.bincount(keys, minlength=top) > 0
        place = np.cumsum(used) - 1
        return np.flatnonzero(used), place[keys]
    codes, unique = pd.factorize(keys, sort=True)
    return np.asarray(unique, dtype=np.int64), np.asarray(codes, dtype=np.int64)


def distinct(codes: NDArray[Any], where: NDArray[np.bool_] | None = None) -> int:
    """How many different codes (non-negative integers) there are, of all or of some rows."""
    top = int(codes.max(initial=-1)) + 1
    if top > 4 * len(codes) + 1024:
        return len(ranked((codes if where is None else codes[where]).astype(np.int64))[0])
    found = np.bincount(codes, minlength=top)
    if where is not None:
        found -= np.bincount(codes[~where], minlength=top)
    return int((found > 0).sum())


def item_index(j: Judgments, cells: Cells) -> Ints:
    """Raw item code to position in `cells.items`; -1 for codes that do not occur."""
    place = {item: i for i, item in enumerate(cells.items)}
    return np.array([place.get(label, -1) for label in j.labels], dtype=np.int64)


def chunks(n: int, step: int = _CHUNK) -> Iterator[slice]:
    """Slices of n rows, as they come small enough to stay in the processor's cache."""
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def fused_codes(j: Judgments, part: slice) -> AnyArray:
    """(a, b, placement, verdict) of a slice as one integer: ((a*R + b)*P + p)*4 + v.

    In the smallest type that holds them all: the processor works on several at a time.
    """
    items, places = len(j.labels), 1 if j.placement is None else 3
    size = np.uint16 if items**2 * places * 4 <= 1 << 16 else np.int64
    code = j.a[part].astype(size)
    code *= items
    code += j.b[part].astype(size)
    if j.placement is not None:
        code *= 3
        code += (j.placement[part] + 1).astype(size)
    code <<= 2
    code += j.verdict[part].astype(size)
    return code


_counted: WeakKeyDictionary[Judgments, Cells] = WeakKeyDictionary()


def count(j: Judgments) -> Cells:
    """Sum judgments to cells; the same judgments are summed once.

    Returns:
        Cells over the items that occur in any judgment (both_bad included).
    """
    found = _counted.get(j)
    if found is None:
        found = _counted[j] = _count(j)
    return found


def _count(j: Judgments) -> Cells:
    places = 1 if j.placement is None else 3
    bins = len(j.labels) ** 2 * places * 4
    if bins <= max(_DENSE_BINS, 4 * j.n):
        codes = None
        totals = _dense_totals(j, bins)
        codes = np.flatnonzero(_occupied(j, totals, bins))
        totals = totals[codes]
    else:
        every = np.concatenate([fused_codes(j, part) for part in chunks(j.n)])
        codes, inverse = ranked(every)
        w = np.ones(j.n) if j.weight is None else j.weight
        totals = exact_bincount(inverse, w, len(codes))
    return _canonical(j, codes, totals, places)


def _dense_totals(j: Judgments, bins: int) -> Floats:
    if j.weight is None:
        parts = list(chunks(j.n, max(_WIDE_CHUNK, bins)))
        totals = np.zeros(bins)
        for share in in_parallel(lambda part: _counted_in(j, part), parts):
            totals += share
        return totals
    step = max(_CHUNK, bins)  # no chunk is smaller than the table it is added to
    high, low = exact_parts(j.weight)
    totals, rest = np.zeros(bins), np.zeros(bins)
    for part in chunks(j.n, step):
        code = fused_codes(j, part)
        totals += np.bincount(code, high[part], bins)
        rest += np.bincount(code, low[part], bins)
    return totals + rest


def _counted_in(j: Judgments, part: slice) -> Ints:
    """(bins,) how many judgments of a slice have each fused code.

    A conversion of SciPy's that adds in one pass, without `numpy.bincount`'s look for the range.
    """
    items, places = len(j.labels), 1 if j.placement is None else 3
    column = j.b[part].astype(np.int32)
    if j.placement is not None:
        column *= 3
        column += j.placement[part]
        column += 1
    column <<= 2
    column += j.verdict[part]
    row = j.a[part].astype(np.int32)
    one = np.ones(len(row), dtype=np.int32)
    table = sparse.coo_array((one, (row, column)), shape=(items, items * places * 4))
    return np.asarray(table.toarray()).ravel()


def _occupied(j: Judgments, totals: Floats, bins: int) -> NDArray[np.bool_]:
    """Bins that hold a judgment, also one of weight zero."""
    if j.weight is None or (j.weight > 0).all():
        return totals != 0
    zero = np.zeros(bins, dtype=np.bool_)
    zero[fused_codes(j, slice(0, j.n))] = True
    return zero


def _canonical(j: Judgments, codes: Ints, totals: Floats, places: int) -> Cells:
    raw = len(j.labels)
    verdict = codes & 3
    rest = codes >> 2
    place = rest % places - 1 if places == 3 else np.zeros_like(rest)
    rest //= places
    a, b = rest // raw, rest % raw
    used = np.zeros(raw, dtype=np.bool_)
    used[a] = True
    used[b] = True
    index = np.cumsum(used) - 1
    a, b = index[a], index[b]
    swap = a > b
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    place = np.where(swap, -place, place)
    verdict = np.where(swap & (verdict < 2), 1 - verdict, verdict)
    items = tuple(label for label, u in zip(j.labels, used, strict=True) if u)
    k = len(items)
    cell = (a * k + b) * 3 + place + 1
    keys, inverse = ranked(cell)
    table = np.zeros((len(keys), 4))
    np.add.at(table, (inverse, verdict), totals)
    pair = keys // 3
    return Cells(
        items,
        pair // k,
        pair % k,
        (keys % 3 - 1).astype(np.float64),
        *(np.ascontiguousarray(table[:, v]) for v in range(4)),
    )
