"""What the ledger says of the judgments that a persona could be trained on now.

Reads only, no texts. What is asked of them is in ``preference.readiness``; which judgments may
train is decided in ``db.snapshots``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from db import gold, snapshots
from db.models import (
    AnnotatorKind,
    Batch,
    Candidate,
    Comparison,
    Judgment,
    Retraction,
    Verdict,
)
from preference.readiness import Evidence

PART = 5000
"""Judgments read by one query."""


def usable(session: Session, persona: str, *, include_simulated: bool = False) -> list[int]:
    """Ids of the standing judgments that may train a persona, ascending."""
    return [
        one[0]
        for one in snapshots.eligible(session, persona)
        if include_simulated or one[1] is AnnotatorKind.HUMAN
    ]


def evidence(
    session: Session,
    persona: str,
    *,
    include_simulated: bool = False,
    weights: Mapping[int, float] | None = None,
) -> Evidence:
    """The judgments that may train a persona, as the readiness gate asks for them.

    Args:
        session: The session.
        persona: Slug.
        include_simulated: Whether judgments by annotators that are no people count too.
        weights: By annotator id; who is not in it weighs 1.
    """
    rows = _rows(session, usable(session, persona, include_simulated=include_simulated))
    trust = weights or {}
    people = {row[1] for row in rows}
    known = [told for who, told in gold.scores(session).items() if who in people]
    return Evidence(
        verdict=[row[0].value for row in rows],
        annotator=[row[1] for row in rows],
        comparison=[row[2] for row in rows],
        placement=[row[3] for row in rows],
        weight=[row[4] * trust.get(row[1], 1.0) for row in rows],
        item_a=[row[5] for row in rows],
        item_b=[row[6] for row in rows],
        links=_links(session, persona),
        gold_right=sum(right for right, _ in known),
        gold_answers=sum(answers for _, answers in known),
    )


def _rows(session: Session, ids: Sequence[int]) -> list[Any]:
    """Verdict, annotator, comparison, placement, weight and who wrote A and B, by id."""
    if not ids:
        return []
    one, other = aliased(Candidate), aliased(Candidate)
    query = (
        select(
            Judgment.verdict,
            Judgment.annotator_id,
            Judgment.comparison_id,
            Judgment.placement,
            Judgment.weight,
            one.adapter_id,
            other.adapter_id,
        )
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(one, one.id == Comparison.candidate_a_id)
        .join(other, other.id == Comparison.candidate_b_id)
        .order_by(Judgment.id)
    )
    found: list[Any] = []
    for start in range(0, len(ids), PART):
        found += session.execute(query.where(Judgment.id.in_(ids[start : start + PART]))).tuples()
    return found


def _links(session: Session, persona: str) -> list[tuple[str, str]]:
    """Pairs of adapters that any standing judgment of the persona compared, blind ones included."""
    one, other = aliased(Candidate), aliased(Candidate)
    query = (
        select(one.adapter_id, other.adapter_id)
        .select_from(Judgment)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(one, one.id == Comparison.candidate_a_id)
        .join(other, other.id == Comparison.candidate_b_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(
            Retraction.judgment_id.is_(None),
            Comparison.persona_slug == persona,
            Judgment.verdict != Verdict.BOTH_BAD,
            one.adapter_id != other.adapter_id,
            Batch.purpose != snapshots.GOLD,
        )
        .distinct()
    )
    return [row.tuple() for row in session.execute(query)]
