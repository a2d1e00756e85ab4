"""How gold is answered: shares with intervals, and which items look wrong themselves.

Knows no SQL and no Streamlit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from annotate_app import findings
from annotate_app.words import many
from db.gold import Known
from preference.covariance import quantile
from preference.win_rate import wilson

ENOUGH = 3
"""First answers before an item can look wrong."""
ANSWERS = {"a": "A is better", "b": "B is better", "tie": "Tie", "both_bad": "Both bad"}


@dataclass(frozen=True)
class Share:
    """A share of right first answers with its 95 % interval (Wilson); None without any answer."""

    right: int
    of: int
    value: float | None
    low: float | None
    high: float | None

    @property
    def said(self) -> str:
        """``right 3 of 5: 60 %, 23 to 88``."""
        if self.value is None:
            return "not answered yet"
        return f"right {self.right} of {self.of}: " + findings.estimate(
            self.value, self.low, self.high
        )


def share(right: int, of: int) -> Share:
    """Right answers of so many."""
    if not of:
        return Share(0, 0, None, None, None)
    low, high = wilson(right / of, of, quantile(0.95))
    return Share(right, of, right / of, float(low), float(high))


def doubtful(known: Known) -> bool:
    """Whether more people contradict the known answer than give it, so that it may be wrong."""
    return known.active and known.answered >= ENOUGH and 2 * known.right < known.answered


def by_doubt(known: Sequence[Known]) -> list[Known]:
    """Those that may be wrong first, the most often missed at the top; retired ones last."""

    def rank(each: Known) -> tuple[bool, bool, float, int]:
        rate = each.right / each.answered if each.answered else 1.0
        return (not each.active, not doubtful(each), rate, each.comparison_id)

    return sorted(known, key=rank)


def finding(known: Sequence[Known]) -> str:
    """The sentence that the page opens with."""
    active = [each for each in known if each.active]
    wrong = sum(map(doubtful, active))
    if not active:
        return "No gold is mixed in yet"
    told = share(sum(each.right for each in known), sum(each.answered for each in known))
    parts = [many(len(active), "gold pair"), told.said]
    if wrong:
        parts.append(f"{wrong} may be wrong {'itself' if wrong == 1 else 'themselves'}")
    return "; ".join(parts)
