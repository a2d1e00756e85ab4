"""A SQLite ledger with as many judgments as wanted, written in seconds.

The first row of each table goes through the ledger's own verbs; the others are copies of it with
the columns below changed, inserted in bulk. What is left open to be claimed is the same at every
size. Knows the tables of `db.models`; measures nothing.
"""

import itertools
import random
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

DAYS = timedelta(days=90)
"""How long judging took."""
PERSONA = "formal_concierge"
ADAPTERS = 8
TAKES = 2
ANNOTATORS = 500
OVERLAP = 5
JUDGED_PAIRS = 80
"""Pairs of a prompt's sixteen candidates that were asked and judged."""
OPEN_PROMPTS = 60
OPEN_PAIRS = 80
"""Prompts and pairs of each that are still to be claimed."""

Change = Mapping[str, Any]


def build(file: Path, judgments: int) -> str:
    """Make the ledger; returns its URL.

    Args:
        file: the database, which must not exist yet.
        judgments: standing judgments in it, rounded up to whole prompts.
    """
    from db import blocks
    from db.session import close_database, sessions, upgrade

    url = f"sqlite:///{file}"
    upgrade(url)
    _first_rows(url)
    close_database(url)
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    _fill(connection, -(-judgments // (JUDGED_PAIRS * OVERLAP)))
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.close()
    with sessions(url).begin() as session:
        blocks.seal(session, None)
    close_database(url)
    return url


def _first_rows(url: str) -> None:
    """One judgment and all that it needs, through the ledger's verbs."""
    from db import adapters, batches, candidates, labeling, people, personas, prompts
    from db.session import sessions

    with sessions(url).begin() as session:
        personas.put_persona(
            session,
            slug=PERSONA,
            name="Formal Concierge",
            summary="Courteous.",
            template_sha256="0" * 64,
            front_matter={},
        )
        for number in range(ADAPTERS):
            adapters.put_adapter(session, id=f"adapter-{number}", kind="sft", persona=PERSONA)
        prompt = prompts.put_prompt(session, [{"role": "user", "content": "How do I begin?"}])
        first, second = (
            candidates.put_candidate(
                session,
                prompt_id=prompt.id,
                persona=PERSONA,
                adapter_id=f"adapter-{number}",
                text="You may begin by opening the settings and choosing your language there. " * 3
                + f"({number})",
                sampling={"temperature": 0.9},
                seed=1,
            )
            for number in range(2)
        )
        batch = batches.open_batch(
            session, name="bench", kind="label", persona=PERSONA, overlap=OVERLAP
        )
        batches.put_comparison(session, batch, first, second)
        judge = people.put_annotator(session, "annotator 1")
        for number in range(2, ANNOTATORS + 1):
            people.put_annotator(session, f"annotator {number}")
        shown = labeling.claim(session, judge.id)
        assert shown is not None
        labeling.judge(session, shown.token, judge.id, "a", min_dwell=False)


def _fill(connection: sqlite3.Connection, judged: int) -> None:
    """Copies of the first rows: ``judged`` prompts whose pairs are judged, then the open ones."""
    chance = random.Random(11)
    prompts = judged + OPEN_PROMPTS
    sides = [f"adapter-{number}" for number in range(ADAPTERS) for _ in range(TAKES)]
    # Adapters are asked about each other, never about themselves.
    pairs = [
        (i, j) for i, j in itertools.combinations(range(len(sides)), 2) if sides[i] != sides[j]
    ]
    first_prompt, first_candidate = 10, 10
    _copy(
        connection,
        "prompt",
        (
            {"id": first_prompt + p, "sha256": f"{p:064x}", "messages": _talk(p)}
            for p in range(prompts)
        ),
    )
    _copy(
        connection,
        "candidate",
        (
            {
                "id": first_candidate + p * len(sides) + place,
                "prompt_id": first_prompt + p,
                "adapter_id": side,
                "seed": place,
            }
            for p in range(prompts)
            for place, side in enumerate(sides)
        ),
    )

    def comparisons() -> Iterator[Change]:
        number = 10
        for p in range(prompts):
            done = p < judged
            first = first_candidate + p * len(sides)
            for i, j in chance.sample(pairs, JUDGED_PAIRS if done else OPEN_PAIRS):
                yield {
                    "id": number,
                    "prompt_id": first_prompt + p,
                    "candidate_a_id": first + i,
                    "candidate_b_id": first + j,
                    "seats": 0 if done else OVERLAP,
                }
                number += 1

    _copy(connection, "comparison", comparisons())
    total = judged * JUDGED_PAIRS
    people = range(1, ANNOTATORS + 1)
    seats = [
        (10 + c, annotator) for c in range(total) for annotator in chance.sample(people, OVERLAP)
    ]
    _copy(
        connection,
        "assignment",
        (
            {
                "id": 10 + n,
                "token": secrets.token_urlsafe(32),
                "comparison_id": comparison,
                "annotator_id": annotator,
                "placement": 1 if n % 2 else -1,
            }
            for n, (comparison, annotator) in enumerate(seats)
        ),
    )
    start = datetime.now(UTC).replace(tzinfo=None) - DAYS
    verdicts = chance.choices(("a", "b", "tie", "both_bad"), (45, 38, 14, 3), k=len(seats))
    _copy(
        connection,
        "judgment",
        (
            {
                "id": 10 + n,
                "assignment_id": 10 + n,
                "comparison_id": comparison,
                "annotator_id": annotator,
                "verdict": verdict,
                "strength": 1 + n % 2 if verdict in ("a", "b") else None,
                "placement": 1 if n % 2 else -1,
                "created_at": str(start + n * DAYS / len(seats)),
            }
            for n, ((comparison, annotator), verdict) in enumerate(
                zip(seats, verdicts, strict=True)
            )
        ),
    )


def _talk(number: int) -> str:
    return f'[{{"role": "user", "content": "How do I begin with case {number}?"}}]'


def _copy(connection: sqlite3.Connection, table: str, changes: Iterable[Change]) -> None:
    """Insert copies of the table's first row, each with its changes."""
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY 1 LIMIT 1")
    columns = [description[0] for description in cursor.description]
    template = list(cursor.fetchone())
    where = {name: place for place, name in enumerate(columns)}

    def rows() -> Iterator[list[Any]]:
        for change in changes:
            row = template.copy()
            for name, value in change.items():
                row[where[name]] = value
            yield row

    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows())
