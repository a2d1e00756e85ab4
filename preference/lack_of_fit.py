"""Do properties of the items explain their ratings, or do the items differ in more?

Knows: a fit with properties and one with a free rating for every item. Does not know how either was
found.

The test is the likelihood ratio against a rating for every item of its own: twice the difference of
the log-likelihoods is chi-squared with items - 1 - m degrees of freedom. Where judgments are
clustered it is not; then the test is Wald's, that the free ratings leave the space of the
properties: u' V^-1 u with u the q directions orthogonal to them and V from the clustered
covariance, referred to Hotelling's T-squared with G - 1 degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preference.bradley_terry import BradleyTerryFit, fit_judgments
from preference.counts import Cells
from preference.covariance import Variance
from preference.encoding import Floats, Ints, Judgments
from preference.errors import PreferenceError
from preference.newton import Prior
from preference.outcomes import TieModel
from preference.untyped import special

_NONE = Prior()


@dataclass(frozen=True)
class LackOfFit:
    """Properties against free ratings.

    Attributes:
        statistic, degrees_of_freedom, p_value: small p: the items differ in more than their
            properties. NaN where it cannot be tested.
        explained: share of the log-likelihood that free ratings gain over equal ones that the
            properties gain too; 1 is all of it.
        method: `likelihood ratio`, or `Wald, clustered`.
        explanation: why there is no test, or None.
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float
    explained: float
    method: str
    explanation: str | None = None


def lack_of_fit(
    j: Judgments,
    clusters: list[Ints],
    cells: Cells,
    x: Floats,
    model: TieModel,
    log_likelihood: float,
    even: float,
    variance: Variance,
) -> LackOfFit:
    """Compare properties `x` (k, m) with free ratings; `even` is the fit of equal ratings."""
    m = np.linalg.matrix_rank(x - x.mean(axis=0))
    q = cells.k - 1 - int(m)
    nan, method = float("nan"), "Wald, clustered" if clusters else "likelihood ratio"
    if q == 0:
        why = "as many properties as items allow: they explain any ratings"
        return LackOfFit(nan, 0, nan, 1.0, method, why)
    try:
        free = fit_judgments(j, clusters, ties=model, ci=0.95, prior=_NONE, variance=variance)
    except PreferenceError as error:
        return LackOfFit(nan, q, nan, nan, method, f"free ratings cannot be fitted: {error}")
    gained = free.log_likelihood - even
    explained = (log_likelihood - even) / gained if gained > 0 else nan
    if clusters:
        return _wald(free, x, q, explained)
    statistic = max(2 * (free.log_likelihood - log_likelihood), 0.0)
    return LackOfFit(statistic, q, float(special.chdtrc(q, statistic)), explained, method)


def _wald(free: BradleyTerryFit, x: Floats, q: int, explained: float) -> LackOfFit:
    """Do the free ratings leave the space of the properties, by more than clusters explain?"""
    method, nu = "Wald, clustered", free.degrees_of_freedom
    if nu < q:
        why = f"{int(nu) + 1} clusters are too few to test {q} directions: more are needed"
        return LackOfFit(float("nan"), q, float("nan"), explained, method, why)
    held = np.column_stack([np.ones(len(x)), x])
    left = np.linalg.svd(held)[0][:, len(x) - q :]
    u = left.T @ free.ratings
    statistic = float(u @ np.linalg.solve(left.T @ free.covariance @ left, u))
    p = float(special.fdtrc(q, nu - q + 1, statistic * (nu - q + 1) / (nu * q)))
    return LackOfFit(statistic, q, p, explained, method)
