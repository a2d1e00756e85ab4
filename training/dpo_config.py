"""What a preference run is: one frozen configuration, and how many steps it makes.

Knows ranges and arithmetic. Does not know data or services.
"""

import math
from collections.abc import Sized
from dataclasses import dataclass

from training.configs import in_range, one_of
from training.errors import ConfigRefused, TooLittleData
from training.losses import LOSS_NAMES, required_option
from training.pairs import DROP, RAO_KUPPER, TIES, PairOptions
from training.schedules import SCHEDULES, even_batches


@dataclass(frozen=True)
class DPOConfig:
    """A preference run. The defaults were found for the shipped base model.

    Attributes:
        loss: one of training.losses.LOSS_NAMES (not the tie loss, which ``ties`` asks for).
        beta: strength of the hold to the reference.
        label_smoothing: robust's share of flipped labels; only with ``robust``.
        gamma: simpo's target margin; only with ``simpo``.
        alpha: rao_kupper's log tie parameter; only with ``rao_kupper_win``.
        length_average: ipo on log-probabilities averaged over the completion instead of summed;
            None is true for ipo and has no effect elsewhere.
        ties: ``drop``, or ``rao_kupper``: pairs whose judgments together say tie are trained by
            the tie loss, beside ``rao_kupper_win`` with the same alpha.
        learning_rate: peak, of AdamW.
        epochs: passes over the pairs.
        batch: pairs a step, at most.
        minimum_pairs: fewer are refused.
        minimum_steps: batches are made smaller until the run has this many steps.
        schedule: ``constant``, ``linear`` or ``cosine``.
        warmup: share of the steps with a rising rate, 0 to 1.
        beta1: AdamW's.
        beta2: AdamW's.
        weight_decay: AdamW's.
        clip: largest global gradient norm; 0 is no clipping.
        nll_weight: weight of the chosen completions' mean negative log-likelihood a token, added
            to the preference loss; it keeps what is preferred likely. 0 is none.
        replay_weight: weight of the supervised loss a token that is mixed in; 0 is none.
        replay_rows: supervised rows a step.
        earlier: pairs of rounds that the incumbent was already trained on, as a share of the new
            ones.
        unjudged: pairs of responses that nobody judged, labeled by training/taste.py, as a share of
            the judged ones; 0 is none.
        unjudged_weight: weight of each, beside judged pairs of mean 1.
        taste_accuracy: share of unseen judged pairs that the taste model must rank right before
            it may label anything.
        taste_sure: smallest probability of a label that it gives.
        strong: weight of "much better" beside 1 for "better".
        smoothing: pseudo-judgments on each side of a label.
        even: labels closer to one half than this are dropped.
        heldout_share: share of prompts whose pairs are only measured with.
        annotator_weights: ``none`` (everybody weighs 1), ``reliability`` (by how well somebody
            agrees with the others about the pairs that they share) or ``gold`` (by gold answers
            where there are enough, else as ``reliability``); training/reliability.py has the rule.
        gold_enough: gold answers from which on these decide the weight, under ``gold``.
        seed: of every order.
        save_every: steps between saved states.
        evaluate_every: steps between measurements on held-out pairs; 0 is only after the last.
        kl_to_base: whether the base model's log-probabilities are computed too, once, so that the
            curves show how far the policy is from it.
        alarm: nats a completion by which the chosen ones may become less likely than under the
            reference, while the margin grows, before the run says so.
    """

    loss: str = "sigmoid"
    beta: float = 0.1
    label_smoothing: float | None = None
    gamma: float | None = None
    alpha: float | None = None
    length_average: bool | None = None
    ties: str = DROP
    learning_rate: float = 5e-4
    epochs: int = 2
    batch: int = 16
    minimum_pairs: int = 20
    minimum_steps: int = 10
    schedule: str = "linear"
    warmup: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.0
    clip: float = 1.0
    nll_weight: float = 0.0
    replay_weight: float = 0.3
    replay_rows: int = 8
    earlier: float = 0.3
    unjudged: float = 0.0
    unjudged_weight: float = 0.5
    taste_accuracy: float = 0.65
    taste_sure: float = 0.8
    strong: float = 1.5
    smoothing: float = 0.0
    even: float = 0.05
    heldout_share: float = 0.1
    annotator_weights: str = "reliability"
    gold_enough: int = 10
    seed: int = 7
    save_every: int = 10
    evaluate_every: int = 10
    kl_to_base: bool = True
    alarm: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values out of range and options of other losses, by name."""
        one_of(self, "loss", tuple(name for name in LOSS_NAMES if name != "rao_kupper_tie"))
        needed = required_option(self.loss)
        for name in ("label_smoothing", "gamma", "alpha"):
            given = getattr(self, name) is not None
            if given != (name == needed):
                verb = "must be given with" if name == needed else "has no effect on"
                raise ConfigRefused(f"{name} {verb} the loss {self.loss}")
        if self.length_average and self.loss != "ipo":
            raise ConfigRefused(f"length_average has no effect on the loss {self.loss}")
        one_of(self, "ties", TIES)
        if self.ties == RAO_KUPPER and self.loss != "rao_kupper_win":
            raise ConfigRefused(
                "ties: rao_kupper needs loss: rao_kupper_win, whose alpha both share; "
                f"with the loss {self.loss} ties can only be dropped"
            )
        in_range(self, "beta", 1e-6)
        in_range(self, "learning_rate", 1e-9, 1.0)
        for name in ("epochs", "batch", "minimum_pairs", "minimum_steps", "save_every"):
            in_range(self, name, 1)
        in_range(self, "replay_rows", 1)
        in_range(self, "evaluate_every", 0)
        in_range(self, "alarm", 0.0)
        in_range(self, "gold_enough", 1)
        one_of(self, "annotator_weights", ("none", "reliability", "gold"))
        one_of(self, "schedule", SCHEDULES)
        for name in ("warmup", "beta1", "beta2"):
            in_range(self, name, 0.0, 1.0)
        for name in ("weight_decay", "clip", "nll_weight", "replay_weight", "earlier", "seed"):
            in_range(self, name, 0.0)
        in_range(self, "unjudged", 0.0, 20.0)
        in_range(self, "unjudged_weight", 0.0, 10.0)
        in_range(self, "taste_accuracy", 0.5, 1.0)
        in_range(self, "taste_sure", 0.5, 1.0)
        self.pair_options()

    def pair_options(self) -> PairOptions:
        """How judgments become pairs."""
        return PairOptions(self.strong, self.smoothing, self.even, self.heldout_share, self.ties)

    def averages(self) -> bool:
        """Whether the loss is taken on averaged log-probabilities where it may be."""
        return self.loss == "ipo" and self.length_average is not False

    def loss_options(self) -> dict[str, float]:
        """The named options of the loss."""
        name = required_option(self.loss)
        return {} if name is None else {name: getattr(self, name)}


def planned_batch(pairs: Sized, config: DPOConfig) -> int:
    """Pairs a step: ``batch``, or fewer where that would make fewer than ``minimum_steps``."""
    steps_an_epoch = math.ceil(config.minimum_steps / config.epochs)
    return max(1, min(config.batch, len(pairs) // steps_an_epoch))


def planned_steps(pairs: int, config: DPOConfig, ties: int = 0) -> int:
    """Optimizer steps of a run on so many pairs.

    Args:
        pairs: all of them.
        config: the run.
        ties: how many of them are ties, which alone teach no preference.

    Raises:
        TooLittleData: fewer decided ones than ``minimum_pairs``, or too few for ``minimum_steps``.
    """
    if pairs - ties < config.minimum_pairs:
        beside = f" beside {ties} ties" if ties else ""
        raise TooLittleData(
            f"only {pairs - ties} usable pairs{beside}; at least {config.minimum_pairs} wanted: "
            f"judge {config.minimum_pairs - pairs + ties} more comparisons (ties and both-bad make "
            "no pair)"
        )
    steps = config.epochs * even_batches(pairs, planned_batch(range(pairs), config))
    if steps < config.minimum_steps:
        raise TooLittleData(
            f"{pairs} pairs make only {steps} steps; at least {config.minimum_steps} wanted"
        )
    return steps
