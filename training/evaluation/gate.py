"""The promotion gate: whether a challenger takes the incumbent's place.

Knows the rule and the judgments of one blind batch. Does not know how they were collected, nor
what a promotion does.

The rule: once every judgment that was asked for is in, the challenger is promoted when the lower
end of the 95 % interval of its win rate lies above one half; where every verdict is "both bad",
there is no rate and the incumbent stays. The decision is made once, then: looking earlier and
stopping at a good moment would promote chance. An operator may decide earlier; the reason is
recorded with the decision, which is made by the same rule on the judgments so far.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from training.errors import GateRefused

ENOUGH_ANNOTATORS = 5
"""From how many annotators on the interval is clustered by them: with fewer, the spread between
them is itself too uncertain for any interval to be of use."""


@dataclass(frozen=True)
class Decision:
    """What the gate decided and on what evidence.

    Attributes:
        promote: whether the challenger takes over.
        challenger: adapter id.
        incumbent: adapter id.
        win_rate: the challenger's (wins + ties/2) / (wins + losses + ties), 0 to 1; None where
            every verdict is both bad.
        ci_low: lower end of its interval.
        ci_high: upper end.
        ci: confidence level of the interval.
        wins: judgments for the challenger.
        losses: judgments for the incumbent.
        ties: ties.
        both_bad: verdicts that neither will do; not part of the win rate.
        judgments: all of them.
        wanted: judgments that the batch asked for.
        annotators: how many people (or simulated annotators) judged.
        clustered: whether the interval is clustered by annotator.
        simulated: judgments that no person made.
        early: the operator's reason for deciding before the batch was complete, or None.
        words: the decision in a sentence.
    """

    promote: bool
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
    annotators: int
    clustered: bool
    simulated: int
    early: str | None
    words: str

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


@dataclass(frozen=True)
class NoRate:
    """What is known where every verdict is both bad."""

    both_bad: int
    annotators: int
    value: None = None
    ci_low: None = None
    ci_high: None = None
    wins: int = 0
    losses: int = 0
    ties: int = 0
    clustered: bool = False


def win_rate_over(frame: pd.DataFrame, one: str, other: str, *, ci: float = 0.95) -> WinRate:
    """The win rate of one adapter over another among judgments.

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
    won = ((a == one) & (verdict == "a")) | ((b == one) & (verdict == "b"))
    decided = (verdict == "a") | (verdict == "b")
    return WinRate(
        float(estimate.value),
        float(estimate.ci_low),
        float(estimate.ci_high),
        wins=int(won.sum()),
        losses=int((decided & ~won).sum()),
        ties=int((verdict == "tie").sum()),
        both_bad=int((verdict == "both_bad").sum()),
        annotators=annotators,
        clustered=clustered,
    )


def decide(
    frame: pd.DataFrame,
    challenger: str,
    incumbent: str,
    *,
    wanted: int,
    ci: float = 0.95,
    early: str | None = None,
) -> Decision:
    """Apply the rule to the standing judgments of a blind batch.

    Args:
        frame: the batch's standing judgments, as db.judgments.standing_frame gives them.
        challenger: adapter id.
        incumbent: adapter id.
        wanted: judgments that the batch asked for.
        ci: confidence level of the interval.
        early: an operator's reason to decide now although judgments are missing.

    Raises:
        GateRefused: judgments are missing and no reason was given, or there is none at all.
    """
    judgments = len(frame)
    if judgments < wanted and not (early and early.strip()):
        raise GateRefused(
            f"{wanted - judgments} of {wanted} judgments are still missing; the gate decides once "
            "they are in (an operator may decide now by giving a reason)"
        )
    if not judgments:
        raise GateRefused(f"{challenger} and {incumbent} have no blind judgment yet; judge some")
    simulated = sum(str(kind) != "human" for kind in frame["annotator_kind"])
    nobody_prefers = bool((frame["verdict"].astype(str) == "both_bad").all())
    rate = (
        NoRate(both_bad=judgments, annotators=len(set(frame["annotator"])))
        if nobody_prefers
        else win_rate_over(frame, challenger, incumbent, ci=ci)
    )
    promote = rate.ci_low is not None and rate.ci_low > 0.5
    words = _in_words(rate, challenger, incumbent, ci, judgments, promote)
    if simulated:
        words += f" SIMULATED: {simulated} of the judgments were made by no person."
    if early and judgments < wanted:
        words += f" Decided early, on {judgments} of {wanted} judgments: {early.strip()}."
    return Decision(
        promote=promote,
        challenger=challenger,
        incumbent=incumbent,
        win_rate=rate.value,
        ci_low=rate.ci_low,
        ci_high=rate.ci_high,
        ci=ci,
        wins=rate.wins,
        losses=rate.losses,
        ties=rate.ties,
        both_bad=rate.both_bad,
        judgments=judgments,
        wanted=wanted,
        annotators=rate.annotators,
        clustered=rate.clustered,
        simulated=simulated,
        early=early.strip() if early and judgments < wanted else None,
        words=words,
    )


def _in_words(
    rate: WinRate | NoRate,
    challenger: str,
    incumbent: str,
    ci: float,
    judgments: int,
    promote: bool,
) -> str:
    """The decision in a sentence or two, without what is said of simulated or early ones."""
    by = f"by {rate.annotators} annotator{'s' if rate.annotators != 1 else ''}"
    if isinstance(rate, NoRate):
        return (
            f"All {judgments} blind judgments {by} call both {challenger} and {incumbent} bad. "
            "Rejected: nobody preferred the challenger; the incumbent stays."
        )
    if promote:
        verdict = "Promoted: the whole interval lies above one half."
    elif rate.ci_high < 0.5:
        verdict = "Rejected: the challenger is worse; the incumbent stays."
    else:
        verdict = "Rejected: the interval reaches one half or below, so it may be chance."
    interval = f"{ci:.0%} interval {rate.ci_low:.0%} to {rate.ci_high:.0%}"
    return (
        f"{challenger} beat {incumbent} in {rate.value:.0%} of {judgments - rate.both_bad} blind "
        f"judgments {by} ({interval}{', clustered by annotator' if rate.clustered else ''}). "
        f"{verdict}"
    )
