"""What is measured against ourselves: clustered intervals, a whole report, what to ask next."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bench import asking
from bench.judgments import ITEMS, judgments, people
from bench.measure import Measured, Side, interleave
from bench.rows import Row, compared

ANNOTATORS, PROMPTS = 500, 5_000
RESAMPLED = 2000
FIRST_SEED = 1000  # the rule of `next_pairs` was chosen on the first hundred

Work = Callable[[], dict[str, Any] | None]


def rows(clustered_n: int, report_n: int, seeds: int) -> list[Row]:
    """Every measurement without a peer."""
    return [*clustered(clustered_n), report(report_n), questions(seeds)]


def clustered(n: int) -> list[Row]:
    """Two-way clustered intervals against plain ones, from codes and from text columns."""
    found: list[Row] = []
    for text, what in ((False, "encoded"), (True, "as text columns")):
        params = {"n": n, "text": text}
        ours, plain = interleave(
            [
                Side("two ways", "bench.ratings_own:fitted", {**params, "ways": 2}),
                Side("plain sandwich", "bench.ratings_own:fitted", {**params, "ways": 0}),
            ],
            rounds=9,
        )
        row = compared(
            "ratings",
            f"{n:,} judgments {what}, {ANNOTATORS} annotators, {PROMPTS:,} prompts, {ITEMS} items: "
            "two-way clustered intervals",
            ours,
            plain,
            bar=2.0,
        )
        if ours.values:
            row.notes = [f"memory grows by {ours.growth_bytes / 1e6:.0f} MB"]
        found.append(row)
    return found


def report(n: int) -> Row:
    """A whole report from coded columns against pandas counting pairs and verdicts alone."""
    ours, counted = interleave(
        [
            Side("ours", "bench.ratings_own:reported", {"n": n}),
            Side("pandas groupby of pair, verdict", "bench.ratings_own:counted", {"n": n}),
        ],
        rounds=9,
    )
    row = compared(
        "ratings",
        f"{n:,} judgments in coded columns, 8 items, {ANNOTATORS} annotators: a whole report",
        ours,
        counted,
    )
    if ours.values:
        row.notes = [f"memory grows by {ours.growth_bytes / 1e6:.0f} MB"]
    return row


def questions(seeds: int) -> Row:
    """Judgments needed by `next_pairs` and by random pairs, over seeds."""
    numbers = list(range(FIRST_SEED, FIRST_SEED + seeds))
    chosen, random = interleave(
        [
            Side(name, "bench.asking:needed", {"seeds": numbers, "how": name}, warmups=0)
            for name in ("chosen", "random")
        ],
        rounds=1,
    )
    missing = [f"{side.name}: {side.missing}" for side in (chosen, random) if side.missing]
    ours, theirs = (_needed(side) for side in (chosen, random))
    row = Row(
        "ratings",
        f"judgments until 95 % of the pairs of {asking.ITEMS} items are in the right order: mean "
        f"of {seeds} seeds",
        "judgments",
        None if ours is None else float(ours.mean()),
        "pairs at random",
        None if theirs is None else float(theirs.mean()),
        bar=0.6,
        missing=missing,
        runs={side.name: side.pooled("needed") for side in (chosen, random)},
    )
    if ours is not None and theirs is not None:
        row.notes = _said(ours, theirs)
    return row


def _needed(side: Measured) -> np.ndarray | None:
    found = side.pooled("needed")
    return np.array(found, dtype=float) if found else None


def _said(ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    rng = np.random.default_rng(0)
    at = rng.integers(0, len(ours), (RESAMPLED, len(ours)))
    means = np.quantile(ours[at].mean(axis=1) / theirs[at].mean(axis=1), (0.025, 0.975))
    middles = np.quantile(
        np.median(ours[at], axis=1) / np.median(theirs[at], axis=1), (0.025, 0.975)
    )
    ratio = np.median(ours) / np.median(theirs)
    capped = int((theirs >= asking.MOST).sum()), int((ours >= asking.MOST).sum())
    return [
        f"ratio of means {ours.mean() / theirs.mean():.2f} [{means[0]:.2f}, {means[1]:.2f}] at "
        "95 % over seeds",
        f"medians {np.median(ours):.0f} and {np.median(theirs):.0f}: {ratio:.2f} "
        f"[{middles[0]:.2f}, {middles[1]:.2f}]",
        f"true ratings normal with sd 1, no ties, batches of {asking.BATCH}; right at a batch and "
        f"for {asking.STAYS} more; stopped at {asking.MOST:,} and counted as that: {capped[0]} "
        f"random and {capped[1]} chosen runs",
    ]


# --- sides ----------------------------------------------------------------------------------------


@contextmanager
def fitted(n: int, ways: int, *, text: bool) -> Iterator[Work]:
    """A fit with intervals, without clusters or by annotator and prompt."""
    import pandas as pd

    from preference import fit_bradley_terry

    columns: list[Any] = [*judgments(n), *people(n, ANNOTATORS, PROMPTS)]
    if text:
        names = (
            [f"persona-adapter-{i:03d}" for i in range(ITEMS)],
            [f"persona-adapter-{i:03d}" for i in range(ITEMS)],
            ["a", "b", "tie"],
            [f"annotator {i}" for i in range(ANNOTATORS)],
            [f"prompt {i}" for i in range(PROMPTS)],
        )
        columns = [
            pd.Series(np.array(words, dtype=object)[codes].tolist())
            for words, codes in zip(names, columns, strict=True)
        ]
    a, b, verdict, annotator, prompt = columns

    def work() -> dict[str, Any]:
        cluster = [annotator, prompt] if ways else None
        fit = fit_bradley_terry(a, b, verdict, cluster=cluster)
        return {"width": float((fit.ci_high - fit.ci_low).mean())}

    yield work


def coded(n: int) -> Any:
    """Columns as a ledger of comparisons, each judged by five people, gives them."""
    import pandas as pd

    from preference.report_input import Columns

    rng = np.random.default_rng(9)
    asked = -(-n // 5)
    a = rng.integers(0, 8, asked)
    b = (a + rng.integers(1, 8, asked)) % 8
    row = np.repeat(np.arange(asked), 5)[:n]

    def labels(codes: np.ndarray, stem: str) -> Any:
        return pd.Categorical.from_codes(codes, [f"{stem}{i:06d}" for i in range(codes.max() + 1)])

    verdict = rng.choice(4, n, p=[0.45, 0.38, 0.14, 0.03]).astype(np.uint8)
    return Columns(
        labels(np.minimum(a, b)[row], "adapter-"),
        labels(np.maximum(a, b)[row], "adapter-"),
        verdict,
        annotator=labels(rng.integers(0, ANNOTATORS, n), "annotator "),
        prompt=labels(row // 400, "prompt "),
        persona=labels(np.zeros(n, dtype=np.int64), "persona "),
        comparison=labels(row, "comparison "),
        annotator_kind=labels(np.zeros(n, dtype=np.int64), "human"),
        placement=rng.choice(np.array([-1, 1], dtype=np.int8), n),
        weight=np.ones(n),
        strength=np.where((rng.random(n) < 0.5) & (verdict < 2), 2.0, 1.0),
        source="bench",
    )


@contextmanager
def reported(n: int) -> Iterator[Work]:
    """`build_columns`: ratings, win rates, intervals, agreement, notes."""
    from preference.report import build_columns

    columns = coded(n)
    yield lambda: {"finding": build_columns(columns).finding}


@contextmanager
def counted(n: int) -> Iterator[Work]:
    """Counts by pair and verdict, which a report needs at least."""
    import pandas as pd

    columns = coded(n)
    frame = pd.DataFrame(
        {"a": columns.item_a, "b": columns.item_b, "verdict": pd.Categorical(columns.verdict)}
    )

    def work() -> None:
        frame.groupby(["a", "b", "verdict"], observed=True).size()

    yield work
