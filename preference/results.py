"""What a Bradley-Terry fit gives back.

Knows: the numbers of one fit and how to read a difference from them. Does not know how they were
found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from preference.counts import Cells
from preference.covariance import quantile
from preference.encoding import Floats, Item
from preference.errors import InputError
from preference.outcomes import TieModel


@dataclass(frozen=True)
class Estimate:
    """One number with its uncertainty."""

    value: float
    se: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True, eq=False)
class BradleyTerryFit:
    """Result of `fit_bradley_terry`; arrays are read-only and in the order of `items`.

    Attributes:
        items: labels, sorted.
        ratings: log-worths, mean zero (natural-log units: +1 means odds of e against the mean).
        se, ci_low, ci_high: standard error and interval of each rating.
        tie_parameter: davidson: nu; rao_kupper: the threshold (1 means no ties); half: None.
        placement_effect: log-odds that first place adds; None when not fitted.
        covariance: (k, k) of the ratings; rows sum to zero.
        log_likelihood: of the judgments at the estimate (without prior or constants).
        iterations: Newton steps.
        components: strongly connected groups of items, largest first; more than one only with a
            prior.
        effects: placement, covariates and log tie parameter, each an Estimate.
        flags: item -> names such as `undefeated`, `winless`, `apart` (other component than most).
        wins, losses, ties, both_bad: weighted counts of each item.
        n_judgments: rows in; weight_total: their summed weight, both_bad left out.
        tie_model: the one used; tie_choice: how `auto` chose, with held-out log-likelihoods.
        clusters: number of clusters of each way; degrees_of_freedom: of the intervals' t.
        parameter_covariance: (p, p) of [ratings | log tie | effects].
    """

    items: tuple[Item, ...]
    ratings: Floats
    se: Floats
    ci_low: Floats
    ci_high: Floats
    tie_parameter: float | None
    placement_effect: float | None
    covariance: Floats
    log_likelihood: float
    iterations: int
    components: tuple[tuple[Item, ...], ...]
    effects: Mapping[str, Estimate]
    flags: Mapping[Item, tuple[str, ...]]
    wins: Floats
    losses: Floats
    ties: Floats
    both_bad: Floats
    n_judgments: int
    weight_total: float
    tie_model: TieModel
    tie_choice: Mapping[str, float]
    prior: str
    variance: str
    ci: float
    clusters: tuple[int, ...]
    degrees_of_freedom: float
    parameter_covariance: Floats
    cells: Cells = field(repr=False)

    @property
    def n(self) -> Floats:
        """Judgments of each item that count (wins + losses + ties)."""
        return self.wins + self.losses + self.ties

    @property
    def quantile(self) -> float:
        """What a standard error is multiplied by to give half an interval."""
        return quantile(self.ci, self.degrees_of_freedom)

    def index(self, item: Item) -> int:
        """Position of an item.

        Raises:
            InputError: it is not among the items.
        """
        try:
            return self.items.index(item)
        except ValueError:
            raise InputError(f"item {item!r} is not in this fit") from None

    def difference(self, first: Item, second: Item) -> Estimate:
        """Rating of `first` minus rating of `second`, with its own (joint) uncertainty."""
        i, j = self.index(first), self.index(second)
        c = self.covariance
        value = float(self.ratings[i] - self.ratings[j])
        se = float(np.sqrt(max(c[i, i] + c[j, j] - 2 * c[i, j], 0.0)))
        half = self.quantile * se
        return Estimate(value, se, value - half, value + half)
