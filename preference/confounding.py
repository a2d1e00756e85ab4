"""Which effects cannot be told apart from the ratings, or from each other.

Knows: the columns of a design and where they say the same. Does not know verdicts or likelihoods.

Columns are taken one after the other. What is left of one after the ratings and the columns before
it are taken out (its residual sum of squares, each row weighted by its judgments) is zero exactly
when it says nothing of its own, so its coefficient could be any number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from preference.encoding import Floats
from preference.errors import ConfoundedError
from preference.newton import Design, assemble, gauge

_LEFT = 1e-10  # share of a column's sum of squares below which nothing of its own is left


def refuse_confounded(design: Design, *, rated: bool = True) -> None:
    """Name the first column that the ratings, or earlier columns, already say.

    Args:
        design: rows with counts; columns that add to a's side.
        rated: items have free ratings, so a property of an item cannot have an effect besides.

    Raises:
        ConfoundedError: naming the column, what says the same, and the remedy.
    """
    k, m = design.k, design.m
    counts = design.wins_a + design.wins_b + design.ties
    zero = np.zeros_like(counts)
    gram = assemble(design, "half", counts, zero, zero) + gauge(k, k + m)
    free: list[int] = list(range(k)) if rated else []
    names = design.extra_names
    for j in range(m):
        at = k + j
        own = float(gram[at, at])
        if own == 0:
            raise ConfoundedError(
                f"{names[j]} is the same on both sides of every judgment, so its effect cannot be "
                "seen: leave it out"
            )
        if free:
            weights = np.linalg.lstsq(gram[np.ix_(free, free)], gram[free, at], rcond=None)[0]
            if own - float(gram[at, free] @ weights) <= _LEFT * own:
                raise ConfoundedError(_words(names, j, free, weights, gram, k))
        free.append(at)


def _words(
    names: tuple[str, ...],
    j: int,
    free: list[int],
    weights: Any,
    gram: Floats,
    k: int,
) -> str:
    own = float(gram[k + j, k + j])
    share = {
        f: abs(float(w)) * np.sqrt(float(gram[f, f]) / own)
        for f, w in zip(free, weights, strict=True)
    }
    like = [names[f - k] for f in free if f >= k and share[f] > 1e-6]
    if like:
        return (
            f"the effects of {', '.join([*like, names[j]])} cannot be told apart: they are sums "
            "and multiples of each other"
            + (
                " (and of the items' ratings)"
                if any(f < k and share[f] > 1e-6 for f in free)
                else ""
            )
            + ": leave one out"
        )
    return (
        f"the effect of {names[j]} cannot be told apart from the items' ratings: it is the same "
        "whenever the same items meet, a property of the items: leave it out, or explain the "
        "ratings by it with fit_item_covariates"
    )
