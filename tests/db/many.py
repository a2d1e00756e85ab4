"""A SQLite ledger with as many judgments as wanted, made in bulk."""

import sqlite3
from contextlib import closing
from pathlib import Path

from db.session import close_database, sqlite_file, upgrade

OVERLAP = 3


def fill(url: str, judgments: int, *, annotators: int = 64, still_open: int = 2000) -> list[int]:
    """A ledger with this many judgments and some comparisons still open; the annotators' ids.

    Comparisons are judged by three annotators each, in turn; the last ``still_open`` have one.
    """
    upgrade(url)
    close_database(url)
    path = sqlite_file(url)
    assert isinstance(path, Path)
    comparisons = judgments // OVERLAP + still_open
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        now = "2026-01-01 00:00:00.000000"
        connection.executescript(
            f"""
            PRAGMA synchronous=OFF; PRAGMA cache_size=-400000; BEGIN;
            INSERT INTO adapter (id, kind, base_model, base_model_sha256, path, sha256, parents,
                metrics, config, created_at)
                VALUES ('x', 'external', '', '', '', '', '[]', '{{}}', '{{}}', '{now}'),
                       ('y', 'external', '', '', '', '', '[]', '{{}}', '{{}}', '{now}');
            INSERT INTO batch (id, name, kind, state, overlap, priority, created_at)
                VALUES (1, 'many', 'label', 'open', {OVERLAP}, 0, '{now}');
            CREATE TEMP TABLE n AS WITH RECURSIVE c(i) AS
                (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i + 1 < {comparisons})
                SELECT i FROM c;
            INSERT INTO annotator (id, name, kind, role, active, created_at)
                SELECT i + 1, 'a' || i, 'human', 'evaluator', 1, '{now}' FROM n
                WHERE i < {annotators};
            INSERT INTO prompt (id, sha256, messages, split, source, tags, created_at)
                SELECT i + 1, printf('%064d', i),
                    '[{{"role": "user", "content": "ask ' || i || '"}}]', 'loop', '', '[]', '{now}'
                FROM n WHERE i < 1000;
            INSERT INTO candidate (id, prompt_id, adapter_id, text, sampling, source, created_at)
                SELECT 2 * i + 1, i % 1000 + 1, 'x', 'the first answer ' || i, '{{}}', 's', '{now}'
                FROM n;
            INSERT INTO candidate (id, prompt_id, adapter_id, text, sampling, source, created_at)
                SELECT 2 * i + 2, i % 1000 + 1, 'y', 'the other answer ' || i, '{{}}', 's', '{now}'
                FROM n;
            INSERT INTO comparison (id, batch_id, prompt_id, candidate_a_id, candidate_b_id,
                overlap, seats, created_at)
                SELECT i + 1, 1, i % 1000 + 1, 2 * i + 1, 2 * i + 2, {OVERLAP},
                    CASE WHEN i < {judgments // OVERLAP} THEN 0 ELSE {OVERLAP} - 1 END, '{now}'
                FROM n;
            INSERT INTO assignment (token, comparison_id, annotator_id, attempt, placement, state,
                seat, leased_at, shown_at, expires_at)
                SELECT printf('%040d-%d', i, k.i), n.i + 1, (n.i + k.i) % {annotators} + 1, 1, 1,
                    'judged', 1, '{now}', '{now}', '{now}'
                FROM n, (SELECT i FROM n WHERE i < {OVERLAP}) AS k
                WHERE n.i < {judgments // OVERLAP} OR k.i = 0;
            INSERT INTO judgment (assignment_id, comparison_id, annotator_id, verdict, strength,
                placement, weight, tags, dwell_ms, source, created_at)
                SELECT id, comparison_id, annotator_id, 'a', 1, 1, 1.0, '[]', 5000, 's', '{now}'
                FROM assignment;
            COMMIT; PRAGMA analysis_limit=1000;
            """.replace("printf('%040d-%d', i, k.i)", "printf('%040d-%d', n.i, k.i)")
        )
        return [row[0] for row in connection.execute("SELECT id FROM annotator ORDER BY id")]
