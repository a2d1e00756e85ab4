"""Fresh ledgers to prove things on, and what a test can remove from one."""

import re
import sqlite3
from contextlib import closing

from sqlalchemy import text

from db import adapters, batches, candidates, people, prompts
from db.models import BatchKind
from db.session import close_database, open_database, sessions, sqlite_file, upgrade

CONSTRAINTS = {
    "seats": ("comparison", "ck_comparison_seats"),
    "one-judgment": ("judgment", "uq_judgment_assignment_id"),
}


def seed(url: str, *, comparisons: int, overlap: int, annotators: int) -> tuple[int, list[int]]:
    """A migrated ledger with one batch; returns the batch's id and those of its annotators."""
    upgrade(url)
    with sessions(url).begin() as session:
        for name in ("left", "right"):
            adapters.put_adapter(session, id=name, kind="external")
        batch = batches.open_batch(session, name="proof", kind=BatchKind.LABEL, overlap=overlap)
        for number in range(comparisons):
            prompt = prompts.put_prompt(session, [{"role": "user", "content": f"ask {number}"}])
            pair = [
                candidates.put_candidate(
                    session,
                    prompt_id=prompt.id,
                    persona=None,
                    adapter_id=name,
                    text=f"the {name} answer to {number}",
                )
                for name in ("left", "right")
            ]
            batches.put_comparison(session, batch, *pair)
        crowd = [people.put_annotator(session, f"annotator {n}").id for n in range(annotators)]
        return batch.id, crowd


def remove_constraint(url: str, name: str) -> None:
    """Take one of the constraints away that the promises rest on."""
    table, constraint = CONSTRAINTS[name]
    path = sqlite_file(url)
    if path is None:
        with open_database(url).begin() as connection:
            connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}"))
        return
    close_database(url)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = connection.execute(
            "SELECT type, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL", (table,)
        ).fetchall()
        made = next(sql for kind, sql in rows if kind == "table")
        without = re.sub(rf",\s*CONSTRAINT \W?{constraint}\W? (UNIQUE|CHECK) \([^)]*\)", "", made)
        assert without != made, f"{constraint} is not in {made}"
        columns = ", ".join(
            f'"{row[1]}"' for row in connection.execute(f"PRAGMA table_info({table})")
        )
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("PRAGMA legacy_alter_table=ON")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        for kind, sql in rows:
            if kind == "index":
                connection.execute(f"DROP INDEX {sql.split('INDEX ')[1].split()[0]}")
        connection.execute(without)
        connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM old_{table}")
        connection.execute(f"DROP TABLE old_{table}")
        for kind, sql in rows:
            if kind != "table":
                connection.execute(sql)
        connection.execute("COMMIT")
