"""How many more judgments would decide: courses that fit what is known, played to their end.

Knows scores and how wide the analyzer's bounds are (``preference.sequential``). Does not know
prompts or people; what their likeness costs comes in as one factor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
COURSES = 1000
ROUND = 10
"""Numbers of judgments asked of people are multiples of this."""


@dataclass(frozen=True)
class Forecast:
    """What further judgments would bring.

    Attributes:
        more: judgments after which half of the courses are decided, or all that may be asked.
        promoted: share of courses that promote the challenger within all that may be asked.
        decided: share that are decided at all within them.
    """

    more: int
    promoted: float
    decided: float


def half_width(score: Scores, ci: float) -> Scores:
    """Half the width of the analyzer's bounds after each outcome, each a cluster of its own.

    Args:
        score: scores 0 to 1, shape (courses, outcomes).
        ci: confidence level.
    """
    n = np.arange(1, score.shape[1] + 1)
    mean = np.cumsum(score, axis=1) / n
    spread = np.maximum(np.cumsum(score**2, axis=1) - n * mean**2, 0.0) + 0.25
    se = np.sqrt(spread / np.maximum(n - 1, 1) / n)
    tail = -2 * np.log(1 - ci)
    spent = n * (tail + np.log(tail + 1)) / 2.0 ** np.round(np.log2(n))
    return se * np.sqrt((spent + 1) / spent * (np.log(spent + 1) + tail))


def forecast(score: Scores, ci: float, most_more: int, *, spread: float = 1.0) -> Forecast:
    """What up to ``most_more`` further judgments would bring.

    The true shares of wins, ties and losses are drawn from what the judgments so far leave open
    (Dirichlet with Jeffreys' prior), so that the uncertainty of the rate itself is in the answer.
    The same judgments always get the same answer.

    Args:
        score: scores so far, at least one.
        ci: confidence level.
        most_more: judgments that may still be asked, 1 or more.
        spread: variance of clustered judgments over that of independent ones.
    """
    counts = np.array([(score == 1).sum(), (score == 0.5).sum(), (score == 0).sum()])
    rng = np.random.default_rng([*counts.tolist(), most_more])
    shares = rng.dirichlet(counts + np.where(counts > 0, 0.5, [0.5, 0.05, 0.5]), COURSES)
    effective = max(1, int(most_more / spread))
    drawn = rng.random((COURSES, effective))
    later = np.where(drawn < shares[:, :1], 1.0, np.where(drawn < 1 - shares[:, 2:], 0.5, 0.0))
    known = len(score)
    whole = np.concatenate([np.broadcast_to(score, (COURSES, known)), later], axis=1)
    gap = np.cumsum(whole, axis=1) / np.arange(1, whole.shape[1] + 1) - 0.5
    half = half_width(whole, ci)
    ups, downs = (gap > half)[:, known:], (gap < -half)[:, known:]
    up, down = _first(ups, effective), _first(downs, effective)
    decided = np.minimum(up, down)
    middle = int(np.sort(decided)[COURSES // 2])
    wanted = most_more if middle >= effective else int(np.ceil((middle + 1) * spread))
    rounded = -(-wanted // ROUND) * ROUND
    return Forecast(
        min(rounded, most_more),
        float(((up < effective) & (up < down)).mean()),
        float((decided < effective).mean()),
    )


def _first(crossed: NDArray[np.bool_], never: int) -> NDArray[np.int64]:
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1), never)
