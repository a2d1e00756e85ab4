"""When a persona is retrained, and what its judgments must be like: one frozen configuration.

Knows ranges. Does not know judgments: training/trigger.py and preference/readiness.py read it.
"""

from dataclasses import dataclass

from preference.readiness import Limits
from training.configs import in_range


@dataclass(frozen=True)
class JobConfig:
    """When to retrain, and when not. What was not measured refuses nothing, unless asked for.

    Attributes:
        pairs: usable pairs that no run of the persona has seen, from which on it is retrained.
        prompts: different prompts that these must have.
        age_hours: or the oldest of their judgments is so old; 0 switches this off.
        cooldown_hours: since the end of the persona's last retraining, whatever came of it.
        include_simulated: train on judgments that no person made too.
        effective: least effective number of judgments that prefer one response.
        same_annotator: correlation that is assumed between judgments of one annotator: with 0.02
            no number of judgments by one person counts as more than 50.
        agreement: least Krippendorff alpha of the comparisons that several people judged; refused
            where its whole 95 % interval lies below.
        shared: least number of such comparisons; 0 asks for none.
        gold_accuracy: least share of right first answers to gold; refused as above.
        gold_answers: least number of such answers; 0 asks for none.
        position_bias: largest distance from one half of the share that the first place wins;
            refused where its whole 95 % interval lies beyond.
        islands: most groups of adapters with no judgment between them.
    """

    pairs: int = 60
    prompts: int = 20
    age_hours: float = 168.0
    cooldown_hours: float = 6.0
    include_simulated: bool = False
    effective: float = 15.0
    same_annotator: float = 0.02
    agreement: float = 0.1
    shared: int = 0
    gold_accuracy: float = 0.6
    gold_answers: int = 0
    position_bias: float = 0.2
    islands: int = 1

    def __post_init__(self) -> None:
        """Refuse values out of range, by name."""
        for name in ("pairs", "prompts", "islands"):
            in_range(self, name, 1)
        for name in ("age_hours", "cooldown_hours", "effective", "shared", "gold_answers"):
            in_range(self, name, 0.0)
        in_range(self, "same_annotator", 0.0, 1.0)
        in_range(self, "agreement", -1.0, 0.99)
        in_range(self, "gold_accuracy", 0.0, 0.99)
        in_range(self, "position_bias", 0.01, 0.5)

    def limits(self) -> Limits:
        """What the readiness gate asks for."""
        return Limits(
            effective=self.effective,
            same_annotator=self.same_annotator,
            agreement=self.agreement,
            shared=self.shared,
            gold_accuracy=self.gold_accuracy,
            gold_answers=self.gold_answers,
            position_bias=self.position_bias,
            islands=self.islands,
        )
