"""The ledger under load on SQLite: claim and judge as it grows, and a report from it.

Each claim and each judgment is a transaction of its own, durable (WAL, synchronous=FULL) when it
returns, as on the label page. The floor is one row committed the same way, or the rows read once.
"""

import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.ledger import ANNOTATORS, build
from bench.measure import Measured, Side, interleave, percentile
from bench.rows import Row, compared

Work = Callable[[], dict[str, Any] | None]
SMALL = 10_000
SIZES = {
    "small": {"judgments": 100_000, "rounds": 6},
    "full": {"judgments": 1_000_000, "rounds": 15},
}
AT_ONCE = 40
CLAIM_BAR_S = 0.020
READ = """
SELECT ca.adapter_id AS item_a, cb.adapter_id AS item_b, j.verdict, an.name AS annotator,
       c.prompt_id AS prompt, j.placement, j.weight
FROM judgment j
JOIN comparison c ON c.id = j.comparison_id
JOIN candidate ca ON ca.id = c.candidate_a_id
JOIN candidate cb ON cb.id = c.candidate_b_id
JOIN annotator an ON an.id = j.annotator_id
LEFT JOIN retraction r ON r.judgment_id = j.id
WHERE r.judgment_id IS NULL
"""


def rows(size: str) -> list[Row]:
    """Every measurement of this subject, on ledgers in a temporary folder."""
    choice = SIZES[size]
    with tempfile.TemporaryDirectory(prefix="personaloop-bench-") as folder:
        small = build(Path(folder) / "small.db", SMALL)
        large = build(Path(folder) / "large.db", choice["judgments"])
        found = verbs(small, large, choice["judgments"], choice["rounds"])
        return [*found, report(large, choice["judgments"])]


def verbs(small: str, large: str, judgments: int, rounds: int) -> list[Row]:
    """Claim and judge on both ledgers in turns."""
    ours, before, floor = interleave(
        [
            Side("large", "bench.labeling:label", {"url": large, "seed": 1}),
            Side("small", "bench.labeling:label", {"url": small, "seed": 1}),
            Side("floor", "bench.labeling:one_commit", {}),
        ],
        rounds,
    )
    found = []
    committed = percentile(floor.pooled("commit"), 0.5) if floor.values else None
    for verb in ("claim", "judge"):
        for name, share, bar in (("p50", 0.5, None), ("p95", 0.95, 1.5)):
            row = Row(
                "labeling",
                f"{verb} {name} with {judgments:,} judgments in the ledger",
                "ms",
                _at(ours, verb, share),
                f"the same with {SMALL:,}",
                _at(before, verb, share),
                bar=bar,
                floor=committed if share == 0.5 else None,
                floor_is="one row inserted and committed, same pragmas (median)"
                if share == 0.5 and verb == "claim"
                else "",
                missing=[f"{s.name}: {s.missing}" for s in (ours, before) if s.missing],
                runs={"large": ours.pooled(verb), "small": before.pooled(verb)},
            )
            if verb == "claim" and name == "p95" and row.ours is not None:
                met = "met" if row.ours <= CLAIM_BAR_S else "missed"
                row.notes.append(f"claim p95 at most {CLAIM_BAR_S * 1e3:.0f} ms: {met}")
            found.append(row)
    return found


def report(url: str, judgments: int) -> Row:
    """`personaloop report --format json` from the ledger against reading the rows alone."""
    ours, theirs, floor = interleave(
        [
            Side("ours", "bench.labeling:full_report", {"url": url}),
            Side("pandas.read_sql alone", "bench.labeling:read_sql", {"url": url}, repeats=5),
            Side("floor", "bench.labeling:blocks_read", {"url": url}),
        ],
        rounds=9,
    )
    row = compared(
        "labeling",
        f"{judgments:,} judgments in SQLite to a full report",
        ours,
        theirs,
        bar=0.06,
        floor=floor.median,
        floor_is="the bytes of the sealed blocks, read once",
    )
    for side in (ours, theirs):
        if side.values:
            row.notes.append(f"{side.name}: memory grows by {side.growth_bytes / 1e6:,.0f} MB")
    return row


def _at(side: Measured, verb: str, share: float) -> float | None:
    found = side.pooled(verb)
    return percentile(found, share) if found else None


# --- sides ----------------------------------------------------------------------------------------


@contextmanager
def label(url: str, seed: int) -> Iterator[Work]:
    """Annotators who claim and judge, each verb timed with its commit."""
    from db import labeling
    from db.session import sessions

    make = sessions(url)
    chance = random.Random(seed)

    def work() -> dict[str, Any]:
        claims, verdicts = [], []
        for _ in range(AT_ONCE):
            annotator = chance.randint(1, ANNOTATORS)
            started = time.perf_counter()
            with make.begin() as session:
                shown = labeling.claim(session, annotator)
            claims.append(time.perf_counter() - started)
            if shown is None:
                raise RuntimeError("nothing left to claim")
            verdict = chance.choice(("a", "b", "tie"))
            started = time.perf_counter()
            with make.begin() as session:
                labeling.judge(session, shown.token, annotator, verdict, min_dwell=False)
            verdicts.append(time.perf_counter() - started)
        return {"claim": claims, "judge": verdicts}

    yield work


@contextmanager
def one_commit() -> Iterator[Work]:
    """The cheapest durable write that SQLite can do here."""
    with tempfile.TemporaryDirectory(prefix="personaloop-bench-") as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")

        def work() -> dict[str, Any]:
            times = []
            for _ in range(AT_ONCE):
                started = time.perf_counter()
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO t (x) VALUES ('a')")
                connection.execute("COMMIT")
                times.append(time.perf_counter() - started)
            return {"commit": times}

        yield work
        connection.close()


@contextmanager
def full_report(url: str) -> Iterator[Work]:
    """The command itself, in this process, into a file."""
    import preference  # noqa: F401 - imported before memory is measured
    from db.report_command import report as command

    with tempfile.TemporaryDirectory(prefix="personaloop-bench-") as folder:
        output = Path(folder) / "report.json"
        arguments = ["--format", "json", "--output", str(output), "--database-url", url]

        def work() -> None:
            command.main(arguments, standalone_mode=False)
            if not output.stat().st_size:
                raise RuntimeError("the report is empty")

        yield work


@contextmanager
def read_sql(url: str) -> Iterator[Work]:
    """The columns that a report needs, read by pandas; nothing more."""
    import pandas as pd

    connection = sqlite3.connect(url.removeprefix("sqlite:///"))

    def work() -> dict[str, Any]:
        return {"rows": len(pd.read_sql(READ, connection))}

    yield work
    connection.close()


@contextmanager
def blocks_read(url: str) -> Iterator[Work]:
    """The bytes that a report needs, and nothing done with them."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))

    def work() -> dict[str, Any]:
        query = "SELECT content FROM judgment_block ORDER BY last_id"
        return {"bytes": sum(len(row[0]) for row in connection.execute(query))}

    yield work
    connection.close()
