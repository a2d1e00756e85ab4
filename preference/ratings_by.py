"""Do the ratings differ between groups of judgments: personas, rounds, kinds of prompt?

Knows: a label of every judgment. Does not know what the labels mean.

A name such as a persona speaks for neither side, so it cannot be a covariate of a difference; it
can only give the items other ratings. Each group is fitted apart, items that all groups rate are
centred together, and the hypothesis of one rating an item is tested by

    Q = sum_g (r_g - r)' V_g^+ (r_g - r),    r the average weighted by the V_g^+,

chi-squared with (groups - 1)(items - 1) degrees of freedom (Cochran 1954, Biometrics 10:101-129, in
its multivariate form). Groups are taken as independent: annotators who judged in several make Q
too small where they like the same items everywhere, so it errs on the side of "the same".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from preference.arguments import level
from preference.bradley_terry import (
    TIES,
    BradleyTerryFit,
    Ties,
    as_prior,
    choose_tie_model,
    fit_judgments,
)
from preference.counts import count
from preference.encoding import Floats, Item, encode, encode_clusters
from preference.errors import InputError, PreferenceError
from preference.untyped import special


@dataclass(frozen=True, eq=False)
class RatingsBy:
    """One fit a group, and whether they differ.

    Attributes:
        groups: labels as text, sorted; fits: one a group, None where it has no finite ratings.
        refusals: why not, None where it has.
        items: the items that every fitted group rates.
        statistic, degrees_of_freedom, p_value: of the test that these have the same ratings
            everywhere; NaN where it cannot be made.
        explanation: why there is no test, or None.
    """

    groups: tuple[str, ...]
    fits: tuple[BradleyTerryFit | None, ...]
    refusals: tuple[str | None, ...]
    items: tuple[Item, ...]
    statistic: float
    degrees_of_freedom: int
    p_value: float
    explanation: str | None = None


def ratings_by(
    item_a: Any,
    item_b: Any,
    verdict: Any,
    group: Any,
    *,
    weight: Any = None,
    ties: str = "davidson",
    placement: Any = None,
    cluster: Any = None,
    ci: float = 0.95,
    prior: float | str | None = None,
) -> RatingsBy:
    """Ratings of each group of judgments, and a test that they are the same.

    Args:
        item_a: n items: strings, integers or pandas categoricals.
        item_b: n items, the other side.
        verdict: n of `a`, `b`, `tie`, `both_bad`, or uint8 codes 0 to 3.
        group: n labels (a persona, a round).
        weight: n numbers >= 0.
        ties: `half`, `davidson`, `rao_kupper` or `auto` (chosen once, for all groups).
        placement: n of +1 (a had first place), -1, 0.
        cluster: one or two label arrays for robust intervals.
        ci: confidence level.
        prior: as in `fit_bradley_terry`.

    Raises:
        InputError: a value is wrong, or all judgments are in one group.
    """
    if ties not in TIES:
        raise InputError(f"ties {ties!r} is unknown: use half, davidson, rao_kupper or auto")
    ci = level(ci)
    j = encode(item_a, item_b, verdict, weight=weight, placement=placement)
    ways = encode_clusters(group, j.n)
    if len(ways) != 1:
        raise InputError("group takes one array of labels")
    codes = ways[0]
    names = [""] * (int(codes.max()) + 1)
    for label, code in zip(group, codes.tolist(), strict=True):
        names[code] = str(label)
    if len(names) < 2:
        raise InputError(f"every judgment is in the group {names[0]}: two are needed to compare")
    clusters = [] if cluster is None else encode_clusters(cluster, j.n)
    model, _ = choose_tie_model(count(j), cast("Ties", ties), as_prior(prior))
    fits: list[BradleyTerryFit | None] = []
    refusals: list[str | None] = []
    for code in range(len(names)):
        rows = np.flatnonzero(codes == code)
        try:
            fit = fit_judgments(
                j.take(rows),
                [c[rows] for c in clusters],
                ties=model,
                ci=ci,
                prior=as_prior(prior),
                variance="sandwich",
            )
        except PreferenceError as error:
            fits.append(None)
            refusals.append(str(error))
            continue
        fits.append(fit)
        refusals.append(None)
    return _compared(tuple(names), tuple(fits), tuple(refusals))


def _compared(
    names: tuple[str, ...],
    fits: tuple[BradleyTerryFit | None, ...],
    refusals: tuple[str | None, ...],
) -> RatingsBy:
    rated = [fit for fit in fits if fit is not None]
    items: tuple[Item, ...] = ()
    if rated:
        items = tuple(i for i in rated[0].items if all(i in fit.items for fit in rated))
    k = len(items)
    why = None
    if len(rated) < 2:
        why = f"{len(rated)} of {len(names)} groups have finite ratings: two are needed to compare"
    elif k < 2:
        why = "no two items are rated in every group, so nothing can be compared"
    if why is not None:
        return RatingsBy(names, fits, refusals, items, float("nan"), 0, float("nan"), why)
    statistic, degrees = homogeneity([_shared(fit, items) for fit in rated])
    p = float(special.chdtrc(degrees, statistic))
    return RatingsBy(names, fits, refusals, items, statistic, degrees, p)


def _shared(fit: BradleyTerryFit, items: tuple[Item, ...]) -> tuple[Floats, Floats]:
    """Ratings and covariance of some items, centred over them."""
    at = np.array([fit.index(item) for item in items], dtype=np.int64)
    centre = np.eye(len(at)) - 1 / len(at)
    return centre @ fit.ratings[at], centre @ fit.covariance[np.ix_(at, at)] @ centre


def homogeneity(groups: list[tuple[Floats, Floats]]) -> tuple[float, int]:
    """Q and its degrees of freedom, from centred ratings (k,) and covariances (k, k)."""
    k = len(groups[0][0])
    held = [np.linalg.pinv(c, rcond=1e-10, hermitian=True) for _, c in groups]
    total, pulled = np.zeros((k, k)), np.zeros(k)
    for w, (r, _) in zip(held, groups, strict=True):
        total, pulled = total + w, pulled + w @ r
    middle = np.linalg.pinv(total, rcond=1e-10, hermitian=True) @ pulled
    q = 0.0
    for w, (r, _) in zip(held, groups, strict=True):
        q += float((r - middle) @ w @ (r - middle))
    return q, (len(groups) - 1) * (k - 1)
