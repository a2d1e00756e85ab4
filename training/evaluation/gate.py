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
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from training.errors import GateRefused
from training.evaluation.bounds import FEW, Bounds, course, win_rate_bounds
from training.evaluation.forecast import Forecast, forecast
from training.evaluation.gate_config import GateConfig
from training.evaluation.gate_words import Told, in_words
from training.evaluation.guards import Guard

ENOUGH_ANNOTATORS = FEW
PROMOTE, REJECT, MORE, WAIT = "promote", "reject", "more", "wait"
SHARE = {"win": 1.0, "loss": 0.0, "tie": 0.5}


@dataclass(frozen=True)
class Decision:
    """What the gate decided and on what evidence.

    Attributes:
        outcome: ``promote``, ``reject``, ``more`` (judgments are asked for) or ``wait`` (for those
            that were asked).
        promote: whether the challenger takes over.
        because: what decided: ``win``, ``loss``, ``guard``, ``judge``, ``most``, ``chance``,
            ``both bad`` or ``early``; ``missing`` where nothing is decided.
        challenger: adapter id.
        incumbent: adapter id.
        win_rate: the challenger's (wins + ties/2) / (wins + losses + ties), 0 to 1; None where
            no judgment prefers or ties.
        ci_low: lower bound, at any time.
        ci_high: upper bound.
        ci: confidence level of the bounds.
        wins: judgments for the challenger.
        losses: judgments for the incumbent.
        ties: ties.
        both_bad: verdicts that neither will do; not part of the win rate.
        judgments: all that count.
        wanted: judgments that the batch asked for.
        missing: of these, still to be given.
        most: judgments from which on no more are asked for.
        more: judgments asked for now; 0 where none are.
        chance: share of the courses that fit these judgments in which the most that may be asked
            promotes the challenger; None where it was not needed.
        prompts: different prompts judged.
        annotators: how many people (or simulated annotators) judged.
        clustered: whether the spread between annotators is in the bounds.
        method: what is one outcome in the bounds: ``every judgment``, ``prompts``, ``too few
            prompts``; empty without judgments.
        counted: ``people``, or ``everybody`` in a simulated loop.
        simulated: judgments of the batch by simulated annotators.
        automatic: judgments of the batch by automatic judges.
        early: the operator's reason for deciding before the batch was complete, or None.
        guards: each guard's value, bound, verdict and reason.
        prescreen: what a judge found before people judged, or None.
        course: the bounds on the way: ``n``, ``value``, ``low``, ``high``.
        rule: the configuration that was used.
        words: the decision in a sentence or two.
    """

    outcome: str
    promote: bool
    because: str
    challenger: str
    incumbent: str
    win_rate: float | None
    ci_low: float | None
    ci_high: float | None
    ci: float
    wins: int
    losses: int
    ties: int
    both_bad: int
    judgments: int
    wanted: int
    missing: int
    most: int
    more: int
    chance: float | None
    prompts: int
    annotators: int
    clustered: bool
    method: str
    counted: str
    simulated: int
    automatic: int
    early: str | None
    words: str
    guards: list[dict[str, Any]] = field(default_factory=list)
    prescreen: dict[str, Any] | None = None
    course: list[dict[str, float]] = field(default_factory=list)
    rule: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the comparison is over."""
        return self.outcome in (PROMOTE, REJECT)

    def evidence(self) -> dict[str, Any]:
        """Plain values, for the ledger."""
        return asdict(self)


@dataclass(frozen=True)
class WinRate:
    """One adapter's win rate over another with its interval and counts."""

    value: float
    ci_low: float
    ci_high: float
    wins: int
    losses: int
    ties: int
    both_bad: int
    annotators: int
    clustered: bool


def win_rate_over(frame: pd.DataFrame, one: str, other: str, *, ci: float = 0.95) -> WinRate:
    """The win rate of one adapter over another among judgments, with a plain interval.

    For a comparison that is looked at once; the gate's bounds are those of ``decide``.

    Args:
        frame: columns item_a, item_b, verdict, annotator, as db.judgments.standing_frame gives.
        one: adapter id whose rate is wanted.
        other: the adapter id it met.
        ci: confidence level.

    Raises:
        GateRefused: the two never met in a judgment that prefers or ties.
    """
    from preference.win_rate import win_rates

    a, b, verdict, annotator = (
        np.asarray(frame[name].astype(str), dtype=object)
        for name in ("item_a", "item_b", "verdict", "annotator")
    )
    met = ((a == one) & (b == other)) | ((a == other) & (b == one))
    a, b, verdict, annotator = a[met], b[met], verdict[met], annotator[met]
    if not (verdict != "both_bad").any():
        raise GateRefused(f"{one} and {other} have no judgment that prefers one or calls a tie")
    annotators = len(set(annotator))
    clustered = annotators >= ENOUGH_ANNOTATORS
    rates = win_rates(a, b, verdict, cluster=annotator if clustered else None, ci=ci)
    estimate = rates.pair(one, other)
    counts = _counts(_outcomes(a, b, verdict, one))
    return WinRate(
        float(estimate.value),
        float(estimate.ci_low),
        float(estimate.ci_high),
        wins=counts["win"],
        losses=counts["loss"],
        ties=counts["tie"],
        both_bad=counts["both_bad"],
        annotators=annotators,
        clustered=clustered,
    )


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
    met = frame["item_a"].isin([challenger, incumbent]) & frame["item_b"].isin(
        [challenger, incumbent]
    )
    counted = frame[met & (settings.count_simulated | (kinds == "human"))]
    if early and not len(counted):
        raise GateRefused(f"{challenger} and {incumbent} have no blind judgment yet; judge some")
    missing = max(0, wanted - len(frame)) if missing is None else missing
    found = rated(counted, challenger, settings.confidence)
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
        simulated=int((kinds == "simulated").sum()),
        automatic=int((kinds == "automatic").sum()),
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


@dataclass(frozen=True)
class Rated:
    """What judgments say of a challenger.

    Attributes:
        counts: ``win``, ``loss``, ``tie``, ``both_bad``.
        score: 1, 0 or one half of each judgment that is not both bad, in order.
        bounds: of the win rate; None where every verdict is both bad.
        course: the bounds on the way.
        annotators: how many judged.
        only: the name, where one did.
    """

    counts: dict[str, int]
    score: Any
    bounds: Bounds | None
    course: list[dict[str, float]]
    annotators: int
    only: str


def rated(counted: pd.DataFrame, challenger: str, ci: float) -> Rated:
    """Counts and bounds of a challenger among the judgments of one pair of adapters."""
    ordered = counted.sort_values("judgment") if "judgment" in counted else counted
    a, b, verdict = (
        np.asarray(ordered[name].astype(str), dtype=object)
        for name in ("item_a", "item_b", "verdict")
    )
    outcomes = _outcomes(a, b, verdict, challenger)
    prefers = outcomes != "both_bad"
    score = np.array([SHARE[one] for one in outcomes[prefers]], dtype=np.float64)
    names = ordered["annotator"].astype(str)
    who, prompts = names[prefers].tolist(), ordered["prompt"][prefers].tolist()
    people = sorted(set(names))
    return Rated(
        _counts(outcomes),
        score,
        win_rate_bounds(score, prompts, who, ci) if len(score) else None,
        course(score, prompts, who, ci),
        len(people),
        people[0] if len(people) == 1 else "",
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


def _outcomes(a: Any, b: Any, verdict: Any, one: str) -> Any:
    """``win``, ``loss``, ``tie`` or ``both_bad`` of each judgment, from one side."""
    won = ((a == one) & (verdict == "a")) | ((b == one) & (verdict == "b"))
    decided = (verdict == "a") | (verdict == "b")
    return np.where(decided, np.where(won, "win", "loss"), verdict).astype(object)


def _counts(outcomes: Any) -> dict[str, int]:
    return {name: int((outcomes == name).sum()) for name in ("win", "loss", "tie", "both_bad")}
