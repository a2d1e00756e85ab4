"""How many independent judgments some judgments are worth, and how many more would be enough.

Knows weights and which judgments share a comparison or an annotator. Does not know verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preference.encoding import Floats

_NEVER = 10_000_000


def effective_number(
    weight: Sequence[float],
    comparison: Sequence[int],
    annotator: Sequence[int],
    *,
    same_comparison: float,
    same_annotator: float,
) -> float:
    """How many independent judgments of equal weight some judgments are worth.

    Kish's number with correlated judgments (Kish 1965, sections 5.4 and 11.7): (Σw)² / Σᵢⱼ wᵢwⱼρᵢⱼ
    with ρ = 1 for a judgment with itself, ``same_comparison`` for two of one comparison,
    ``same_annotator`` for two of one annotator, 0 else. With both 0 it is (Σw)² / Σw².

    Args:
        weight: (n,) weights, 0 or more.
        comparison: (n,) labels.
        annotator: (n,) labels.
        same_comparison: correlation, 0 to 1.
        same_annotator: correlation, 0 to 1.
    """
    w = np.asarray(weight, dtype=np.float64)
    if not len(w) or not w.sum() > 0:
        return 0.0
    return float(w.sum()) ** 2 / _spread(
        w, _sums(w, comparison), _sums(w, annotator), same_comparison, same_annotator
    )


def more_for(
    wanted: float,
    weight: Sequence[float],
    comparison: Sequence[int],
    annotator: Sequence[int],
    *,
    same_comparison: float,
    same_annotator: float,
) -> int | None:
    """Judgments that would lift `effective_number` to what is wanted; None where none would.

    They are supposed to come from the same people in the same shares, of new comparisons, with
    weight 1: after k of them the sum of weights is W + k, and an annotator's grows by 1 + k/W.

    Args:
        wanted: effective number.
        weight: (n,) weights, 0 or more.
        comparison: (n,) labels.
        annotator: (n,) labels.
        same_comparison: as of `effective_number`.
        same_annotator: as of `effective_number`.
    """
    w = np.asarray(weight, dtype=np.float64)
    total, own = float(w.sum()), float((w**2).sum())
    if total <= 0:
        return None
    pairs = float((_sums(w, comparison) ** 2).sum())
    people = float((_sums(w, annotator) ** 2).sum())

    def after(k: int) -> float:
        grown = people * (1 + k / total) ** 2
        spread = own + k + same_comparison * (pairs - own) + same_annotator * (grown - own - k)
        return (total + k) ** 2 / spread

    low, high = 0, 1
    while after(high) < wanted:
        low, high = high, 2 * high
        if high > _NEVER:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if after(middle) < wanted else (low, middle)
    return high


def _spread(w: Floats, by_pair: Floats, by_person: Floats, pair: float, person: float) -> float:
    own, pairs, people = (float((x**2).sum()) for x in (w, by_pair, by_person))
    return own + pair * (pairs - own) + person * (people - own)


def _sums(w: Floats, labels: Sequence[int]) -> Floats:
    _, codes = np.unique(np.asarray(labels), return_inverse=True)
    return np.bincount(codes, w).astype(np.float64)
