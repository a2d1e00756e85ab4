"""Do ratings of later judgments differ from those of earlier ones?

Knows: judgments and which of them are the later ones. Does not know clocks, nor why tastes change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from preference.arguments import listed
from preference.bradley_terry import BradleyTerryFit, Ties, as_prior, fit_judgments
from preference.counts import distinct
from preference.encoding import Floats, Ints, Item, Judgments, encode, encode_clusters
from preference.errors import InputError, PreferenceError
from preference.untyped import special


@dataclass(frozen=True, eq=False)
class Drift:
    """Ratings of the later judgments minus those of the earlier.

    Attributes:
        change, se, z: per item, and the change over its standard error.
        statistic, degrees_of_freedom, p_value: of the test that no item changed (Wald's; with
            clusters on Hotelling's scale, NaN where there are fewer clusters than items).
        p_largest: the probability of any change as large as the largest one over its standard
            error, times the number of items (Bonferroni); valid with few clusters too.
        n: judgments of each item, both parts together.
        freedom: degrees of freedom of a change over its standard error; infinite without clusters.
    """

    items: tuple[Item, ...]
    change: Floats
    se: Floats
    z: Floats
    statistic: float
    degrees_of_freedom: int
    p_value: float
    p_largest: float
    n: Ints
    freedom: float


def _booleans(later: Any) -> Any:
    if getattr(later, "dtype", None) == np.bool_ and getattr(later, "ndim", 0) == 1:
        return np.asarray(later)
    values = listed(later, "later")
    for i, value in enumerate(values):
        if not isinstance(value, (bool, np.bool_)):
            raise InputError(f"later {value!r} at index {i}: use True for the later part or False")
    return np.array(values, dtype=np.bool_)


def drift(
    item_a: Any,
    item_b: Any,
    verdict: Any,
    *,
    later: Any,
    cluster: Any = None,
) -> Drift:
    """Whether ratings differ between earlier and later judgments.

    Args:
        item_a: n items.
        item_b: n items, the other side.
        verdict: n verdicts.
        later: n booleans: True for the later part (for example the second half in time).
        cluster: annotator labels for robust errors (a person in both parts is taken as two).

    Raises:
        InputError: one part is empty or holds other items.
        PreferenceError: one part alone has no finite ratings.
    """
    mask = _booleans(later)
    j = encode(item_a, item_b, verdict)
    if len(mask) != j.n:
        raise InputError(f"later has {len(mask)} values where verdict has {j.n}")
    groups = [] if cluster is None else encode_clusters(cluster, j.n)
    return drift_of(j, groups, mask)


def drift_of(j: Judgments, groups: list[Ints], mask: Any, ties: Ties = "davidson") -> Drift:
    """`drift` on encoded judgments; two fits, each of one part."""
    if mask.all() or not mask.any():
        raise InputError(f"the {'earlier' if mask.all() else 'later'} part holds no judgment")
    fits: list[BradleyTerryFit] = []
    for part, name in ((~mask, "earlier"), (mask, "later")):
        rows = np.flatnonzero(part)
        if groups and distinct(groups[0][rows]) < 2:
            raise InputError(f"one annotator alone judged the {name} part: its error is not known")
        try:
            fits.append(
                fit_judgments(
                    j.take(rows),
                    [g[rows] for g in groups],
                    ties=ties,
                    ci=0.95,
                    prior=as_prior(None),
                    variance="sandwich",
                )
            )
        except PreferenceError as error:
            raise type(error)(f"in the {name} part: {error}") from None
    early, late = fits
    if early.items != late.items:
        other = sorted({*map(str, early.items)} ^ {*map(str, late.items)})
        raise InputError(f"items in one part only: {', '.join(other[:6])}")
    change = late.ratings - early.ratings
    c = late.covariance + early.covariance
    se = np.sqrt(np.maximum(np.diag(c), 1e-300))
    k = len(change)
    statistic = float(change @ np.linalg.pinv(c, rcond=1e-10, hermitian=True) @ change)
    q, freedom = k - 1, min(early.degrees_of_freedom, late.degrees_of_freedom)
    largest = float(np.abs(change / se).max())
    if np.isinf(freedom):
        p, tail = float(special.chdtrc(q, statistic)), float(special.ndtr(-largest))
    else:
        tail = float(special.stdtr(freedom, -largest))
        p = float("nan")
        if freedom >= q:
            p = float(
                special.fdtrc(q, freedom - q + 1, statistic * (freedom - q + 1) / (freedom * q))
            )
    # two items move by one and the same amount: that is one change, not two
    either = min(1.0, 2 * tail * (k if k > 2 else 1))
    n = np.bincount(j.a, minlength=len(j.labels)) + np.bincount(j.b, minlength=len(j.labels))
    place = {label: i for i, label in enumerate(j.labels)}
    seen = n[[place[item] for item in early.items]]
    return Drift(early.items, change, se, change / se, statistic, q, p, either, seen, freedom)
