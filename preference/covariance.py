"""How sure: sandwich covariances, plain and robust to clusters.

Knows: scores of judgments, and how people (and prompts) who judge more than once make estimates
less certain than the number of judgments suggests. Does not know how the fit was found.

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
from typing import Any, Literal

import numpy as np

from preference.counts import chunks, exact_parts, fused_codes, ranked
from preference.encoding import BOTH_BAD, Floats, Ints, Judgments
from preference.newton import Design, assemble, log_odds
from preference.outcomes import TieModel, derivatives
from preference.untyped import sparse, special

Variance = Literal["sandwich", "model"]
FEW_CLUSTERS = 20  # up to here (or up to the number of items) some directions may look too sure
_TABLE = 1 << 22
_DENSE = 1 << 24


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
    eta, tau = log_odds(design, model, parameters)
    ee, et, tt = (np.zeros_like(eta) for _ in range(3))
    zero, one = np.zeros_like(eta), np.ones_like(eta)
    for counts, unit in (
        (design.wins_a, (one, zero, zero)),
        (design.wins_b, (zero, one, zero)),
        (design.ties, (zero, zero, one)),
    ):
        s = derivatives(model, eta, tau, *unit)
        ee += counts * s.e**2
        et += counts * s.e * s.t
        tt += counts * s.t**2
    return assemble(design, model, ee, et, tt)


def judgment_scores(
    j: Judgments, model: TieModel, parameters: Floats, index: Ints, design: Design
) -> tuple[Floats, Floats]:
    """Weighted derivative of each judgment in eta and in tau, shape (n,) each; both_bad are zero.

    `index` maps the raw item code to the item's position.
    """
    k = design.k
    shift = 0 if model == "half" else 1
    tau = float(parameters[k]) if shift else 0.0
    ratings = np.concatenate([parameters[:k], [0.0]])[index]
    effects = parameters[k + shift :]
    placed = bool(design.extra_names) and design.extra_names[0] == "placement"
    raw = len(j.labels)
    places = 1 if j.placement is None else 3
    if j.covariates is None and raw * raw * places * 4 <= _TABLE:
        gap = (ratings[:, None] - ratings[None, :]).ravel()
        if places == 3:
            gap = (
                gap[:, None] + np.array([-1.0, 0.0, 1.0]) * (effects[0] if placed else 0.0)
            ).ravel()
        te, tt = _scores_by_verdict(model, gap, tau)
        e, t = np.empty(j.n), np.empty(j.n)
        for part in chunks(j.n):
            code = fused_codes(j, part)
            e[part], t[part] = te[code], tt[code]
    else:
        eta = ratings[j.a] - ratings[j.b]
        if j.covariates is not None:
            eta = eta + j.covariates @ effects[int(placed) :]
        if placed and j.placement is not None:
            eta = eta + j.placement * effects[0]
        e, t = _scores_of(model, eta, tau, j.verdict)
    if j.weight is not None:
        e, t = e * j.weight, t * j.weight
    return e, t


def _scores_by_verdict(model: TieModel, eta: Floats, tau: float) -> tuple[Floats, Floats]:
    """(rows * 4,) scores of each verdict at each eta, verdict innermost."""
    e, t = np.zeros((len(eta), 4)), np.zeros((len(eta), 4))
    for verdict in range(3):
        unit = [np.full_like(eta, float(verdict == v)) for v in range(3)]
        d = derivatives(model, eta, tau, *unit)
        e[:, verdict], t[:, verdict] = d.e, d.t
    return e.ravel(), t.ravel()


def _scores_of(model: TieModel, eta: Floats, tau: float, verdict: Any) -> tuple[Floats, Floats]:
    unit = [(verdict == v).astype(np.float64) for v in range(3)]
    d = derivatives(model, eta, tau, *unit)
    return d.e, d.t


def cluster_meat(
    groups: Ints,
    number: int,
    j: Judgments,
    scores: tuple[Floats, Floats],
    index: Ints,
    design: Design,
    model: TieModel,
) -> Floats:
    """Sum over clusters of U U', U the cluster's summed score; shape (p, p), no correction."""
    columns = score_columns(j, scores, index, design, model)
    width = design.k + (0 if model == "half" else 1) + design.m
    if number * width <= _DENSE:
        u = np.zeros(number * width)
        for column, values in columns:
            u += np.bincount(groups * width + column, values, number * width)
        u = u.reshape(number, width)
        return u.T @ u
    rows = np.concatenate([groups] * len(columns))
    where = np.concatenate([np.broadcast_to(c, groups.shape) for c, _ in columns])
    values = np.concatenate([v for _, v in columns])
    keep = values != 0
    table = sparse.csr_array((values[keep], (rows[keep], where[keep])), shape=(number, width))
    return np.asarray((table.T @ table).todense())


def _joint_meat(
    groups: Ints,
    j: Judgments,
    scores: tuple[Floats, Floats],
    index: Ints,
    design: Design,
    model: TieModel,
) -> Floats:
    """Corrected meat of many small clusters: most hold one judgment, whose U U' is its own s s'."""
    sizes = np.bincount(groups)
    alone = sizes[groups] == 1
    number = len(sizes)
    meat = np.zeros((design.k + (0 if model == "half" else 1) + design.m,) * 2)
    if not alone.all():
        rows = np.flatnonzero(~alone)
        names, codes = ranked(groups[rows])
        part = scores[0][rows], scores[1][rows]
        meat += cluster_meat(codes, len(names), j.take(rows), part, index, design, model)
    if alone.any():
        rows = np.flatnonzero(alone)
        one = j.take(rows)
        e, t = exact_parts(scores[0][rows])[0], exact_parts(scores[1][rows])[0]
        nothing = np.zeros(0)
        single = Design(
            design.k,
            index[one.a],
            index[one.b],
            nothing,
            nothing,
            nothing,
            _extra(one, design),
            design.extra_names,
        )
        meat += assemble(single, model, *(exact_parts(x)[0] for x in (e * e, e * t, t * t)))
    return meat * (number / max(number - 1, 1))


def _extra(j: Judgments, design: Design) -> Floats:
    """(n, m) placement and covariates of judgments, as in the design's columns."""
    columns: list[Floats] = []
    if "placement" in design.extra_names and j.placement is not None:
        columns.append(j.placement.astype(np.float64)[:, None])
    if j.covariates is not None:
        columns.append(j.covariates)
    return np.hstack(columns) if columns else np.zeros((j.n, 0))


def score_columns(
    j: Judgments, scores: tuple[Floats, Floats], index: Ints, design: Design, model: TieModel
) -> list[tuple[Any, Floats]]:
    """(column index, value of each judgment) pairs that make up the score vectors.

    Values are rounded to multiples of a power of two so that sums are exact in any row order.
    """
    e, _ = exact_parts(scores[0])
    columns: list[tuple[Any, Floats]] = [(index[j.a], e), (index[j.b], -e)]
    at = design.k
    if model != "half":
        columns.append((at, exact_parts(scores[1])[0]))
        at += 1
    for name in design.extra_names:
        if name == "placement" and j.placement is not None:
            columns.append((at, e * j.placement))
            at += 1
    if j.covariates is not None:
        for i in range(j.covariates.shape[1]):
            columns.append((at + i, exact_parts(scores[0] * j.covariates[:, i])[0]))
    return columns


def clustered(
    bread: Floats,
    j: Judgments,
    clusters: list[Ints],
    model: TieModel,
    parameters: Floats,
    index: Ints,
    design: Design,
    ci: float,
) -> Uncertainty:
    """One-way or two-way cluster-robust covariance."""
    scores = judgment_scores(j, model, parameters, index, design)
    informative = j.verdict != BOTH_BAD
    codes, sizes = zip(*(_recode(c, informative) for c in clusters), strict=True)
    one_way: list[Floats] = []
    for code, size in zip(codes, sizes, strict=True):
        meat = cluster_meat(code, size, j, scores, index, design, model)
        one_way.append(bread @ (meat * (size / (size - 1))) @ bread)
    covariance = one_way[0]
    if len(codes) == 2:
        _, both = ranked(codes[0] * sizes[1] + codes[1])
        joint = bread @ _joint_meat(both, j, scores, index, design, model) @ bread
        covariance = widen(_positive(one_way[0] + one_way[1] - joint), *one_way)
    if min(sizes) <= max(design.k, FEW_CLUSTERS):
        plain = bread @ plain_meat(design, model, parameters) @ bread
        covariance = widen(covariance, plain)
    freedom = float(min(sizes) - 1)
    return Uncertainty(covariance, quantile(ci, freedom), freedom, tuple(sizes))


def _recode(codes: Ints, informative: Any) -> tuple[Ints, int]:
    """Cluster codes renumbered over the clusters that say something (others get code 0)."""
    top = int(codes.max()) + 1
    if top > 4 * len(codes) + 1024:
        unique, codes = ranked(codes)
        top = len(unique)
    used = np.bincount(codes[informative], minlength=top) > 0
    place = np.where(used, np.cumsum(used) - 1, 0)
    return place[codes], int(used.sum())


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
