"""Implicit-reward accuracy: how often a policy's margin agrees with the judgments on pairs.

Knows numbers only. A margin of about zero is neither right nor wrong and counts one half, so that
an untrained policy scores one half and not zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

NOTHING = 1e-4
"""Margins (nats) this small are what rounding leaves of equal policies."""


@dataclass(frozen=True)
class PairAccuracy:
    """Share of pairs ranked as judged, with ties as one half; None where there are no pairs."""

    value: float | None
    pairs: int
    ties: int


def implicit_accuracy(margins: Sequence[float]) -> PairAccuracy:
    """The accuracy of implicit rewards.

    Args:
        margins: (π_c − ρ_c) − (π_r − ρ_r) in nats, one a pair.
    """
    if not margins:
        return PairAccuracy(None, 0, 0)
    ties = sum(abs(margin) <= NOTHING for margin in margins)
    right = sum(margin > NOTHING for margin in margins)
    return PairAccuracy((right + ties / 2) / len(margins), len(margins), ties)
