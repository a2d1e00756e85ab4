"""How often each annotator picks the response that the others' picks say is the better one.

Knows: who preferred which side of which pair. Does not know items, ratings or names.

The one-coin model of Dawid and Skene (1979, Applied Statistics 28, "Maximum likelihood estimation
of observer error-rates using the EM algorithm"): every pair c has a better side, either one with
probability 1/2, and annotator k picks it with probability r_k, independently of the others:

    E:  z_c = P(first side is the better one) = sigmoid(sum_k s_ck log(r_k / (1 - r_k)))
    M:  r_k = (alpha + expected right picks of k) / (alpha + beta + picks of k)

with s = +1 where k picked the first side and -1 where the other. The better side is summed out, so
a pair that only one annotator judged says nothing and r stays what the prior has it; a model with
a rating for each response (``fit_crowd`` with responses as items) fits such pairs perfectly and
takes that for reliability. Where different adapters are compared by many, ``fit_crowd`` says how
well each annotator follows the common ranking, which is another question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from preference.encoding import Floats, Ints
from preference.errors import ConvergenceError, InputError
from preference.outcomes import sigmoid

PRIOR = (16.0, 4.0)
"""alpha and beta: as if everybody had been seen right in sixteen picks of twenty."""
_MOST_ROUNDS = 20_000
_STILL = 1e-9


@dataclass(frozen=True, eq=False)
class PairCrowd:
    """Reliabilities from pairs that several judged.

    Attributes:
        annotators: the labels, sorted.
        reliability: r of each, between 0 and 1.
        n: picks of each.
        shared: of these the picks on pairs that somebody else judged too.
        prior: alpha and beta.
        iterations: rounds of the EM algorithm.
    """

    annotators: Ints
    reliability: Floats
    n: Ints
    shared: Ints
    prior: tuple[float, float]
    iterations: int


def fit_pair_crowd(
    pair: Any, first: Any, annotator: Any, *, prior: tuple[float, float] = PRIOR
) -> PairCrowd:
    """Reliabilities by maximum a posteriori, the better sides summed out.

    Args:
        pair: n labels; picks of one label are on the same two responses.
        first: n booleans, whether the pair's first side was preferred. Ties have no place here.
        annotator: n whole numbers.
        prior: alpha and beta of r's Beta prior in pseudo-picks, alpha above beta above 0, so that
            the side that most annotators pick is called the better one.

    Raises:
        InputError: the arrays differ in length, or the prior is not as said.
        ConvergenceError: the estimates did not settle.
    """
    alpha, beta = prior
    if not alpha > beta > 0:
        raise InputError(f"the prior must have alpha above beta above 0, got {alpha:g}, {beta:g}")
    _, pairs = np.unique(np.asarray(pair), return_inverse=True)
    labels, who = np.unique(np.asarray(annotator, dtype=np.int64), return_inverse=True)
    side = np.where(np.asarray(first, dtype=np.bool_), 1.0, -1.0)
    if not len(pairs) == len(who) == len(side):
        raise InputError(
            f"pair, first and annotator have {len(pairs)}, {len(side)} and {len(who)} values"
        )
    k, m = int(pairs.max(initial=-1)) + 1, len(labels)
    n = np.bincount(who, minlength=m)
    several = _several(pairs, who, k)
    pairs, who, side = pairs[several], who[several], side[several]
    shared = np.bincount(who, minlength=m)
    r, moved = np.full(m, alpha / (alpha + beta)), np.inf
    for rounds in range(1, _MOST_ROUNDS + 1):
        log_odds = np.log(r / (1 - r))
        told = np.bincount(pairs, side * log_odds[who], k).astype(np.float64)
        better = sigmoid(told)
        right = np.where(side > 0, better[pairs], 1 - better[pairs])
        new = (alpha + np.bincount(who, right, m)) / (alpha + beta + shared)
        moved = float(np.abs(new - r).max(initial=0.0))
        r = new
        if moved < _STILL:
            return PairCrowd(labels, r, n, shared, prior, rounds)
    raise ConvergenceError(f"reliabilities still moved by {moved:.1e} after {_MOST_ROUNDS} rounds")


def _several(pairs: Ints, who: Ints, k: int) -> Any:
    """Which picks are on pairs that at least two annotators judged."""
    judges = np.unique(np.stack([pairs, who]), axis=1)[0]
    return np.bincount(judges, minlength=k)[pairs] > 1
