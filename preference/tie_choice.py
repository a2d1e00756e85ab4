"""Which way of treating ties predicts better, by held-out likelihood.

Knows: counts and the two models that give ties a probability. Does not know items by name.
"""

from __future__ import annotations

import numpy as np

from preference.counts import Cells
from preference.design import Design, log_odds
from preference.encoding import Floats
from preference.newton import Prior, maximise
from preference.outcomes import TieModel, derivatives

FOLDS = 5
_PRIOR = Prior("ridge", 0.01)  # folds of sparse data may be disconnected; this barely shrinks


def held_out(cells: Cells) -> dict[str, float]:
    """Mean log-likelihood a held-out judgment, for `davidson` and `rao_kupper`.

    The judgments of each cell and verdict are dealt to five folds in turn, so the split depends
    neither on row order nor on chance. `half` gives ties no probability and cannot be compared.

    Returns:
        Model name to mean log-likelihood (natural log), larger is better.
    """
    counts = np.stack([cells.wins_a, cells.wins_b, cells.ties])
    folds = _deal(counts)
    placed = bool(cells.placement.any())
    extra = cells.placement[:, None] if placed else np.zeros((len(cells.a), 0))
    names = ("placement",) if placed else ()
    scores: dict[str, float] = {}
    models: tuple[TieModel, ...] = ("davidson", "rao_kupper")
    for model in models:
        total = 0.0
        for f in range(FOLDS):
            train = counts - folds[f]
            if train[2].sum() == 0 or train[:2].sum() == 0:
                train = counts
            design = Design(cells.k, cells.a, cells.b, train[0], train[1], train[2], extra, names)
            optimum = maximise(design, model, _PRIOR)
            eta, tau = log_odds(design, model, optimum.parameters)
            d = derivatives(model, eta, tau, folds[f][0], folds[f][1], folds[f][2])
            total += float(d.value.sum())
        scores[model] = total / float(counts.sum())
    return scores


def _deal(counts: Floats) -> Floats:
    """(folds, 3, cells): whole judgments go round the folds, a fractional rest goes to the next."""
    flat = counts.ravel()
    whole = np.floor(flat)
    start = (np.cumsum(whole) - whole) % FOLDS
    out = np.empty((FOLDS, len(flat)))
    for f in range(FOLDS):
        ahead = (f - start) % FOLDS
        out[f] = np.floor((whole + FOLDS - 1 - ahead) / FOLDS)
    out[0] += flat - whole
    return out.reshape(FOLDS, *counts.shape)
