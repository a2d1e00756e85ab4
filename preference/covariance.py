"""How sure: sandwich covariances, plain and robust to clusters.

Knows: how people (and prompts) who judge more than once make estimates less certain than the number
of judgments suggests. Does not know how the fit was found, nor how scores are summed over clusters
(`cluster_sums`).

V = B M B with B the inverse information and M the variance of the scores:

* plain: M = sum of w s s' over judgments (White 1982, Econometrica 50:1-25);
* one-way: M = G/(G-1) times the sum over clusters of (sum of scores)(sum of scores)'
  (Liang and Zeger 1986, Biometrika 73:13-22);
* two-way: M1 + M2 - M12 (Cameron, Gelbach and Miller 2011, JBES 29:238-249), negative eigenvalues
  set to zero, and no standard error below either one-way one: with few clusters the difference
  can come out far too small.

With few clusters (20, or fewer than items) M has too little rank to know every direction; then no
standard error lies below the plain one either.

Intervals from clusters use Student's t with (smallest number of clusters - 1) degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from preference.cluster_sums import meats_of_counts, meats_of_rows
from preference.counts import Cells
from preference.design import Design, Products, blocks, log_odds, matrix, products
from preference.encoding import Floats, Ints, Judgments
from preference.in_parallel import in_parallel
from preference.outcomes import TieModel, verdict_scores
from preference.tallies import tally
from preference.untyped import special

Variance = Literal["sandwich", "model"]
FEW_CLUSTERS = 20  # up to here (or up to the number of items) some directions may look too sure


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Covariance of all parameters and the quantile that turns it into intervals."""

    covariance: Floats
    quantile: float
    degrees_of_freedom: float  # infinity without clusters
    clusters: tuple[int, ...]


def quantile(ci: float, degrees_of_freedom: float = np.inf) -> float:
    """Two-sided quantile for a level such as 0.95, normal or Student's t."""
    tail = (1.0 + ci) / 2
    if np.isinf(degrees_of_freedom):
        return float(special.ndtri(tail))
    return float(special.stdtrit(degrees_of_freedom, tail))


def plain_meat(design: Design, model: TieModel, parameters: Floats) -> Floats:
    """Sum of w s s' over judgments, from counts: a judgment of a row has one of three scores."""

    def part(block: Design) -> Products:
        eta, tau = log_odds(block, model, parameters)
        ee, et, tt = (np.zeros_like(eta) for _ in range(3))
        scores = verdict_scores(model, eta, tau)
        for counts, e, t in zip((block.wins_a, block.wins_b, block.ties), *scores, strict=True):
            ee += counts * e**2
            if model != "half":
                et += counts * e * t
                tt += counts * t**2
        return products(block, model, ee, et, tt)

    return matrix(design, model, in_parallel(part, blocks(design)))


def clustered(
    bread: Floats,
    j: Judgments,
    clusters: list[Ints],
    model: TieModel,
    parameters: Floats,
    cells: Cells,
    design: Design,
    ci: float,
) -> Uncertainty:
    """One-way or two-way cluster-robust covariance."""
    counted = tally(j, cells, clusters)
    if counted is not None:
        sizes = counted.sizes
        meats, joint = meats_of_counts(counted, design, model, parameters)
    else:
        sizes, meats, joint = meats_of_rows(j, clusters, design, model, parameters, cells)
    one_way = [bread @ meat @ bread for meat in meats]
    covariance = one_way[0]
    if joint is not None:
        both = bread @ joint @ bread
        covariance = widen(_positive(one_way[0] + one_way[1] - both), *one_way)
    if min(sizes) <= max(design.k, FEW_CLUSTERS):
        plain = bread @ plain_meat(design, model, parameters) @ bread
        covariance = widen(covariance, plain)
    freedom = float(min(sizes) - 1)
    return Uncertainty(covariance, quantile(ci, freedom), freedom, tuple(sizes))


def _positive(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    if values[0] >= 0:
        return covariance
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def widen(covariance: Floats, *floors: Floats) -> Floats:
    """Scale a covariance up so that no variance lies below that of any of `floors`."""
    have = np.diag(covariance)
    want = np.maximum.reduce([have, *(np.diag(f) for f in floors)])
    fixed = covariance.copy()
    lost = have <= 1e-14 * want.max(initial=0.0)
    if lost.any():  # nothing to scale: take the widest floor's rows
        widest = max(floors, key=lambda f: float(np.trace(f)))
        fixed[lost] = widest[lost]
        fixed[:, lost] = widest[:, lost]
        have = np.diag(fixed)
    scale = np.sqrt(np.divide(want, have, out=np.ones_like(want), where=have > 0))
    return fixed * scale[:, None] * scale[None, :]
