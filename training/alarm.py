"""The alarm of a preference run: what was chosen becomes unlikely while the margin grows.

Knows numbers of steps. Does not know models. A preference loss only sees the difference of two
completions; it can grow by making the rejected one unlikely faster than the chosen one, and then
the policy moves to what nobody judged: Pal et al. 2024 (arXiv:2402.13228), Razin et al. 2024
(arXiv:2410.08847).
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

WINDOW = 3
"""Steps that are averaged, because each batch has other pairs."""


class Alarm:
    """Looks at the steps of a run in order."""

    def __init__(self, fall: float, steps: Iterable[Mapping[str, Any]] = ()):
        """Begin with the steps that are done already.

        Args:
            fall: nats a completion by which the chosen ones may become less likely than under the
                reference.
            steps: records of the run's metrics.
        """
        self.fall = fall
        self.ringing = False
        self._seen: deque[tuple[float, float]] = deque(maxlen=2 * WINDOW)
        for step in steps:
            self.look(step)

    def look(self, step: Mapping[str, Any]) -> str | None:
        """What to say of this step, or None.

        It rings where over the last three steps the chosen completions' mean log-probability is
        more than ``fall`` below the reference's and lower than over the three steps before, while
        the margin is larger. Before the first step both are zero: the policy is the reference.

        Args:
            step: with ``chosen_gain`` (mean of π_c − ρ_c, nats) and ``margin`` (β·Δ).
        """
        gain, margin = step.get("chosen_gain"), step.get("margin")
        if gain is None or margin is None:
            return None
        self._seen.append((float(gain), float(margin)))
        if len(self._seen) < WINDOW:
            return None
        seen = list(self._seen)
        now, before = seen[-WINDOW:], seen[:-WINDOW] or [(0.0, 0.0)]
        gain, earlier_gain = _mean(now, 0), _mean(before, 0)
        margin, earlier_margin = _mean(now, 1), _mean(before, 1)
        self.ringing = gain < -self.fall and gain < earlier_gain and margin > earlier_margin
        if not self.ringing:
            return None
        return (
            f"the chosen responses became less likely ({-gain:.1f} nats below the reference) while "
            f"the margin grew to {margin:.2f}; a larger nll_weight or beta, or fewer epochs, would "
            "hold them"
        )


def _mean(rows: list[tuple[float, float]], column: int) -> float:
    return sum(row[column] for row in rows) / len(rows)
