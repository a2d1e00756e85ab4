"""What gold reads like, and which judged pairs are fit to become gold. Knows no page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db.gold import PURPOSE
from db.models import (
    Annotator,
    AnnotatorKind,
    Batch,
    Candidate,
    Comparison,
    Judgment,
    Prompt,
    Retraction,
    Verdict,
)

LEAST = 3
"""People who must have said the same before a pair may become gold."""


@dataclass(frozen=True)
class Pair:
    """A comparison as an admin reads it, in canonical order.

    Attributes:
        comparison_id: Its id.
        batch: The batch's name.
        persona: Slug, or None.
        messages: The conversation.
        text_a: The one text.
        text_b: The other.
    """

    comparison_id: int
    batch: str
    persona: str | None
    messages: list[dict[str, Any]]
    text_a: str
    text_b: str


@dataclass(frozen=True)
class Agreed:
    """A judged pair about which all people said the same.

    Attributes:
        pair: What was compared.
        verdict: What they said, in canonical order.
        people: How many said it.
    """

    pair: Pair
    verdict: Verdict
    people: int


def pairs(session: Session, ids: Sequence[int]) -> dict[int, Pair]:
    """The texts of some comparisons (a few dozen), by id."""
    a, b = aliased(Candidate), aliased(Candidate)
    rows = session.execute(
        select(Comparison.id, Batch.name, Comparison.persona_slug, Prompt.messages, a.text, b.text)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(a, a.id == Comparison.candidate_a_id)
        .join(b, b.id == Comparison.candidate_b_id)
        .where(Comparison.id.in_(ids))
    ).tuples()
    return {row[0]: Pair(row[0], row[1], row[2], list(row[3]), row[4], row[5]) for row in rows}


def agreed(session: Session, *, least: int = LEAST, limit: int = 10) -> list[Agreed]:
    """Judged pairs of work about which every person said the same, and that are no gold yet.

    Args:
        session: A reader's.
        least: Standing judgments of people, at least.
        limit: At most so many, the oldest comparisons first.
    """
    gold = {
        (a, b)
        for a, b in session.execute(
            select(Comparison.candidate_a_id, Comparison.candidate_b_id)
            .join(Batch, Batch.id == Comparison.batch_id)
            .where(Batch.purpose == PURPOSE)
        ).tuples()
    }
    said, most = func.min(Judgment.verdict), func.max(Judgment.verdict)
    how_many = func.count()
    same = (
        select(Judgment.comparison_id, said.label("said"), how_many.label("n"))
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(Retraction.judgment_id.is_(None), Annotator.kind == AnnotatorKind.HUMAN)
        .group_by(Judgment.comparison_id)
        .having(how_many >= least, said == most)
        .subquery()
    )
    rows = session.execute(
        select(
            Comparison.id,
            Comparison.candidate_a_id,
            Comparison.candidate_b_id,
            same.c.said,
            same.c.n,
        )
        .join(same, same.c.comparison_id == Comparison.id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .where(Batch.purpose == "work", Comparison.gold.is_(None), Comparison.overlap > 0)
        .order_by(Comparison.id)
        .limit(limit + len(gold))
    ).tuples()
    chosen = [(id, said, n) for id, a, b, said, n in rows if (a, b) not in gold][:limit]
    texts = pairs(session, [id for id, _, _ in chosen])
    return [Agreed(texts[id], Verdict(said), n) for id, said, n in chosen]
