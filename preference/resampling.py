"""Bootstrap of ratings by resampling counts or clusters, not rows.

Knows: counts by cell, counts by cluster. Does not know judgments one by one: a million judgments of
200 items are one multinomial draw a replicate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from preference.arguments import level, whole
from preference.bradley_terry import (
    TIES,
    as_prior,
    cell_design,
    choose_tie_model,
)
from preference.connectivity import connectivity
from preference.counts import Cells, count, item_index
from preference.encoding import BOTH_BAD, Floats, Item, encode, encode_clusters
from preference.errors import ConvergenceError, InputError, PreferenceError
from preference.newton import Prior, maximise
from preference.untyped import sparse


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
        total = int(base.sum())
        flat = rng.multinomial(total, base.ravel() / total, size=replicates).astype(np.float64)
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
    out = np.empty((replicates, cells.k))
    start = _centre(cells, model)
    helped = 0
    for r in range(replicates):
        wins_a, wins_b, tied = flat[r].reshape(base.shape)
        out[r], used = _refit(cells, model, wins_a, wins_b, tied, start)
        helped += used
    tail = (1 - ci) / 2
    return Bootstrap(
        cells.items,
        out,
        out.std(axis=0, ddof=1),
        np.quantile(out, tail, axis=0),
        np.quantile(out, 1 - tail, axis=0),
        helped / replicates,
    )


def _centre(cells: Cells, model: Any) -> Floats | None:
    """The estimate from all judgments, where replicates start; None when there is none."""
    if not connectivity(cells).estimable or not cells.ties.any():
        return None
    try:
        return maximise(cell_design(cells), model, Prior()).parameters
    except PreferenceError:
        return None


def _refit(
    cells: Cells,
    model: Any,
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
            if float(np.ptp(x)) < 15:
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
