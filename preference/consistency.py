"""Whether somebody answers a pair the same way twice, the second time mirrored.

Knows verdicts in canonical order: mirrored, another winner is the same side. Knows no ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from preference.covariance import quantile
from preference.win_rate import wilson


@dataclass(frozen=True)
class Consistency:
    """Answers given twice.

    Attributes:
        n: pairs answered twice; same: those with the same verdict both times.
        low, high: Wilson's 95 % interval of same / n; None where n is 0.
        decided: pairs with a winner both times; same_side: those of them where the same SIDE of the
            page won twice, so the other response: a habit of place.
    """

    n: int
    same: int
    low: float | None
    high: float | None
    decided: int
    same_side: int


def self_consistency(first: Sequence[str], again: Sequence[str]) -> Consistency:
    """Agreement of first and second answers.

    Args:
        first: n verdicts in canonical order.
        again: n verdicts of the same pairs, shown the other way round.
    """
    pairs = list(zip(first, again, strict=True))
    same = sum(one == two for one, two in pairs)
    decided = [(one, two) for one, two in pairs if {one, two} <= {"a", "b"}]
    side = sum(one != two for one, two in decided)
    n = len(pairs)
    if not n:
        return Consistency(0, 0, None, None, 0, 0)
    low, high = wilson(same / n, n, quantile(0.95))
    return Consistency(n, same, float(low), float(high), len(decided), side)
