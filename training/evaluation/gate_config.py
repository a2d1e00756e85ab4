"""What the gate is told: how sure, how many judgments at most, and which guards.

Knows ranges. Does not know judgments.
"""

from dataclasses import asdict, dataclass
from typing import Any

from training.configs import in_range, one_of

MODES = ("checked", "required", "off")


@dataclass(frozen=True)
class GateConfig:
    """The gate's configuration.

    Attributes:
        confidence: of the win rate's bounds; 0.95 promotes at most one in forty challengers that
            are no better, however often the gate looks (one in twenty where prompts repeat).
        fewest_judgments: by people, before the gate decides; it decides on fewer only where fewer
            were asked and all of them are in.
        most_judgments: from this many on no more are asked for, and the incumbent stays.
        least_more: judgments that are asked for at a time, at least.
        least_chance: where the chance that ``most_judgments`` would promote the challenger is
            smaller than this, no more are asked for; 0 always asks.
        count_simulated: count judgments that no person made like people's; only for a loop that is
            simulated as a whole, as ``personaloop loop`` is.
        judge: FILE.py:function that judges before people do, or nothing.
        judge_stops: a challenger that the judge clearly finds worse is rejected before people's
            time is spent.
        accuracy: ``checked``, ``required`` (also rejects where it cannot be computed) or ``off``:
            held-out preference accuracy not below the incumbent's.
        accuracy_margin: how much lower its upper bound may be, 0 to 1.
        safety: likewise: people do not find the challenger unsafe more often.
        length: likewise: the challenger's responses are neither much shorter nor much longer.
        shortest: smallest ratio of mean lengths (characters), challenger to incumbent.
        longest: largest ratio.
        kl: likewise: the challenger stays near the reference.
        kl_most: most nats a token (log-probability under the reference less the policy's, mean
            over the run's pairs, without its sign).
    """

    confidence: float = 0.95
    fewest_judgments: int = 20
    most_judgments: int = 240
    least_more: int = 20
    least_chance: float = 0.05
    count_simulated: bool = False
    judge: str = ""
    judge_stops: bool = True
    accuracy: str = "checked"
    accuracy_margin: float = 0.0
    safety: str = "checked"
    length: str = "checked"
    shortest: float = 0.4
    longest: float = 2.5
    kl: str = "checked"
    kl_most: float = 0.75

    def __post_init__(self) -> None:
        """Refuse values out of range, by name."""
        in_range(self, "confidence", 0.5, 0.9999)
        for name in ("fewest_judgments", "most_judgments", "least_more"):
            in_range(self, name, 1)
        in_range(self, "least_chance", 0.0, 1.0)
        in_range(self, "accuracy_margin", 0.0, 1.0)
        in_range(self, "shortest", 0.0, 1.0)
        in_range(self, "longest", 1.0)
        in_range(self, "kl_most", 0.0)
        for name in ("accuracy", "safety", "length", "kl"):
            one_of(self, name, MODES)

    def rule(self) -> dict[str, Any]:
        """Every value, for the record."""
        return asdict(self)
