"""The promotion gate: whether a challenger takes the incumbent's place, or who must say more.

Knows the rule and the judgments of one blind batch. Does not know how they were collected, nor
what a promotion does.

The rule: only what people judged counts (or everything, in a loop that is simulated as a whole and
says so). After every judgment, from ``fewest_judgments`` on, the bounds of the challenger's win
rate are looked at, which are made for being looked at any time (``bounds``): above one half it is
promoted, below it is rejected. Where they lie about one half and everything asked is in, more
judgments are asked for, as many as it likely takes, up to ``most_judgments``; then the incumbent
stays. A guard that fails rejects the challenger whatever its win rate, and so does a judge that
clearly finds it worse, before people's time is spent. An operator may decide earlier; the reason is
recorded with the decision, which is made by the same rule on the judgments so far.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from training.errors import GateRefused
from training.evaluation.bounds import Bounds
from training.evaluation.decision import MORE, PROMOTE, REJECT, WAIT, Decision
from training.evaluation.forecast import Forecast, forecast
from training.evaluation.gate_config import GateConfig
from training.evaluation.gate_words import Told, in_words
from training.evaluation.guards import Guard
from training.evaluation.rated import ENOUGH_ANNOTATORS, Rated, WinRate, rated, win_rate_over

__all__ = [
    "ENOUGH_ANNOTATORS",
    "MORE",
    "WAIT",
    "Decision",
    "WinRate",
    "decide",
    "rated",
    "win_rate_over",
]


def decide(
    frame: pd.DataFrame,
    challenger: str,
    incumbent: str,
    *,
    wanted: int,
    missing: int | None = None,
    config: GateConfig | None = None,
    early: str | None = None,
    guards: Sequence[Guard] = (),
    prescreen: Mapping[str, Any] | None = None,
    exhausted: bool = False,
) -> Decision:
    """Apply the rule to the standing judgments of a blind batch.

    Args:
        frame: the batch's standing judgments in the order they were given, as
            ``training.blind.batch_judgments`` gives them.
        challenger: adapter id.
        incumbent: adapter id.
        wanted: judgments that the batch asked for.
        missing: of these, those that nobody gave; None counts the judgments.
        config: the gate's; None for its defaults.
        early: an operator's reason to decide now although the rule would wait.
        guards: what the guards found.
        prescreen: what a judge found before people judged: ``verdict`` is ``lost`` where it
            clearly finds the challenger worse.
        exhausted: whether no further pairs can be asked.

    Raises:
        GateRefused: an early decision was asked for without a judgment that counts.
    """
    settings = config or GateConfig()
    early = (early or "").strip() or None
    kinds = frame["annotator_kind"].astype(str)
    others = kinds.tolist()
    met = frame["item_a"].isin([challenger, incumbent]) & frame["item_b"].isin(
        [challenger, incumbent]
    )
    counted = pd.DataFrame(frame[met & (settings.count_simulated | (kinds == "human"))])
    if early and not len(counted):
        raise GateRefused(f"{challenger} and {incumbent} have no blind judgment yet; judge some")
    missing = max(0, wanted - len(frame)) if missing is None else missing
    found = rated(counted, challenger, settings.confidence, settings.fewest_judgments)
    outcome, because, ahead = _ruled(
        settings, found, len(counted), missing, guards, prescreen, exhausted
    )
    if early and outcome in (MORE, WAIT):
        outcome, because = _early(found.bounds)
    else:
        early = None
    more = _asked(settings, ahead, len(counted), wanted) if outcome == MORE else 0
    told = Told(
        outcome=outcome,
        because=because,
        challenger=challenger,
        incumbent=incumbent,
        judgments=len(counted),
        both_bad=found.counts["both_bad"],
        annotators=found.annotators,
        only=found.only,
        wanted=wanted,
        missing=missing,
        more=more,
        most=settings.most_judgments,
        chance=None if ahead is None else ahead.promoted,
        ci=settings.confidence,
        bounds=found.bounds,
        simulated=others.count("simulated"),
        automatic=others.count("automatic"),
        counts_everybody=settings.count_simulated,
        early=early,
        guards=tuple(guards),
        prescreen=prescreen,
        exhausted=exhausted,
    )
    bounds = found.bounds
    return Decision(
        outcome=outcome,
        promote=outcome == PROMOTE,
        because=because,
        challenger=challenger,
        incumbent=incumbent,
        win_rate=None if bounds is None else bounds.value,
        ci_low=None if bounds is None else bounds.low,
        ci_high=None if bounds is None else bounds.high,
        ci=settings.confidence,
        wins=found.counts["win"],
        losses=found.counts["loss"],
        ties=found.counts["tie"],
        both_bad=found.counts["both_bad"],
        judgments=len(counted),
        wanted=wanted,
        missing=missing,
        most=settings.most_judgments,
        more=more,
        chance=told.chance,
        prompts=0 if bounds is None else bounds.prompts,
        annotators=found.annotators,
        clustered=bounds is not None and bounds.over_annotators,
        method="" if bounds is None else bounds.method,
        counted="everybody" if settings.count_simulated else "people",
        simulated=told.simulated,
        automatic=told.automatic,
        early=early,
        words=in_words(told),
        guards=[guard.plain() for guard in guards],
        prescreen=None if prescreen is None else dict(prescreen),
        course=found.course,
        rule=settings.rule(),
    )


def _ruled(
    config: GateConfig,
    found: Rated,
    judgments: int,
    missing: int,
    guards: Sequence[Guard],
    prescreen: Mapping[str, Any] | None,
    exhausted: bool,
) -> tuple[str, str, Forecast | None]:
    """The outcome, what made it, and the forecast where one was needed."""
    if any(guard.blocks for guard in guards):
        return REJECT, "guard", None
    if prescreen is not None and prescreen.get("verdict") == "lost" and config.judge_stops:
        return REJECT, "judge", None
    if missing and judgments < config.fewest_judgments:
        return WAIT, "missing", None
    if found.bounds is not None and found.bounds.ahead:
        return PROMOTE, "win", None
    if found.bounds is not None and found.bounds.behind:
        return REJECT, "loss", None
    if missing:
        return WAIT, "missing", None
    if judgments and found.bounds is None:
        return REJECT, "both bad", None
    left = config.most_judgments - judgments
    if left <= 0 or exhausted:
        return REJECT, "most", None
    if found.bounds is None or judgments < config.fewest_judgments:
        return MORE, "missing", None
    ahead = forecast(found.score, config.confidence, left, spread=found.bounds.spread)
    if ahead.promoted < config.least_chance:
        return REJECT, "chance", ahead
    return MORE, "missing", ahead


def _early(bounds: Bounds | None) -> tuple[str, str]:
    """The same rule on what there is: what does not clearly win is not promoted."""
    return (PROMOTE if bounds is not None and bounds.ahead else REJECT), "early"


def _asked(config: GateConfig, ahead: Forecast | None, judgments: int, wanted: int) -> int:
    """How many more judgments are asked for now."""
    left = config.most_judgments - judgments
    if ahead is None:
        likely = max(config.fewest_judgments - judgments, min(wanted, left) - judgments)
    else:
        likely = ahead.more
    return min(max(likely, config.least_more), left)
