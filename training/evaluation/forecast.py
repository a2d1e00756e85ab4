"""How many more judgments would decide: courses that fit what is known, played to their end.

Knows scores and the analyzer's bet against one half (``preference.sequential``). Does not know
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


def capital(score: Scores, ci: float) -> tuple[Scores, Scores]:
    """Log capital of betting for and against "more than one half", after each outcome.

    Args:
        score: scores 0 to 1, shape (courses, outcomes).
        ci: confidence level.

    Returns:
        Two arrays of the same shape, nats. The bounds lie above one half where the first reaches
        log(2 / (1 - ci)), below where the second does.
    """
    t = np.arange(1, score.shape[1] + 1)
    mean = (0.5 + np.cumsum(score, axis=1)) / (t + 1)
    spread = (0.25 + np.cumsum((score - mean) ** 2, axis=1)) / (t + 1)
    before = np.concatenate([np.full((len(score), 1), 0.25), spread[:, :-1]], axis=1)
    bet = np.minimum(np.sqrt(2 * np.log(2 / (1 - ci)) / (before * t * np.log(t + 1))), 1.0)
    gap = score - 0.5
    return np.cumsum(np.log1p(bet * gap), axis=1), np.cumsum(np.log1p(-bet * gap), axis=1)


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
    whole = np.concatenate([np.broadcast_to(score, (COURSES, len(score))), later], axis=1)
    bound = np.log(2 / (1 - ci))
    ups, downs = (side[:, len(score) :] >= bound for side in capital(whole, ci))
    up, down = _first(ups, effective), _first(downs, effective)
    decided = np.minimum(up, down)
    half = int(np.sort(decided)[COURSES // 2])
    wanted = most_more if half >= effective else int(np.ceil((half + 1) * spread))
    rounded = -(-wanted // ROUND) * ROUND
    return Forecast(
        min(rounded, most_more),
        float(((up < effective) & (up < down)).mean()),
        float((decided < effective).mean()),
    )


def _first(crossed: NDArray[np.bool_], never: int) -> NDArray[np.int64]:
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1), never)
