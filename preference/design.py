"""Rows of a paired-comparison likelihood: two items and extra columns each, and sums over them.

Knows: how parameters make log-odds, and how derivatives of rows add up to a gradient and a matrix.
Does not know priors, optimisers or what ties mean.

Parameters are laid out as [ratings (k) | tau (0 or 1) | effects (m)].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from preference.encoding import Floats, Ints
from preference.outcomes import TieModel

_BLOCK = 1 << 15


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
    size = max(_BLOCK, design.k**2)
    n = len(design.a)
    if design.starts is None or n <= 2 * size:
        yield design
        return
    edges = np.append(design.starts, n)
    first = np.unique(np.searchsorted(edges, np.arange(0, n, size)))
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


def assemble(design: Design, model: TieModel, ee: Floats, et: Floats, tt: Floats) -> Floats:
    """(p, p) sum of z z' over rows, weighted by `ee`, `et`, `tt` in its eta and tau blocks."""
    k, m, shift = design.k, design.m, 0 if model == "half" else 1
    p = k + shift + m
    out = np.zeros((p, p))
    a, b, by_pair = _summed(design, ee)
    pair = np.bincount(a * k + b, by_pair, k * k).reshape(k, k)
    pair += pair.T
    out[:k, :k] = -pair
    out[np.arange(k), np.arange(k)] += pair.sum(axis=1)
    if shift:
        out[k, :k] = out[:k, k] = _difference(design, et)
        out[k, k] = tt.sum()
    for j in range(m):
        column = design.extra[:, j]
        row = k + shift + j
        weighted = ee * column
        out[row, :k] = out[:k, row] = _difference(design, weighted)
        if shift:
            out[row, k] = out[k, row] = _dot(design, et, column)
        for i in range(j + 1):
            both = _dot(design, weighted, design.extra[:, i])
            out[row, k + shift + i] = out[k + shift + i, row] = both
    return out


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
