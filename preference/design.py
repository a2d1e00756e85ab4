"""Rows of a paired-comparison likelihood: two items and extra columns each, and sums over them.

Knows: how parameters make log-odds, and how derivatives of rows add up to a gradient and a matrix.
Does not know priors, optimisers or what ties mean.

Parameters are laid out as [ratings (k) | tau (0 or 1) | effects (m)].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from preference.encoding import AnyArray, Floats, Ints
from preference.outcomes import TieModel

_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class Design:
    """Rows of counts: cells of equal (pair, placement), or single judgments with covariates.

    Where rows are sorted by pair, `starts` are the first rows of each pair: sums over rows then go
    over pairs first.
    """

    k: int
    a: Ints
    b: Ints
    wins_a: Floats
    wins_b: Floats
    ties: Floats
    extra: Floats  # (rows, m), each column adds to a's side
    extra_names: tuple[str, ...]
    starts: Ints | None = None

    @property
    def m(self) -> int:
        """Number of effects."""
        return self.extra.shape[1]


def blocks(design: Design) -> Iterator[Design]:
    """A design of many rows in parts that stay in the processor's cache, a pair never divided."""
    n = len(design.a)
    if design.starts is None or n <= 2 * _BLOCK:
        yield design
        return
    edges = np.append(design.starts, n)
    first = np.unique(np.searchsorted(edges, np.arange(0, n, _BLOCK)))
    first = np.unique(np.append(first, len(edges) - 1))
    for low, high in pairwise(first):
        part = slice(int(edges[low]), int(edges[high]))
        yield Design(
            design.k,
            design.a[part],
            design.b[part],
            design.wins_a[part],
            design.wins_b[part],
            design.ties[part],
            design.extra[part],
            design.extra_names,
            design.starts[low:high] - part.start,
        )


def log_odds(design: Design, model: TieModel, parameters: Floats) -> tuple[Floats, float]:
    """Eta of each row, and tau (0 for the half model)."""
    k = design.k
    shift = 0 if model == "half" else 1
    eta = parameters[design.a] - parameters[design.b]
    if design.m:
        eta = eta + design.extra @ parameters[k + shift :]
    return eta, float(parameters[k]) if shift else 0.0


def gauge(k: int, p: int) -> Floats:
    """V v' for v = 1/sqrt(k) on the ratings, shape (p, p)."""
    g = np.zeros((p, p))
    g[:k, :k] = 1.0 / k
    return g


@dataclass(frozen=True, eq=False)
class Products:
    """Weighted sums over rows that make up a matrix of z z': what is left of a block of rows.

    Attributes:
        a, b, ee, et, ex: items, and sums for each pair (or row); `ex` has one array an effect.
        tt, tx, xx: sums over all rows, shapes (), (m,), (m, m).
    """

    a: Ints
    b: Ints
    ee: Floats
    et: Floats
    ex: list[Floats]
    tt: float
    tx: Floats
    xx: Floats


def products(design: Design, model: TieModel, ee: Floats, et: Floats, tt: Floats) -> Products:
    """Sum over the rows of each pair, where these are neighbours."""
    m, tied = design.m, model != "half"
    a, b, by_pair = _summed(design, ee)
    ex: list[Floats] = []
    tx, xx = np.zeros(m), np.zeros((m, m))
    for j in range(m):
        column = design.extra[:, j]
        weighted = ee * column
        ex.append(_summed(design, weighted)[2])
        tx[j] = _dot(design, et, column) if tied else 0.0
        for i in range(j + 1):
            xx[i, j] = xx[j, i] = _dot(design, weighted, design.extra[:, i])
    t = _summed(design, et)[2] if tied else by_pair
    return Products(a, b, by_pair, t, ex, float(tt.sum()) if tied else 0.0, tx, xx)


def matrix(design: Design, model: TieModel, parts: list[Products]) -> Floats:
    """(p, p) sum of z z' from the products of one or more blocks."""
    k, m, shift = design.k, design.m, 0 if model == "half" else 1

    def joined(pick: Callable[[Products], AnyArray]) -> AnyArray:
        return pick(parts[0]) if len(parts) == 1 else np.concatenate([pick(x) for x in parts])

    def difference(values: Floats) -> Floats:
        up: Floats = np.bincount(a, values, k).astype(np.float64, copy=False)
        return up - np.bincount(b, values, k)

    out = np.zeros((k + shift + m,) * 2)
    a, b = joined(lambda x: x.a), joined(lambda x: x.b)
    pair = np.bincount(a * k + b, joined(lambda x: x.ee), k * k).reshape(k, k)
    pair += pair.T
    out[:k, :k] = -pair
    out[np.arange(k), np.arange(k)] += pair.sum(axis=1)
    if shift:
        out[k, :k] = out[:k, k] = difference(joined(lambda x: x.et))
        out[k, k] = sum(x.tt for x in parts)
    for j in range(m):
        row = k + shift + j
        out[row, :k] = out[:k, row] = difference(joined(lambda x, j=j: x.ex[j]))
        if shift:
            out[row, k] = out[k, row] = sum(x.tx[j] for x in parts)
        for i in range(j + 1):
            out[row, k + shift + i] = out[k + shift + i, row] = sum(x.xx[i, j] for x in parts)
    return out


def assemble(design: Design, model: TieModel, ee: Floats, et: Floats, tt: Floats) -> Floats:
    """(p, p) sum of z z' over rows, weighted by `ee`, `et`, `tt` in its eta and tau blocks."""
    return matrix(design, model, [products(design, model, ee, et, tt)])


def _dot(design: Design, x: Floats, y: Floats) -> float:
    if design.starts is None:
        return float(x @ y)
    return float(np.einsum("i,i->", x, y))  # in one thread: blocks are too short to be divided


def gradient(design: Design, model: TieModel, e: Floats, t: Floats) -> Floats:
    """(p,) score from per-row derivatives in eta and tau."""
    parts = [_difference(design, e)]
    if model != "half":
        parts.append(np.array([t.sum()]))
    parts.append(e @ design.extra)
    return np.concatenate(parts)


def _difference(design: Design, values: Floats) -> Floats:
    a, b, sums = _summed(design, values)
    up: Floats = np.bincount(a, sums, design.k).astype(np.float64, copy=False)
    return up - np.bincount(b, sums, design.k)


def _summed(design: Design, values: Floats) -> tuple[Ints, Ints, Floats]:
    """Items of a and b, and values summed over rows of one pair where these are neighbours."""
    if design.starts is None:
        return design.a, design.b, values
    at = design.starts
    return design.a[at], design.b[at], np.add.reduceat(values, at)
