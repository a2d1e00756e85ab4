"""Bradley-Terry strengths, win-rate matrix and intervals against evalica, arena-rank and choix.

FastChat's rows are in `ratings_fastchat`, what is measured against ourselves in `ratings_own`.

All sides see the same seeded judgments of 100 items whose truth is known. Ties count as half a win
(what the peers do), so that all estimate the same thing; a check says how far they differ.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bench import ratings_fastchat, ratings_own
from bench.judgments import ITEMS, columns, judgments
from bench.measure import Measured, Side, interleave
from bench.peers import environment
from bench.rows import Row, compared

Work = Callable[[], dict[str, Any] | None]
SIZES = {
    "small": {
        "encoded": 1_000_000,
        "strings": 200_000,
        "choix": 20_000,
        "fastchat": 100_000,
        "clustered": 100_000,
        "report": 100_000,
        "seeds": 10,
    },
    "full": {
        "encoded": 10_000_000,
        "strings": 10_000_000,
        "choix": 200_000,
        "fastchat": 1_000_000,
        "clustered": 1_000_000,
        "report": 1_000_000,
        "seeds": 200,
    },
}


def rows(size: str) -> list[Row]:
    """Every measurement of this subject."""
    n = SIZES[size]
    return [
        *encoded(n["encoded"]),
        strings(n["strings"]),
        small_peer(n["choix"]),
        *ratings_fastchat.rows(n["fastchat"]),
        *ratings_own.rows(n["clustered"], n["report"], n["seeds"]),
    ]


def encoded(n: int) -> list[Row]:
    """From codes: ours whole against evalica's point estimate and arena-rank's intervals."""
    python, missing = environment("arena-rank")
    params = {"n": n}
    ours, evalica, arena, floor = interleave(
        [
            Side("ours", "bench.ratings:ours_encoded", params),
            Side("evalica, point estimate", "bench.ratings:evalica_encoded", params, repeats=5),
            Side(
                "arena-rank, with intervals",
                "bench.ratings:arena_encoded",
                params,
                repeats=2,
                warmups=0,
                python=python,
                missing=missing,
            ),
            Side("floor", "bench.ratings:one_pass", params),
        ],
        rounds=7,
    )
    what = f"{n:,} encoded judgments, {ITEMS} items: strengths, win-rate matrix, intervals"
    bytes_ = f"one pass over the {3 * n / 1e6:.0f} MB of codes"
    first = compared(
        "ratings", what, ours, evalica, bar=1 / 30, floor=floor.median, floor_is=bytes_
    )
    first.notes = [_growth(ours, 100), _agreement(ours, evalica)]
    second = compared("ratings", what, ours, arena, bar=1 / 300, floor=floor.median)
    second.notes = [
        _agreement(ours, arena),
        f"interval widths differ by at most {_widest(ours, arena):.2%}" if arena.values else "",
        "arena-rank's first run of two includes compiling",
    ]
    for row in (first, second):
        row.notes = [note for note in row.notes if note]
    return [first, second]


def strings(n: int) -> Row:
    """From text columns; evalica gets lists and verdicts it need not translate."""
    params = {"n": n}
    ours, theirs, floor = interleave(
        [
            Side("ours", "bench.ratings:ours_strings", params),
            Side("evalica, point estimate", "bench.ratings:evalica_strings", params, repeats=3),
            Side("floor", "bench.ratings:one_factorize", params),
        ],
        rounds=5,
    )
    row = compared(
        "ratings",
        f"{n:,} judgments as text columns: the same",
        ours,
        theirs,
        bar=1 / 3,
        floor=floor.median,
        floor_is="pandas.factorize of the three columns, nothing else",
    )
    row.notes = [note for note in (_growth(ours), _agreement(ours, theirs)) if note]
    return row


def small_peer(n: int) -> Row:
    """choix, which loops over pairs in Python, at a size it can do; no ties, it knows none."""
    params = {"n": n}
    ours, theirs = interleave(
        [
            Side("ours", "bench.ratings:ours_decided", params),
            Side("choix, point estimate", "bench.ratings:choix_pairs", params, repeats=3),
        ],
        rounds=5,
    )
    row = compared("ratings", f"{n:,} judgments without ties: strengths, intervals", ours, theirs)
    row.notes = [note for note in (_agreement(ours, theirs),) if note]
    return row


# --- sides ----------------------------------------------------------------------------------------


@contextmanager
def ours_encoded(n: int) -> Iterator[Work]:
    """Strengths, 95 % sandwich intervals and the win-rate matrix, from one fit."""
    import preference  # noqa: F401 - imported before memory is measured

    a, b, verdict = judgments(n)
    yield lambda: _ours(a, b, verdict)


@contextmanager
def ours_strings(n: int) -> Iterator[Work]:
    """The same from a data frame's text columns."""
    import pandas as pd

    import preference  # noqa: F401 - imported before memory is measured

    frame = pd.DataFrame(columns(n))
    yield lambda: _ours(frame["item_a"], frame["item_b"], frame["verdict"])


@contextmanager
def ours_decided(n: int) -> Iterator[Work]:
    """The same without ties."""
    a, b, verdict = judgments(n, ties=0)
    yield lambda: _ours(a, b, verdict)


def _ours(a: Any, b: Any, verdict: Any) -> dict[str, Any]:
    from preference import fit_bradley_terry

    fit = fit_bradley_terry(a, b, verdict, ties="half")
    wins, ties = fit.cells.wins(), fit.cells.tied()
    with np.errstate(invalid="ignore"):
        matrix = (wins + ties / 2) / (wins + wins.T + ties)
    return {
        "ratings": fit.ratings.tolist(),
        "width": (fit.ci_high - fit.ci_low).tolist(),
        "top_row": float(np.nanmax(matrix[-1])),
    }


@contextmanager
def evalica_encoded(n: int) -> Iterator[Work]:
    """The peer evalica, with its index given, so that it need not look for the items."""
    import evalica
    import pandas as pd

    a, b, verdict = judgments(n)
    winners = _winners(evalica)[verdict].tolist()
    index = pd.RangeIndex(ITEMS)

    def work() -> dict[str, Any]:
        result = evalica.bradley_terry(a, b, winners, index=index, tolerance=1e-8, limit=1000)
        return {"ratings": _log(result.scores.loc[list(range(ITEMS))].to_numpy())}

    yield work


@contextmanager
def evalica_strings(n: int) -> Iterator[Work]:
    """The peer evalica, from lists of texts, as its documentation calls it."""
    import evalica

    texts = columns(n)
    a, b = texts["item_a"], texts["item_b"]
    names = sorted(set(a) | set(b))
    winners = _winners(evalica)[judgments(n)[2]].tolist()

    def work() -> dict[str, Any]:
        result = evalica.bradley_terry(a, b, winners, tolerance=1e-8, limit=1000)
        return {"ratings": _log(result.scores.loc[names].to_numpy())}

    yield work


def _winners(evalica: Any) -> np.ndarray:
    return np.array([evalica.Winner.X, evalica.Winner.Y, evalica.Winner.Draw], dtype=object)


@contextmanager
def arena_encoded(n: int) -> Iterator[Work]:
    """arena-rank from its own data set class, with sandwich intervals; codes, not texts."""
    import pandas as pd
    from arena_rank.models.bradley_terry import BradleyTerry  # type: ignore[import-not-found]
    from arena_rank.utils.data_utils import PairDataset  # type: ignore[import-not-found]

    a, b, verdict = judgments(n)
    frame = pd.DataFrame({"model_a": a, "model_b": b, "winner": verdict})
    outcomes = {0: 1.0, 1: 0.0, 2: 0.5}  # a dict is mapped much faster than its default function

    def work() -> dict[str, Any]:
        data = PairDataset.from_pandas(frame, outcome_map=outcomes)
        model = BradleyTerry(n_competitors=data.n_competitors)
        found = model.compute_ratings_and_cis(data)
        natural = np.log(10) / 400  # from its scale of 400 points for a factor of ten
        ratings = np.asarray(found["ratings"]) * natural
        width = (np.asarray(found["rating_upper"]) - np.asarray(found["rating_lower"])) * natural
        return {"ratings": (ratings - ratings.mean()).tolist(), "width": width.tolist()}

    yield work


@contextmanager
def choix_pairs(n: int) -> Iterator[Work]:
    """The spectral estimate of choix from a list of (winner, loser)."""
    import choix

    a, b, verdict = judgments(n, ties=0)
    winner, loser = np.where(verdict == 0, a, b), np.where(verdict == 0, b, a)
    pairs = list(zip(winner.tolist(), loser.tolist(), strict=True))

    def work() -> dict[str, Any]:
        found = choix.ilsr_pairwise(ITEMS, pairs)
        return {"ratings": (found - found.mean()).tolist()}

    yield work


@contextmanager
def one_pass(n: int) -> Iterator[Work]:
    """Reading the three columns of codes once."""
    codes = judgments(n)
    whole = [column[: n // 8 * 8].view(np.uint64) for column in codes]

    def work() -> None:
        for column in whole:
            column.max()

    yield work


@contextmanager
def one_factorize(n: int) -> Iterator[Work]:
    """Finding the distinct texts of three columns: what any estimate from texts must do."""
    import pandas as pd

    frame = pd.DataFrame(columns(n))

    def work() -> None:
        for name in frame.columns:
            pd.factorize(frame[name])

    yield work


# --- checks ---------------------------------------------------------------------------------------


def _log(scores: np.ndarray) -> list[float]:
    values = np.log(scores)
    return (values - values.mean()).tolist()


def _growth(side: Measured, bar: float | None = None) -> str:
    if not side.values:
        return ""
    grown = side.growth_bytes / 1e6
    asked = "" if bar is None else f" (bar {bar:.0f} MB: {'met' if grown <= bar else 'missed'})"
    return f"{side.name}: memory grows by {grown:.0f} MB{asked}"


def _agreement(one: Measured, other: Measured) -> str:
    first, second = one.last("ratings"), other.last("ratings")
    if first is None or second is None:
        return ""
    apart = float(np.abs(np.array(first) - np.array(second)).max())
    return f"{one.name} and {other.name} agree: ratings differ by at most {apart:.1e}"


def _widest(one: Measured, other: Measured) -> float:
    first, second = np.array(one.last("width")), np.array(other.last("width"))
    return float(np.abs(first / second - 1).max())
