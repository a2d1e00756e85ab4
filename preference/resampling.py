"""Bootstrap of ratings by resampling counts or clusters, not rows.

Knows: counts by cell, counts by cluster. Does not know judgments one by one: a million judgments of
200 items are one multinomial draw a replicate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from preference.arguments import level, whole
from preference.bradley_terry import (
    TIES,
    as_prior,
    cell_design,
    choose_tie_model,
)
from preference.connectivity import connectivity
from preference.counts import Cells, count, item_index
from preference.design import Design, gauge
from preference.encoding import BOTH_BAD, Floats, Ints, Item, encode, encode_clusters
from preference.errors import ConvergenceError, InputError, PreferenceError
from preference.in_parallel import in_parallel
from preference.newton import Optimum, Prior, maximise
from preference.outcomes import TieModel, derivatives, sigmoid
from preference.untyped import csgraph, sparse, special

_WIDEST = 15.0  # ratings that lie further apart are taken as having no finite estimate
_MOST_MEANS, _LARGEST_MEAN, _STEPS = 400, 300, 1 << 12
_AT_ONCE = 1 << 18  # values of one array
_MOST_STEPS, _STEP, _FAR = 15, 1e-10, 1.0


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Replicates of the ratings, (replicates, items), and percentile intervals.

    Attributes:
        prior_used: share of replicates in which an item had no finite rating and Firth's prior was
            used (resampling can make an item undefeated).
    """

    items: tuple[Item, ...]
    ratings: Floats
    se: Floats
    ci_low: Floats
    ci_high: Floats
    prior_used: float


def bootstrap(
    item_a: Any,
    item_b: Any,
    verdict: Any,
    *,
    cluster: Any = None,
    ties: str = "davidson",
    replicates: int = 100,
    seed: int = 0,
    ci: float = 0.95,
) -> Bootstrap:
    """Percentile bootstrap of ratings.

    Args:
        item_a: n items.
        item_b: n items, the other side.
        verdict: n verdicts.
        cluster: annotator labels: whole annotators are drawn; None: judgments are.
        ties: `half`, `davidson` or `rao_kupper`.
        replicates: how many; seed: of the generator.
        seed: the same seed gives the same digits, whatever the order of rows.
        ci: level.
    """
    replicates, seed, ci = whole(replicates, "replicates", 2), whole(seed, "seed"), level(ci)
    if ties not in TIES:
        raise InputError(f"ties {ties!r} is unknown: use half, davidson, rao_kupper or auto")
    j = encode(item_a, item_b, verdict)
    cells = count(j)
    rng = np.random.default_rng(seed)
    base = np.stack([cells.wins_a, cells.wins_b, cells.ties])
    if cluster is None:
        flat = _multinomial(rng, base.ravel(), replicates)
    else:
        codes = encode_clusters(cluster, j.n)
        if len(codes) != 1:
            raise InputError("cluster takes one array of labels here")
        keep = np.flatnonzero(j.verdict != BOTH_BAD)
        index = item_index(j, cells)
        a, b, v = index[j.a[keep]], index[j.b[keep]], j.verdict[keep].astype(np.int64)
        low, high = np.minimum(a, b), np.maximum(a, b)
        v = np.where((a > b) & (v < 2), 1 - v, v)
        keys = cells.a * cells.k + cells.b
        cell = np.searchsorted(keys, low * cells.k + high)
        g = int(codes[0].max()) + 1
        size = base.size
        table = sparse.csr_array(
            (np.ones(len(keep)), (codes[0][keep], v * len(keys) + cell)), shape=(g, size)
        )
        draws = rng.multinomial(g, np.full(g, 1 / g), size=replicates).astype(np.float64)
        flat = np.asarray((table.T @ draws.T).T)
    model, _ = choose_tie_model(cells, "davidson" if ties == "auto" else ties, Prior())  # type: ignore[arg-type]
    out, helped = _refit_all(cells, model, flat)
    tail = (1 - ci) / 2
    return Bootstrap(
        cells.items,
        out,
        out.std(axis=0, ddof=1),
        np.quantile(out, tail, axis=0),
        np.quantile(out, 1 - tail, axis=0),
        helped / replicates,
    )


def _multinomial(rng: np.random.Generator, counts: Floats, replicates: int) -> Floats:
    """(replicates, cells) draws of as many judgments as there are, a cell by its share of them.

    Independent Poisson numbers, given their sum, are multinomial: slightly too few are drawn so,
    and the rest one by one. A replicate that came out too large is drawn again. Several times as
    fast as a chain of binomials, and the same distribution.
    """
    total = int(counts.sum())
    share = counts / total
    draw = _poisson(share * max(total - 4 * np.sqrt(total), 0.0))
    edges = np.cumsum(share)
    last = int(np.flatnonzero(counts)[-1])
    out = np.empty((replicates, len(counts)))
    for row in out:
        drawn = draw(rng)
        while int(drawn.sum()) > total:
            drawn = draw(rng)
        one_by_one = np.sort(rng.random(total - int(drawn.sum())))  # sorted for the cache only
        rest = np.searchsorted(edges, one_by_one, side="right")
        row[:] = drawn + np.bincount(np.minimum(rest, last), minlength=len(counts))
    return out


def _poisson(mean: Floats) -> Callable[[np.random.Generator], Ints]:
    """Draws of one Poisson number for each mean.

    Where few means differ and none is large: by inversion, looked up in a table of what a uniform
    number means, and searched for where that falls on a border of the table.
    """
    means, inverse = np.unique(mean, return_inverse=True)
    which: Ints = np.asarray(inverse, dtype=np.int64).ravel()
    if len(means) > _MOST_MEANS or means[-1] > _LARGEST_MEAN:
        return lambda rng: np.asarray(cast("Any", rng).poisson(mean), dtype=np.int64)
    top = np.arange(int(means[-1] + 12 * np.sqrt(means[-1])) + 30)
    below: Floats = special.pdtr(top[None, :], means[:, None])  # P(number <= top), (means, tops)
    cuts = np.arange(_STEPS + 1) / _STEPS
    low = np.stack([np.searchsorted(row, cuts, side="right") for row in below])
    table = np.where(low[:, :-1] == low[:, 1:], low[:, :-1], -1).astype(np.int16).ravel()
    offset = which * _STEPS

    def draw(rng: np.random.Generator) -> Ints:
        u = rng.random(len(mean))
        found = table[offset + (u * _STEPS).astype(np.int64)].astype(np.int64)
        border = np.flatnonzero(found < 0)
        found[border] = (below[which[border]] <= u[border, None]).sum(axis=1)
        return found

    return draw


def _refit_all(cells: Cells, model: TieModel, flat: Floats) -> tuple[Floats, int]:
    """(replicates, items) ratings, and in how many of them a prior was needed.

    Replicates near the estimate from all judgments converge with its information in a few joint
    steps; those that do not are fitted one by one.
    """
    out = np.empty((len(flat), cells.k))
    centre = _centre(cells, model)
    drawn = flat.reshape(len(flat), 3, -1)
    left = np.ones(len(flat), dtype=np.bool_)
    if centre is not None:
        step = max(1, _AT_ONCE // max(len(cells.a), 1))
        parts = [slice(start, start + step) for start in range(0, len(flat), step)]
        found = in_parallel(lambda part: _near(cells, centre, drawn[part]), parts)
        for part, (x, done) in zip(parts, found, strict=True):
            ratings = x[:, : cells.k]
            out[part] = ratings - ratings.mean(axis=1, keepdims=True)
            left[part] = ~done
    helped = 0
    start = None if centre is None or centre.model != model else centre.optimum.parameters
    for r in np.flatnonzero(left):
        won, lost, tied = drawn[r]
        out[r], used = _refit(cells, model, won, lost, tied, start)
        helped += used
    return out, helped


@dataclass(frozen=True, eq=False)
class _Centre:
    """The estimate from all judgments; `model` is `half` where there are no ties."""

    design: Design
    model: TieModel
    optimum: Optimum


def _centre(cells: Cells, model: TieModel) -> _Centre | None:
    """Where replicates start; None when there is no estimate."""
    if not connectivity(cells).estimable:
        return None
    design = cell_design(cells)
    used = model if cells.ties.any() else "half"
    try:
        return _Centre(design, used, maximise(design, used, Prior()))
    except PreferenceError:
        return None


def _near(cells: Cells, centre: _Centre, drawn: Floats) -> tuple[Floats, Any]:
    """(replicates, p) estimates by steps with the centre's information, and which converged."""
    design, model, k = centre.design, centre.model, cells.k
    p = len(centre.optimum.parameters)
    shift = 0 if model == "half" else 1
    inverse = np.linalg.inv(centre.optimum.information + gauge(k, p))
    rows = np.arange(len(design.a))
    sides = sparse.csr_array(
        (
            np.concatenate([np.ones(len(rows)), -np.ones(len(rows)), design.extra.T.ravel()]),
            (
                np.concatenate(
                    [design.a, design.b, *([k + i] * len(rows) for i in range(design.m))]
                ),
                np.tile(rows, 2 + design.m),
            ),
        ),
        shape=(k + design.m, len(rows)),
    )
    x = np.tile(centre.optimum.parameters, (len(drawn), 1))
    done = np.zeros(len(drawn), dtype=np.bool_)
    active = np.flatnonzero(_connected(cells, drawn) & (drawn[:, 2].any(axis=1) | (shift == 0)))
    for _ in range(_MOST_STEPS):
        if not len(active):
            break
        here = x[active]
        eta = here[:, design.a] - here[:, design.b]
        if design.m:
            eta += here[:, k + shift :] @ design.extra.T
        won, lost, tied = (drawn[active, v] for v in range(3))
        e, t = _scores(model, eta, here[:, k : k + 1] if shift else 0.0, won, lost, tied)
        by_side = (sides @ e.T).T
        slope = np.concatenate([by_side[:, :k], *([t] if shift else []), by_side[:, k:]], axis=1)
        move = slope @ inverse
        move[:, :k] -= move[:, :k].mean(axis=1, keepdims=True)
        x[active] = here + move
        size = np.abs(move).max(axis=1)
        done[active[size < _STEP]] = True
        active = active[(size >= _STEP) & (size < _FAR)]
    spread = np.ptp(x[:, :k], axis=1)
    return x, done & (spread < _WIDEST)


def _scores(
    model: TieModel, eta: Floats, tau: Any, won: Floats, lost: Floats, tied: Floats
) -> tuple[Floats, Floats]:
    """(replicates, cells) derivatives in eta and (replicates, 1) in tau."""
    if model == "half":
        n = won + lost + tied
        return won + tied / 2 - n * sigmoid(eta), np.zeros((len(eta), 0))
    d = derivatives(model, eta, tau, won, lost, tied)
    return d.e, d.t.sum(axis=1, keepdims=True)


def _connected(cells: Cells, drawn: Floats) -> NDArray[np.bool_]:
    """Replicates in which a chain of wins or ties leads from every item to every other.

    One graph of all replicates, whose groups are looked for once.
    """
    up, down = (drawn[:, v] + drawn[:, 2] > 0 for v in (0, 1))
    source: list[Ints] = []
    target: list[Ints] = []
    for edges, one, two in ((up, cells.a, cells.b), (down, cells.b, cells.a)):
        replicate, cell = np.nonzero(edges)
        replicate *= cells.k
        source.append(replicate + one[cell])
        target.append(replicate + two[cell])
    start, end = np.concatenate(source), np.concatenate(target)
    nodes = len(drawn) * cells.k
    graph = sparse.csr_array((np.ones(len(start), dtype=np.int8), (start, end)), (nodes, nodes))
    _, label = csgraph.connected_components(graph, connection="strong")
    group = np.asarray(label).reshape(len(drawn), cells.k)
    return (group == group[:, :1]).all(axis=1)


def _refit(
    cells: Cells,
    model: TieModel,
    wins_a: Floats,
    wins_b: Floats,
    ties: Floats,
    start: Floats | None,
) -> tuple[Floats, bool]:
    drawn = replace(cells, wins_a=wins_a, wins_b=wins_b, ties=ties)
    used = model if ties.any() else "half"
    design = cell_design(drawn)
    k = cells.k
    if connectivity(drawn).estimable:
        try:
            x = maximise(design, used, Prior(), start if used == model else None).parameters[:k]
            if float(np.ptp(x)) < _WIDEST:
                return x - x.mean(), False
        except ConvergenceError:
            pass
    for prior in (
        as_prior("firth") if used != "rao_kupper" else as_prior("ridge"),
        as_prior("ridge"),
    ):
        try:
            x = maximise(design, used, prior).parameters[:k]
            return x - x.mean(), True
        except PreferenceError:
            continue
    return np.zeros(k), True
