"""What judgments of two adapters say: counts, a plain interval, and bounds for any time.

Knows frames of judgments. Does not know rules, nor the ledger.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from training.errors import GateRefused
from training.evaluation.bounds import FEW, Bounds, win_rate_course

ENOUGH_ANNOTATORS = FEW
SHARE = {"win": 1.0, "loss": 0.0, "tie": 0.5}


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


def rated(counted: pd.DataFrame, challenger: str, ci: float, start: int = 1) -> Rated:
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
    course = win_rate_course(score, prompts, who, ci, start) if len(score) else None
    return Rated(
        _counts(outcomes),
        score,
        None if course is None else course.now,
        [] if course is None else course.moments,
        len(people),
        people[0] if len(people) == 1 else "",
    )


def _outcomes(a: Any, b: Any, verdict: Any, one: str) -> Any:
    """``win``, ``loss``, ``tie`` or ``both_bad`` of each judgment, from one side."""
    won = ((a == one) & (verdict == "a")) | ((b == one) & (verdict == "b"))
    decided = (verdict == "a") | (verdict == "b")
    return np.where(decided, np.where(won, "win", "loss"), verdict).astype(object)


def _counts(outcomes: Any) -> dict[str, int]:
    return {name: int((outcomes == name).sum()) for name in ("win", "loss", "tie", "both_bad")}
