"""A win rate from sums over clusters, for counts that a database made. Knows no judgments.

The same estimate and interval as ``win_rates(cluster=…)`` for one item and one way of clustering:
there each judgment comes as a row, here each cluster has left its part in six sums.
"""

from dataclasses import dataclass

import numpy as np

from preference.bradley_terry import Estimate
from preference.covariance import quantile
from preference.errors import InputError
from preference.win_rate import wilson


@dataclass(frozen=True)
class ClusterSums:
    """Sums over clusters g (say, comparisons), each with score S_g of weight N_g > 0.

    Attributes:
        score: Sum of S, wins and half the ties.
        weight: Sum of N, wins, losses and ties.
        score2: Sum of S squared.
        cross: Sum of S times N.
        weight2: Sum of N squared.
        clusters: How many.
    """

    score: float
    weight: float
    score2: float
    cross: float
    weight2: float
    clusters: int

    def __add__(self, other: "ClusterSums") -> "ClusterSums":
        """The sums over the clusters of both; no cluster may be in both."""
        return ClusterSums(
            self.score + other.score,
            self.weight + other.weight,
            self.score2 + other.score2,
            self.cross + other.cross,
            self.weight2 + other.weight2,
            self.clusters + other.clusters,
        )


def clustered_rate(sums: ClusterSums, ci: float = 0.95) -> Estimate:
    """The rate with Wilson's interval at the effective number of judgments.

    V = G/(G-1) times the sum of (S_g - p N_g)^2 over N^2; the effective number is p(1-p)/V, at
    most N; Student's t on G-1 degrees of freedom. With one cluster the effective number is 1.

    Raises:
        InputError: there is no judgment, or `ci` is not between 0 and 1.
    """
    if not 0 < ci < 1:
        raise InputError(f"ci is between 0 and 1, not {ci!r}")
    if not sums.weight > 0:
        raise InputError("a win rate needs a judgment")
    p, n, groups = sums.score / sums.weight, sums.weight, sums.clusters
    if groups < 2:
        low, high = wilson(p, min(1.0, n), quantile(ci))
        return Estimate(p, float(np.sqrt(p * (1 - p))), float(low), float(high))
    squares = max(sums.score2 - 2 * p * sums.cross + p * p * sums.weight2, 0.0)
    if squares < 1e-12 * sums.weight2:  # what rounding leaves where nobody disagrees
        squares = 0.0
    variance = squares / n**2 * groups / (groups - 1)
    effective = min(p * (1 - p) / variance if variance > 0 else groups, n)
    low, high = wilson(p, effective, quantile(ci, groups - 1))
    return Estimate(p, float(np.sqrt(variance)), float(low), float(high))
