"""What adjudicators decided: of each pair the latest decision stands. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Adjudication, Annotator, Batch, Comparison, Verdict

AT_ONCE = 400
"""Ids in one statement; databases limit how many values one may have."""


@dataclass(frozen=True)
class Decision:
    """What stands of a pair's adjudications, in canonical order.

    Attributes:
        comparison_id: The pair.
        batch: Its batch's name.
        verdict: The answer.
        strength: 1 or 2; None for tie and both bad.
        by: Who decided.
        note: Why.
        judgments: How many judgments stood then.
        created_at: When (UTC).
    """

    comparison_id: int
    batch: str
    verdict: Verdict
    strength: int | None
    by: str
    note: str
    judgments: int
    created_at: datetime


def decisions(
    session: Session, comparisons: Sequence[int] | None = None, *, limit: int | None = None
) -> list[Decision]:
    """The decisions that stand, newest first; of these pairs, or of all."""
    found: list[Decision] = []
    for some in _chunks(comparisons):
        query = (
            select(Adjudication, Annotator.name, Batch.name)
            .join(Annotator, Annotator.id == Adjudication.annotator_id)
            .join(Comparison, Comparison.id == Adjudication.comparison_id)
            .join(Batch, Batch.id == Comparison.batch_id)
            .where(Adjudication.id.in_(newest_ids(some)))
            .order_by(Adjudication.id.desc())
            .limit(limit)
        )
        found += [
            Decision(
                comparison_id=row.comparison_id,
                batch=batch,
                verdict=row.verdict,
                strength=row.strength,
                by=by,
                note=row.note,
                judgments=len(row.judgments),
                created_at=row.created_at,
            )
            for row, by, batch in session.execute(query).tuples()
        ]
    return found


def latest(session: Session, comparisons: Sequence[int] | None = None) -> dict[int, Adjudication]:
    """The row that stands of each pair; of these pairs, or of all."""
    found: dict[int, Adjudication] = {}
    for some in _chunks(comparisons):
        query = select(Adjudication).where(Adjudication.id.in_(newest_ids(some)))
        found.update((row.comparison_id, row) for row in session.scalars(query))
    return found


def newest_ids(comparisons: Sequence[int] | None = None) -> Any:
    """A query of the ids of the adjudications that stand; of these pairs, or of all."""
    query = select(func.max(Adjudication.id)).group_by(Adjudication.comparison_id)
    return (
        query if comparisons is None else query.where(Adjudication.comparison_id.in_(comparisons))
    )


def _chunks(comparisons: Sequence[int] | None) -> list[Sequence[int] | None]:
    if comparisons is None:
        return [None]
    return [comparisons[at : at + AT_ONCE] for at in range(0, len(comparisons), AT_ONCE)]
