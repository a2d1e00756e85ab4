"""People behind the judgments: how reliable, how biased, how quick, how they do on gold.

Knows: judgments with annotator labels. Does not know names beyond the labels, nor pages.

Reliability is the crowd Bradley-Terry model of Chen, Bennett, Collins-Thompson and Horvitz (2013,
WSDM, "Pairwise ranking aggregation in a crowdsourced setting"): annotator k prefers a with
probability r_k sigma(d) + (1 - r_k) sigma(-d), d the difference of ratings. r = 1 follows the
common ranking with the usual noise, 1/2 is a coin, below 1/2 works against it. Ties are half a
preference each way. Ratings have a normal prior (sd 2), r a Beta(4, 1) one, so that an annotator
with few judgments is believed to be ordinary, not perfect and not worthless.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from preference.arguments import level, listed
from preference.connectivity import connectivity, refuse
from preference.counts import count, item_index, ranked
from preference.covariance import quantile
from preference.encoding import (
    BOTH_BAD,
    TIE,
    Floats,
    Ints,
    Item,
    Judgments,
    encode,
    encode_clusters,
)
from preference.errors import ConvergenceError, InputError
from preference.numeric_columns import numeric, same_length
from preference.outcomes import sigmoid
from preference.untyped import pd
from preference.win_rate import wilson

_PRECISION = 0.25
_BETA = (4.0, 1.0)


@dataclass(frozen=True, eq=False)
class CrowdFit:
    """Ratings and reliabilities fitted together.

    Attributes:
        items, ratings: as in a Bradley-Terry fit, mean zero.
        annotators: labels, sorted as text.
        reliability: r of each; ci_low, ci_high: its interval given the ratings.
        n: judgments of each that prefer or tie.
    """

    items: tuple[Item, ...]
    ratings: Floats
    annotators: tuple[Any, ...]
    reliability: Floats
    ci_low: Floats
    ci_high: Floats
    n: Ints
    log_posterior: float
    iterations: int


@dataclass(frozen=True, eq=False)
class AnnotatorTable:
    """One entry an annotator; NaN where the data cannot say.

    Attributes:
        n: judgments; ties, both_bad: shares of them.
        first_place: share of decided, placed judgments won by the first place, with Wilson's
            interval (0.5 is no bias).
        agreement: share of others' judgments of the same comparisons with the same verdict, with
            Wilson's interval on agreement_n, the annotator's judgments that others share.
        gold: share of gold comparisons answered right, with Wilson's interval; gold_n: how many.
        seconds: median time a judgment.
    """

    annotators: tuple[Any, ...]
    n: Ints
    ties: Floats
    both_bad: Floats
    first_place: Floats
    first_place_low: Floats
    first_place_high: Floats
    agreement: Floats
    agreement_low: Floats
    agreement_high: Floats
    agreement_n: Ints
    gold: Floats
    gold_low: Floats
    gold_high: Floats
    gold_n: Ints
    seconds: Floats


def fit_crowd(
    item_a: Any,
    item_b: Any,
    verdict: Any,
    annotator: Any,
    *,
    apart: bool = False,
    ci: float = 0.95,
) -> CrowdFit:
    """Ratings and annotator reliabilities by maximum a posteriori.

    Args:
        item_a: n items.
        item_b: n items, the other side.
        verdict: n verdicts; both_bad is left out.
        annotator: n labels.
        apart: fit groups of items that never met together, for the annotators' sake; ratings of
            different groups then share no scale.
        ci: level of the reliability intervals.

    Raises:
        InputError: a value is wrong.
        DisconnectedError: items that were never compared, not even through others.
        ConvergenceError: no optimum found.
    """
    ci = level(ci)
    j = encode(item_a, item_b, verdict)
    groups = encode_clusters(annotator, j.n)
    if len(groups) != 1:
        raise InputError("annotator takes one array of labels")
    cells = count(j)
    shape = connectivity(cells)
    if len(shape.islands) > 1 and not apart:
        refuse(shape)
    index = item_index(j, cells)
    keep = np.flatnonzero(j.verdict != BOTH_BAD)
    k, m = cells.k, int(groups[0].max()) + 1
    judged = np.bincount(groups[0][keep], minlength=m)
    a, b, who, y, w = _alike(index[j.a[keep]], index[j.b[keep]], groups[0][keep], j.verdict[keep])
    start = np.concatenate([np.zeros(k), np.full(m, 1.5)])
    # in units of about one standard error: many judgments an item, few an annotator
    unit = 1 / np.sqrt(_information_at_start(a, b, start[k:], who, w, k))
    minimize = import_module("scipy.optimize").minimize

    def scaled(z: Floats) -> tuple[float, Floats]:
        value, slope = negative_log_posterior(z * unit, a, b, who, y, k, m, w)
        return value, slope * unit

    answer = minimize(
        scaled,
        start / unit,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 2000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-7},
    )
    if not answer.success and float(np.abs(answer.jac).max()) > 1e-3 * max(len(keep), 1) ** 0.5:
        raise ConvergenceError(f"the crowd model did not converge: {answer.message}")
    x = np.asarray(answer.x, dtype=np.float64) * unit
    ratings, logit = x[:k] - x[:k].mean(), x[k:]
    spread = _logit_error(ratings, logit, a, b, who, w, m)
    z = quantile(ci)
    names = _labels(annotator, groups[0], m)
    return CrowdFit(
        cells.items,
        ratings,
        names,
        sigmoid(logit),
        sigmoid(logit - z * spread),
        sigmoid(logit + z * spread),
        judged,
        -float(answer.fun),
        int(answer.nit),
    )


def _alike(a: Ints, b: Ints, who: Ints, verdict: Any) -> tuple[Ints, Ints, Ints, Floats, Floats]:
    """Judgments that say the same of the same items by the same annotator, once, with how many."""
    items = int(max(a.max(initial=0), b.max(initial=0))) + 1
    keys, codes = ranked(((who.astype(np.int64) * items + a) * items + b) * 4 + verdict)
    pair = keys // 4
    score = np.array([1.0, 0.0, 0.5, 0.0])[keys % 4]
    times = np.bincount(codes, minlength=len(keys)).astype(np.float64)
    return pair // items % items, pair % items, pair // (items * items), score, times


def negative_log_posterior(
    x: Floats, a: Ints, b: Ints, who: Ints, y: Floats, k: int, m: int, w: Floats | None = None
) -> tuple[float, Floats]:
    """Value and gradient at x = [ratings (k) | logit of reliability (m)].

    y is 1 where a was preferred, 0 where b was, 1/2 for a tie; w is how many judgments say so.
    """
    w = np.ones(len(y)) if w is None else w
    ratings, logit = x[:k], x[k:]
    d = ratings[a] - ratings[b]
    p, r = sigmoid(d), sigmoid(logit)
    rk = r[who]
    likes = rk * p + (1 - rk) * (1 - p)
    likes = np.clip(likes, 1e-12, 1 - 1e-12)
    alpha, beta = _BETA
    value = float((w * y) @ np.log(likes) + (w * (1 - y)) @ np.log1p(-likes))
    value -= _PRECISION / 2 * float(ratings @ ratings)
    value -= float(alpha * np.logaddexp(0, -logit).sum() + beta * np.logaddexp(0, logit).sum())
    push = w * (y / likes - (1 - y) / (1 - likes))
    by_d = push * (2 * rk - 1) * p * (1 - p)
    by_r = push * (2 * p - 1) * rk * (1 - rk)
    slope = np.concatenate(
        [
            np.bincount(a, by_d, k) - np.bincount(b, by_d, k) - _PRECISION * ratings,
            np.bincount(who, by_r, m) + alpha * (1 - r) - beta * r,
        ]
    )
    return -value, -slope


def _information_at_start(a: Ints, b: Ints, logit: Floats, who: Ints, w: Floats, k: int) -> Floats:
    """Diagonal of the information [ratings | logits] where all ratings are equal."""
    r = sigmoid(logit)
    each = w * (2 * r[who] - 1) ** 2 / 4
    ratings = np.bincount(a, each, k) + np.bincount(b, each, k) + _PRECISION
    return np.concatenate([ratings, sum(_BETA) * r * (1 - r)]).astype(np.float64)


def _logit_error(
    ratings: Floats, logit: Floats, a: Ints, b: Ints, who: Ints, w: Floats, m: int
) -> Floats:
    """Standard error of each reliability's logit, from its expected information and the prior."""
    p, r = sigmoid(ratings[a] - ratings[b]), sigmoid(logit)
    rk = r[who]
    likes = np.clip(rk * p + (1 - rk) * (1 - p), 1e-12, 1 - 1e-12)
    slope = (2 * p - 1) * rk * (1 - rk)
    information = np.bincount(who, w * slope**2 / (likes * (1 - likes)), m)
    return 1 / np.sqrt(information + sum(_BETA) * r * (1 - r))


def _labels(annotator: Any, codes: Ints, m: int) -> tuple[Any, ...]:
    first = np.full(m, -1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    values = annotator.array if hasattr(annotator, "array") else annotator
    return tuple(values[int(position)] if position >= 0 else None for position in first)


def annotator_table(
    item_a: Any,
    item_b: Any,
    verdict: Any,
    annotator: Any,
    *,
    placement: Any = None,
    unit: Any = None,
    gold: Any = None,
    seconds: Any = None,
    ci: float = 0.95,
) -> AnnotatorTable:
    """Position bias, agreement, gold accuracy and speed of every annotator.

    Args:
        item_a: n items.
        item_b: n items, the other side.
        verdict: n verdicts.
        annotator: n labels.
        placement: n of +1 (a first), -1, 0.
        unit: n labels of the comparison judged; None: the unordered pair of items.
        gold: n right verdicts (names), None where the comparison is no gold.
        seconds: n times, NaN where unknown.
        ci: level.
    """
    j = encode(item_a, item_b, verdict, placement=placement)
    groups = encode_clusters(annotator, j.n)
    if len(groups) != 1:
        raise InputError("annotator takes one array of labels")
    ci, who = level(ci), groups[0]
    m = int(who.max()) + 1
    n = np.bincount(who, minlength=m)
    z = quantile(ci)
    first, first_n = _first_place(j, who, m)
    right, gold_n = _gold(j, who, m, gold)
    with np.errstate(divide="ignore", invalid="ignore"):
        bias, good = first / first_n, right / gold_n
    low, high = wilson(bias, first_n, z)
    gold_low, gold_high = wilson(good, gold_n, z)
    alike, shared = _agreement(j, who, m, unit)
    alike_low, alike_high = wilson(alike, shared, z)
    return AnnotatorTable(
        _labels(annotator, who, m),
        n,
        np.bincount(who, j.verdict == TIE, m) / n,
        np.bincount(who, j.verdict == BOTH_BAD, m) / n,
        bias,
        low,
        high,
        alike,
        alike_low,
        alike_high,
        shared.astype(np.int64),
        good,
        gold_low,
        gold_high,
        gold_n.astype(np.int64),
        _medians(who, m, seconds),
    )


def _first_place(j: Judgments, who: Ints, m: int) -> tuple[Floats, Floats]:
    if j.placement is None:
        return np.zeros(m), np.zeros(m)
    decided = (j.verdict < TIE) & (j.placement != 0)
    won = decided & ((j.verdict == 0) == (j.placement > 0))
    return _sums(who, won, m), _sums(who, decided, m)


def _sums(who: Ints, mask: Any, m: int) -> Floats:
    return np.bincount(who, mask, m).astype(np.float64, copy=False)


def _gold(j: Judgments, who: Ints, m: int, gold: Any) -> tuple[Floats, Floats]:
    if gold is None:
        return np.zeros(m), np.zeros(m)
    from preference.encoding import VERDICTS

    answers = listed(gold, "gold")
    if len(answers) != j.n:
        raise InputError(f"gold has {len(answers)} values where verdict has {j.n}")
    codes = np.full(j.n, -1)
    for i, answer in enumerate(answers):
        if answer is None or (pd.api.types.is_scalar(answer) and pd.isna(answer)):
            continue
        if not isinstance(answer, str) or answer not in VERDICTS:
            raise InputError(f"gold {answer!r} at index {i}: use a, b, tie, both_bad or None")
        codes[i] = VERDICTS.index(answer)
    known = codes >= 0
    return _sums(who, known & (codes == j.verdict), m), _sums(who, known, m)


def _agreement(j: Judgments, who: Ints, m: int, unit: Any) -> tuple[Floats, Floats]:
    """Share of other people's judgments of the same unit that say the same; judgments shared."""
    from preference.overlap import oriented

    low = np.minimum(j.a, j.b).astype(np.int64)
    key = low * len(j.labels) + np.maximum(j.a, j.b)
    if unit is not None:
        key = encode_clusters(unit, j.n)[0]
    _, key = ranked(key)
    units = int(key.max()) + 1
    verdict = oriented(j)
    table = np.bincount(key * 4 + verdict, minlength=units * 4).reshape(units, 4)
    # others: without all of this annotator's own judgments of the unit
    own_key, own = ranked(key * m + who)
    own_table = np.bincount(own * 4 + verdict, minlength=len(own_key) * 4).reshape(-1, 4)
    same = table[key, verdict] - own_table[own, verdict]
    others = table.sum(axis=1)[key] - own_table.sum(axis=1)[own]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.bincount(who, same, m) / np.bincount(who, others, m), _sums(who, others > 0, m)


def _medians(who: Ints, m: int, seconds: Any) -> Floats:
    out = np.full(m, np.nan)
    if seconds is None:
        return out
    values = numeric(seconds, "seconds")
    same_length(len(who), seconds=len(values))
    order = np.argsort(who, kind="stable")
    edges = np.searchsorted(who[order], np.arange(m + 1))
    for i in range(m):
        own = values[order[edges[i] : edges[i + 1]]]
        own = own[np.isfinite(own)]
        if len(own):
            out[i] = float(np.median(own))
    return out
