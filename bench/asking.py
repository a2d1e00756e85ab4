"""How many judgments bring a ranking right: `next_pairs` against pairs drawn at random.

A simulation, counted in judgments and not in seconds. Each seed draws the true ratings of twelve
items from a normal of standard deviation 1; verdicts follow Bradley and Terry without ties. Both
sides begin with each item's judgments of two others in a ring, ask in batches, and after every
batch the same fit orders the items. A run is done at the first batch after which the pairs in the
right order stay at 95 % or more for as many batches as said; its number of judgments is that of the
first of these batches.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

ITEMS = 12
BATCH = 12
SHARE = 0.95
STAYS = 5
MOST = 6000
PRIOR = 0.3

Work = Callable[[], dict[str, Any] | None]
Pairs = list[tuple[int, int]]


def judgments_needed(seed: int, how: str) -> int:
    """Judgments until 95 % of pairs are right and stay so; MOST where that is not reached."""
    from preference import fit_bradley_terry, next_pairs

    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 1, ITEMS)
    first, second = np.triu_indices(ITEMS, 1)
    wanted = np.sign(truth[first] - truth[second])
    ring = rng.permutation(ITEMS)
    asked: Pairs = []
    verdicts: list[int] = []
    batch: Pairs = [(int(ring[i]), int(ring[i - 1])) for i in range(ITEMS)]
    right_since: int | None = None
    stayed = 0
    while len(asked) < MOST:
        for i, j in batch:
            asked.append((i, j))
            verdicts.append(int(rng.random() > 1 / (1 + np.exp(truth[j] - truth[i]))))
        fit = fit_bradley_terry(
            np.array([p[0] for p in asked]),
            np.array([p[1] for p in asked]),
            np.array(verdicts, dtype=np.uint8),
            ties="half",
            prior=PRIOR,
            variance="model",
        )
        order = np.sign(fit.ratings[first] - fit.ratings[second])
        if (order == wanted).mean() >= SHARE:
            right_since = len(asked) if right_since is None else right_since
            stayed += 1
            if stayed > STAYS:
                return right_since
        else:
            right_since, stayed = None, 0
        if how == "random":
            batch = [
                tuple(int(x) for x in rng.choice(ITEMS, 2, replace=False)) for _ in range(BATCH)
            ]  # type: ignore[misc]
        else:
            batch = [(int(p.first), int(p.second)) for p in next_pairs(fit, None, BATCH)]
    return MOST


@contextmanager
def needed(seeds: list[int], how: str) -> Iterator[Work]:
    """The judgments needed for each seed, as the list `needed`."""
    yield lambda: {"needed": [judgments_needed(seed, how) for seed in seeds]}
