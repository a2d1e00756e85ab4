"""Scores of judgments, summed over clusters: the middle part M of a sandwich V = B M B.

Knows: the score of every judgment at the estimate, and two ways to sum their outer products over
clusters: from counts of kinds (`tallies`), and from the rows themselves where there are weights,
covariates or too many kinds. Does not know what becomes of M.

Scores are rounded to multiples of a power of two, so that their sums are exact in any row order.
Each meat has its correction G/(G-1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preference.counts import (
    Cells,
    chunks,
    exact_parts,
    fused_codes,
    item_index,
    ranked,
    rounded,
)
from preference.design import Design, assemble, log_odds
from preference.encoding import BOTH_BAD, Floats, Ints, Judgments
from preference.outcomes import TieModel, derivatives, verdict_scores
from preference.tallies import Joint, Tally, neighbours, pairs_within, same_key
from preference.untyped import sparse

Columns = list[tuple[Ints | int, Floats]]
"""Position in the score vector (of each judgment, or of all) and value of each judgment."""

_TABLE = 1 << 22
_DENSE = 1 << 24


# --- from counts of kinds -------------------------------------------------------------------------


def meats_of_counts(
    t: Tally, design: Design, model: TieModel, parameters: Floats
) -> tuple[list[Floats], Floats | None]:
    """One meat a way, and for two ways that of both together."""
    eta, tau = log_odds(design, model, parameters)
    e, u = (x.reshape(-1, 4)[:, :3].ravel() for x in _scores_by_verdict(model, eta, tau))
    seen = np.stack([design.wins_a, design.wins_b, design.ties], axis=1).ravel()
    s = _vectors(design, model, e, u, seen, t.n)
    meats: list[Floats] = []
    for way in t.ways:
        sums = way[:, :-1] @ s
        meats.append((sums.T @ sums) * (len(way) / (len(way) - 1)))
    return meats, None if t.joint is None else _joint_of_counts(t.joint, design, model, e, u, t.n)


def _vectors(design: Design, model: TieModel, e: Floats, u: Floats, seen: Floats, n: int) -> Floats:
    """(kinds, p) score of one judgment of each kind, rounded for sums of n of those seen."""
    used = seen > 0
    e = rounded(e, float(np.abs(e[used]).max(initial=0.0)), n)
    kinds, shift = len(e), 0 if model == "half" else 1
    at = np.arange(kinds)
    cell = at // 3
    s = np.zeros((kinds, design.k + shift + design.m))
    s[at, design.a[cell]] = e
    s[at, design.b[cell]] = -e
    if shift:
        s[:, design.k] = rounded(u, float(np.abs(u[used]).max(initial=0.0)), n)
    s[:, design.k + shift :] = e[:, None] * design.extra[cell]
    return s


def _joint_of_counts(
    joint: Joint, design: Design, model: TieModel, e: Floats, u: Floats, n: int
) -> Floats:
    """Most joint clusters hold one judgment, whose sum's outer product is its own s s'."""
    alone = joint.alone[:-1]
    others = joint.together[:-1, :-1].copy()
    others[np.diag_indices_from(others)] -= alone
    rest = np.diag(others)
    lonely = int(joint.alone.sum())
    s = _vectors(design, model, e, u, rest, n - lonely)
    meat = s.T @ (others @ s)
    used = alone > 0
    if used.any():
        e, u = (rounded(x, float(np.abs(x[used]).max()), lonely) for x in (e, u))
        parts = [
            (rounded(x, float(np.abs(x[used]).max()), lonely) * alone).reshape(-1, 3).sum(axis=1)
            for x in (e * e, e * u, u * u)
        ]
        meat += assemble(design, model, *parts)
    return meat * (joint.number / max(joint.number - 1, 1))


# --- from rows ------------------------------------------------------------------------------------


def meats_of_rows(
    j: Judgments,
    clusters: list[Ints],
    design: Design,
    model: TieModel,
    parameters: Floats,
    cells: Cells,
) -> tuple[list[int], list[Floats], Floats | None]:
    """Clusters that say something and a meat each way, and for two ways that of both together."""
    index = item_index(j, cells)
    columns = score_columns(
        j, judgment_scores(j, model, parameters, index, design), index, design, model
    )
    width = design.k + (0 if model == "half" else 1) + design.m
    informative = j.verdict != BOTH_BAD
    codes: list[Ints] = []
    sizes: list[int] = []
    meats: list[Floats] = []
    for cluster in clusters:
        code, size = _recode(cluster, informative)
        codes.append(code)
        sizes.append(size)
        meats.append(cluster_meat(code, size, columns, width) * (size / (size - 1)))
    if len(codes) == 1:
        return sizes, meats, None
    own = None
    if j.weight is None and j.covariates is None:
        own = _own_of_cells(design, model, parameters, j.n)
    return sizes, meats, _joint_of_rows(codes, sizes, columns, width, own)


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
    places = 1 if j.placement is None else 3
    if _few_kinds(j):
        gap = (ratings[:, None] - ratings[None, :]).ravel()
        if places == 3:
            gap = (
                gap[:, None] + np.array([-1.0, 0.0, 1.0]) * (effects[0] if placed else 0.0)
            ).ravel()
        te, tt = _scores_by_verdict(model, gap, tau)
        if j.weight is None:  # rounding the table is rounding every judgment
            tops = _largest(design, model, parameters)
            te, tt = (rounded(x, top, j.n) for x, top in zip((te, tt), tops, strict=True))
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


def _few_kinds(j: Judgments) -> bool:
    """Whether scores are looked up in a table (then rounded there, where there are no weights)."""
    return j.covariates is None and len(j.labels) ** 2 * 12 <= _TABLE


def _scores_by_verdict(model: TieModel, eta: Floats, tau: float) -> tuple[Floats, Floats]:
    """(rows * 4,) scores of each verdict at each eta, verdict innermost."""
    e, t = np.zeros((len(eta), 4)), np.zeros((len(eta), 4))
    scores = verdict_scores(model, eta, tau)
    e[:, :3], t[:, :3] = scores[0].T, scores[1].T
    return e.ravel(), t.ravel()


def _scores_of(model: TieModel, eta: Floats, tau: float, verdict: Any) -> tuple[Floats, Floats]:
    unit = [(verdict == v).astype(np.float64) for v in range(3)]
    d = derivatives(model, eta, tau, *unit)
    return d.e, d.t


def _largest(design: Design, model: TieModel, parameters: Floats) -> tuple[float, float]:
    """The largest scores in eta and in tau of any judgment in the design's cells."""
    eta, tau = log_odds(design, model, parameters)
    seen = np.stack([design.wins_a, design.wins_b, design.ties], axis=1).ravel() > 0
    e, u = (x.reshape(-1, 4)[:, :3].ravel() for x in _scores_by_verdict(model, eta, tau))
    return float(np.abs(e[seen]).max(initial=0.0)), float(np.abs(u[seen]).max(initial=0.0))


def cluster_meat(groups: Ints, number: int, columns: Columns, p: int) -> Floats:
    """Sum over clusters of U U', U the cluster's summed score; shape (p, p), no correction."""
    if number * p <= _DENSE:
        u = np.zeros((number, p))
        flat = u.reshape(-1)
        base = groups * p
        for column, values in columns:
            if isinstance(column, int):
                u[:, column] += np.bincount(groups, values, number)
            else:
                flat += np.bincount(base + column, values, number * p)
        return u.T @ u
    rows = np.concatenate([groups] * len(columns))
    where = np.concatenate([np.broadcast_to(c, groups.shape) for c, _ in columns])
    values = np.concatenate([v for _, v in columns])
    keep = values != 0
    table = sparse.csr_array((values[keep], (rows[keep], where[keep])), shape=(number, p))
    return np.asarray((table.T @ table).todense())


def _own_of_cells(design: Design, model: TieModel, parameters: Floats, n: int) -> Floats:
    """Sum of s s' over judgments, from counts: `plain_meat` of rounded scores."""
    eta, tau = log_odds(design, model, parameters)
    tops = _largest(design, model, parameters)
    e, u = (
        rounded(x, top, n).reshape(-1, 4)[:, :3]
        for x, top in zip(_scores_by_verdict(model, eta, tau), tops, strict=True)
    )
    seen = np.stack([design.wins_a, design.wins_b, design.ties], axis=1)
    return assemble(design, model, *((x * seen).sum(axis=1) for x in (e * e, e * u, u * u)))


def _joint_of_rows(
    codes: list[Ints], sizes: list[int], columns: Columns, p: int, own: Floats | None
) -> Floats:
    """Corrected meat of the clusters that two ways make together.

    Where they are many and small: the own products of all judgments (`own`, if known already), and
    those of any two in one cluster.
    """
    n = len(codes[0])
    bits = int(n - 1).bit_length()
    key = codes[0] * sizes[1] + codes[1]
    if (sizes[0] * sizes[1]).bit_length() + bits > 62:
        key = ranked(key)[1]
    packed = key << bits
    packed |= np.arange(n)
    packed.sort()
    same = same_key(packed, bits)
    number = n - int(same.sum())
    if pairs_within(same) > 4 * n:
        names, code = ranked(key)
        return cluster_meat(code, len(names), columns, p) * (number / max(number - 1, 1))
    if own is None:
        every = np.arange(n)
        own = _products(columns, every, every, p)
    row = packed & ((1 << bits) - 1)
    near = list(neighbours(same))
    if near:
        left, right = (row[np.concatenate(side)] for side in zip(*near, strict=True))
        cross = _products(columns, left, right, p)
        own = own + cross + cross.T
    return own * (number / max(number - 1, 1))


def _products(columns: Columns, left: Ints, right: Ints, p: int) -> Floats:
    """(p, p) sum of s_l s_r' over pairs of judgments."""
    out = np.zeros(p * p)
    for column, value in columns:
        row = (column if isinstance(column, int) else column[left]) * p
        mine = value[left]
        for other, values in columns:
            at = row + (other if isinstance(other, int) else other[right])
            product = exact_parts(mine * values[right])[0]
            if isinstance(at, int):
                out[at] += float(product.sum())
            else:
                out += np.bincount(at, product, p * p)
    return out.reshape(p, p)


def score_columns(
    j: Judgments, scores: tuple[Floats, Floats], index: Ints, design: Design, model: TieModel
) -> Columns:
    """(column index, value of each judgment) pairs that make up the score vectors.

    Values are rounded to multiples of a power of two so that sums are exact in any row order.
    """
    e, u = scores
    if j.weight is not None or not _few_kinds(j):
        e, u = exact_parts(e)[0], exact_parts(u)[0]
    columns: Columns = [(index[j.a], e), (index[j.b], -e)]
    at = design.k
    if model != "half":
        columns.append((at, u))
        at += 1
    for name in design.extra_names:
        if name == "placement" and j.placement is not None:
            columns.append((at, e * j.placement))
            at += 1
    if j.covariates is not None:
        for i in range(j.covariates.shape[1]):
            columns.append((at + i, exact_parts(scores[0] * j.covariates[:, i])[0]))
    return columns


def _recode(codes: Ints, informative: NDArray[np.bool_]) -> tuple[Ints, int]:
    """Cluster codes renumbered over the clusters that say something (others get code 0)."""
    top = int(codes.max()) + 1
    if top > 4 * len(codes) + 1024:
        unique, codes = ranked(codes)
        top = len(unique)
    used = np.bincount(codes, minlength=top) > np.bincount(codes[~informative], minlength=top)
    if used.all():
        return codes, top
    place = np.where(used, np.cumsum(used) - 1, 0)
    return place[codes], int(used.sum())
