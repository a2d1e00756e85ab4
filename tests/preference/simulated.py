"""Judgments drawn from a known truth."""

import numpy as np


def draw(ratings, n, seed, *, nu=0.5, placement=0.0, annotators=0, spread=0.0):
    """Davidson's model; with annotators, each one shifts each rating by a normal of sd `spread`."""
    rng = np.random.default_rng(seed)
    ratings = np.asarray(ratings, dtype=float)
    k = len(ratings)
    a = rng.integers(0, k, n)
    b = (a + rng.integers(1, k, n)) % k
    place = rng.choice([-1, 1], n)
    eta = ratings[a] - ratings[b] + placement * place
    who = np.repeat(np.arange(annotators), -(-n // annotators))[:n] if annotators else None
    if who is not None:
        shift = rng.normal(0, spread, (annotators, k))
        eta = eta + shift[who, a] - shift[who, b]
    odds = np.stack([np.exp(eta / 2), np.exp(-eta / 2), np.full(n, nu)])
    share = np.cumsum(odds / odds.sum(axis=0), axis=0)
    u = rng.random(n)
    verdict = (u > share[0]).astype(np.uint8) + (u > share[1]).astype(np.uint8)
    return {"a": a, "b": b, "verdict": verdict, "placement": place, "annotator": who}
