"""Bootstrap and covariates against FastChat's rating functions, 200 items.

Ties count as half a win on every side (FastChat's way). FastChat shrinks its contextual fit a
little (a ridge of 1/2), ours has no prior; a check says how far the answers differ.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bench.judgments import contextual
from bench.measure import Measured, Side, interleave
from bench.peers import environment
from bench.rows import Row, compared

ITEMS = 200
REPLICATES = 100

Work = Callable[[], dict[str, Any] | None]


def rows(n: int) -> list[Row]:
    """Both measurements."""
    return [bootstrapped(n), covariates(n)]


def bootstrapped(n: int) -> Row:
    """A hundred replicates, from text columns of a data frame."""
    python, missing = environment("fastchat")
    params = {"n": n}
    ours, theirs = interleave(
        [
            Side("ours", "bench.ratings_fastchat:ours_bootstrap", params),
            Side(
                "FastChat, compute_bootstrap_bt",
                "bench.ratings_fastchat:their_bootstrap",
                params,
                repeats=3,
                python=python,
                missing=missing,
            ),
        ],
        rounds=5,
    )
    row = compared(
        "ratings",
        f"{n:,} judgments as text columns, {ITEMS} items: {REPLICATES} bootstraps",
        ours,
        theirs,
        bar=1 / 10,
        inside=False,
    )
    if theirs.values:
        row.notes = [
            f"bootstrapped errors are {_ratio(ours, theirs, 'se'):.1%} of FastChat's on average "
            f"over items (either has an error of {1 / np.sqrt(2 * REPLICATES):.0%} an item); "
            "FastChat works in a process a core"
        ]
    return row


def covariates(n: int) -> Row:
    """Four covariates, from codes; theirs is the fit alone, without its reading of columns."""
    python, missing = environment("fastchat")
    params = {"n": n}
    ours, theirs = interleave(
        [
            Side("ours", "bench.ratings_fastchat:ours_covariates", params),
            Side(
                "FastChat, fit_contextual_bt",
                "bench.ratings_fastchat:their_covariates",
                params,
                repeats=3,
                python=python,
                missing=missing,
            ),
        ],
        rounds=7,
    )
    row = compared(
        "ratings",
        f"{n:,} judgments, {ITEMS} items, 4 covariates: strengths, effects, sandwich intervals",
        ours,
        theirs,
        bar=1 / 8,
    )
    if theirs.values:
        row.notes = [
            f"ratings differ by at most {_gap(ours, theirs, 'ratings'):.1e}, effects by "
            f"{_gap(ours, theirs, 'effects'):.1e} (FastChat's ridge)"
        ]
    return row


# --- sides ----------------------------------------------------------------------------------------


@contextmanager
def ours_bootstrap(n: int) -> Iterator[Work]:
    """Replicates with their errors."""
    import pandas as pd

    from preference.resampling import bootstrap

    a, b, verdict = _texts(n, ("a", "b", "tie"))
    frame = pd.DataFrame({"item_a": a, "item_b": b, "verdict": verdict})

    def work() -> dict[str, Any]:
        found = bootstrap(
            frame["item_a"], frame["item_b"], frame["verdict"], ties="half", replicates=REPLICATES
        )
        return {"se": found.se.tolist()}

    yield work


@contextmanager
def their_bootstrap(n: int) -> Iterator[Work]:
    """As its leaderboard calls it."""
    import pandas as pd
    from fastchat.serve.monitor.rating_systems import (  # type: ignore[import-not-found]
        compute_bootstrap_bt,
    )

    a, b, winner = _texts(n, ("model_a", "model_b", "tie"))
    frame = pd.DataFrame({"model_a": a, "model_b": b, "winner": winner})
    natural = np.log(10) / 400  # from its scale of 400 points for a factor of ten

    def work() -> dict[str, Any]:
        found = compute_bootstrap_bt(frame, REPLICATES)
        found = found[sorted(found.columns)].to_numpy() * natural
        return {"se": (found - found.mean(axis=1, keepdims=True)).std(axis=0, ddof=1).tolist()}

    yield work


@contextmanager
def ours_covariates(n: int) -> Iterator[Work]:
    """Strengths, effects, 95 % sandwich intervals."""
    from preference import fit_bradley_terry

    a, b, verdict, x = contextual(n, ITEMS)

    def work() -> dict[str, Any]:
        fit = fit_bradley_terry(a, b, verdict, covariates=x, ties="half")
        effects = [fit.effects[f"covariate_{i}"].value for i in range(x.shape[1])]
        return {"ratings": fit.ratings.tolist(), "effects": effects}

    yield work


@contextmanager
def their_covariates(n: int) -> Iterator[Work]:
    """The point estimate from arrays as its preprocessing makes them."""
    from fastchat.serve.monitor.rating_systems import (  # type: ignore[import-not-found]
        fit_contextual_bt,
    )

    a, b, verdict, x = contextual(n, ITEMS)
    pairs = np.column_stack([a, b]).astype(np.int64)
    outcomes = np.array([1.0, 0.0, 0.5])[verdict]
    names = [str(i) for i in range(ITEMS)]

    def work() -> dict[str, Any]:
        found = fit_contextual_bt(pairs, x, outcomes, names)
        ratings = found[:ITEMS] * np.log(10)
        return {"ratings": (ratings - ratings.mean()).tolist(), "effects": found[ITEMS:].tolist()}

    yield work


def _texts(n: int, words: tuple[str, str, str]) -> tuple[list[str], list[str], list[str]]:
    a, b, verdict, _ = contextual(n, ITEMS)
    names = np.array([f"adapter-{i:03d}" for i in range(ITEMS)], dtype=object)
    return names[a].tolist(), names[b].tolist(), np.array(words, dtype=object)[verdict].tolist()


def _gap(one: Measured, other: Measured, key: str) -> float:
    return float(np.abs(np.array(one.last(key)) - np.array(other.last(key))).max())


def _ratio(one: Measured, other: Measured, key: str) -> float:
    return float((np.array(one.last(key)) / np.array(other.last(key))).mean())
