"""A challenger's win rate with bounds that may be looked at after every judgment.

Knows scores (1 won, 0 lost, one half a tie) in the order they were given, and who judged which
prompt. Does not know adapters or the ledger. The bounds are the analyzer's
(``preference.sequential``); what is decided here is what counts as one outcome.

* The prompt. Up to ``ENOUGH_PROMPTS`` prompts that were judged once each, every judgment is an
  outcome of its own and the bounds are exact. From there on, and wherever prompts repeat, each
  prompt is one cluster, whatever number of judgments it has: judgments of one prompt are alike.
  Each of the two promotes a challenger that is no better at most one time in forty (at 95 %), so
  both, one after the other, at most one time in twenty.
* The annotator. Below ``FEW`` annotators nobody can tell how much they differ: the bounds speak of
  these people alone, and it is said. From ``FEW`` on the interval over annotators must hold, too;
  from ``MANY`` on it also may be looked at any time. The wider end counts.
* The moment. What was excluded once stays excluded (the running intersection), so the answer is the
  same whether somebody looked after every judgment or only now.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preference.sequential import win_rate_sequence
from preference.win_rate import win_rates

FEW = 5
"""From how many annotators on their spread is taken into account."""
MANY = 10
"""From how many clusters on the analyzer gives bounds that may be looked at any time."""
ENOUGH_PROMPTS = 30
"""From how many prompts on their clusters are enough for bounds that hold approximately."""
LOOKS = 300
"""Moments that are looked at, at most."""
POINTS = 40
"""Moments of a course that are kept, at most."""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Bounds:
    """A win rate and what is known of it.

    Attributes:
        value: mean score.
        low: lower bound.
        high: upper bound.
        outcomes: judgments behind it (without both bad).
        prompts: different prompts.
        annotators: different annotators.
        method: ``every judgment``, ``prompts`` or ``too few prompts``.
        over_annotators: whether the spread between annotators is in the bounds.
        spread: how many times wider than independent judgments' the variance is, 1 or more.
    """

    value: float
    low: float
    high: float
    outcomes: int
    prompts: int
    annotators: int
    method: str
    over_annotators: bool
    spread: float = 1.0

    @property
    def ahead(self) -> bool:
        """Surely above one half."""
        return self.low > 0.5

    @property
    def behind(self) -> bool:
        """Surely below one half."""
        return self.high < 0.5


@dataclass(frozen=True)
class Course:
    """Bounds on their way: ``now``, and moments of ``n``, ``value``, ``low`` and ``high``."""

    now: Bounds
    moments: list[dict[str, float]]


def win_rate_course(
    score: Scores, prompt: Sequence[Any], annotator: Sequence[Any], ci: float, start: int = 1
) -> Course:
    """Bounds after these judgments, as they narrowed.

    Args:
        score: n scores in the order they were given, at least one.
        prompt: n labels.
        annotator: n labels.
        ci: confidence level.
        start: judgments from which on what was excluded stays excluded.
    """
    n = len(score)
    prompts, annotators = _codes(prompt), _codes(annotator)
    moments = sorted({round(x) for x in np.linspace(min(5, n), n, min(LOOKS, n))})
    once = _first_repeat(prompts)
    plain = win_rate_sequence(_verdicts(score[:once]), ci=ci)
    low, high = 0.0, 1.0
    told: list[dict[str, float]] = []
    now: Bounds | None = None
    for moment in moments:
        at = moment - 1
        exact = (float(plain.lows[at]), float(plain.highs[at])) if moment <= once else None
        now = _at(score[:moment], prompts[:moment], annotators[:moment], ci, exact)
        if moment >= start:
            low, high = max(low, now.low), min(high, now.high)
            if low > high:  # outcomes drift: no single rate fits, the bounds meet in the middle
                low = high = (low + high) / 2
            now = replace(now, low=low, high=high)
        told.append({"n": moment, "value": now.value, "low": now.low, "high": now.high})
    assert now is not None
    keep = {round(x) for x in np.linspace(0, len(told) - 1, min(POINTS, len(told)))}
    return Course(now, [one for place, one in enumerate(told) if place in keep])


def _at(
    score: Scores,
    prompt: NDArray[np.int64],
    annotator: NDArray[np.int64],
    ci: float,
    exact: tuple[float, float] | None,
) -> Bounds:
    """Bounds now; ``exact`` where those over every judgment are known already."""
    n = len(score)
    prompts, annotators = len(np.unique(prompt)), len(np.unique(annotator))
    verdicts = _verdicts(score)
    spread = 1.0
    if prompts == n and n < ENOUGH_PROMPTS:
        method = "every judgment"
        if exact is None:
            found = win_rate_sequence(verdicts, ci=ci)
            exact = found.ci_low, found.ci_high
        low, high = exact
    elif prompts < MANY:
        method, low, high = "too few prompts", 0.0, 1.0
    else:
        method = "prompts"
        found = win_rate_sequence(verdicts, cluster=prompt, ci=ci)
        low, high = found.ci_low, found.ci_high
        spread = _spread(score, prompt) if prompts < n else 1.0
    over = annotators >= FEW and n > annotators
    if over:
        at_most, at_least = _over_annotators(verdicts, annotator, annotators, ci)
        low, high = min(low, at_most), max(high, at_least)
        if annotators >= MANY:
            spread = max(spread, _spread(score, annotator))
    return Bounds(
        float(score.mean()), low, high, n, prompts, annotators, method, over, max(1.0, spread)
    )


def _over_annotators(
    verdicts: NDArray[Any], annotator: NDArray[np.int64], annotators: int, ci: float
) -> tuple[float, float]:
    if annotators >= MANY:
        found = win_rate_sequence(verdicts, cluster=annotator, ci=ci)
        return found.ci_low, found.ci_high
    n = len(verdicts)
    rates = win_rates(["one"] * n, ["other"] * n, verdicts, cluster=annotator, ci=ci)
    estimate = rates.pair("one", "other")
    return float(estimate.ci_low), float(estimate.ci_high)


def _spread(score: Scores, cluster: NDArray[np.int64]) -> float:
    """The clustered variance of the mean over that of independent judgments."""
    apart = score - score.mean()
    alone = float((apart**2).sum())
    return float((np.bincount(cluster, apart) ** 2).sum()) / alone if alone > 0 else 1.0


def _verdicts(score: Scores) -> NDArray[Any]:
    return np.where(score == 1, "a", np.where(score == 0, "b", "tie")).astype(object)


def _codes(labels: Sequence[Any]) -> NDArray[np.int64]:
    return np.unique(np.asarray(labels).astype(str), return_inverse=True)[1].astype(np.int64)


def _first_repeat(codes: NDArray[np.int64]) -> int:
    """How many judgments came before a prompt was judged again."""
    _, first = np.unique(codes, return_index=True)
    again = np.setdiff1d(np.arange(len(codes)), first)
    return int(again[0]) if len(again) else len(codes)
