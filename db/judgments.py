"""Standing judgments as one table, and their counts. Reads only; statistics are elsewhere."""

from dataclasses import dataclass
from typing import Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy import Select, String, func, select, type_coerce
from sqlalchemy.orm import Session, aliased

from db.models import (
    Annotator,
    AnnotatorKind,
    Batch,
    BatchKind,
    Candidate,
    Comparison,
    Judgment,
    Retraction,
    Round,
)

COLUMNS = (
    "item_a",
    "item_b",
    "verdict",
    "strength",
    "annotator",
    "annotator_kind",
    "prompt",
    "persona",
    "placement",
    "weight",
    "round",
    "batch",
    "batch_kind",
    "comparison",
    "judgment",
    "created_at",
)
DTYPES = {
    "strength": "Int64",
    "round": "Int64",
    "placement": "int64",
    "weight": "float64",
    "comparison": "int64",
    "judgment": "int64",
    "prompt": "int64",
    "created_at": "datetime64[us, UTC]",
}


@dataclass(frozen=True)
class Counts:
    """What the ledger holds.

    Attributes:
        judgments: Standing judgments.
        simulated: Those of them by simulated annotators.
        automatic: Those of them by automatic judges.
        retracted: Judgments undone or revised.
        annotators: People and others who have a standing judgment.
        comparisons: Comparisons asked.
    """

    judgments: int
    simulated: int
    automatic: int
    retracted: int
    annotators: int
    comparisons: int


def standing_frame(
    session: Session,
    *,
    persona: str | None = None,
    round: int | None = None,
    batch_kind: BatchKind | str | None = None,
    include_simulated: bool = True,
) -> pd.DataFrame:
    """Every standing judgment as a row, in canonical order, by one query.

    Args:
        session: The session; a reader's is best.
        persona: Only of this slug.
        round: Only of the rounds of this number.
        batch_kind: Only of batches of this kind.
        include_simulated: Whether judgments by annotators that are no people come too.

    Returns:
        Columns ``item_a, item_b`` (adapter ids), ``verdict``, ``strength``, ``annotator`` (name),
        ``annotator_kind``, ``prompt`` (id), ``persona``, ``placement`` (+1 canonical A first, −1
        second, 0 unknown), ``weight``, ``round`` (number or missing), ``batch`` (name),
        ``batch_kind``, ``comparison``, ``judgment`` (ids), ``created_at``; by judgment id.
    """
    candidate_a, candidate_b = aliased(Candidate), aliased(Candidate)
    query = (
        _standing(
            candidate_a.adapter_id,
            candidate_b.adapter_id,
            type_coerce(Judgment.verdict, String).label("verdict"),
            Judgment.strength,
            Annotator.name,
            type_coerce(Annotator.kind, String).label("annotator_kind"),
            Comparison.prompt_id,
            Comparison.persona_slug,
            Judgment.placement,
            Judgment.weight,
            Round.number,
            Batch.name,
            type_coerce(Batch.kind, String).label("batch_kind"),
            Judgment.comparison_id,
            Judgment.id,
            Judgment.created_at,
        )
        .join(candidate_a, candidate_a.id == Comparison.candidate_a_id)
        .join(candidate_b, candidate_b.id == Comparison.candidate_b_id)
        .order_by(Judgment.id)
    )
    if persona is not None:
        query = query.where(Comparison.persona_slug == persona)
    if round is not None:
        query = query.where(Round.number == round)
    if batch_kind is not None:
        query = query.where(Batch.kind == BatchKind(batch_kind))
    if not include_simulated:
        query = query.where(Annotator.kind == AnnotatorKind.HUMAN)
    rows = session.execute(query).all()
    columns: Any = zip(*rows, strict=True) if rows else [[] for _ in COLUMNS]
    values: dict[str, Any] = dict(zip(COLUMNS, columns, strict=True))
    return pd.DataFrame(
        {name: pd.Series(values[name], dtype=DTYPES.get(name, "object")) for name in COLUMNS}
    )


def counts(session: Session) -> Counts:
    """How much the ledger holds, counted by the database."""
    by_kind = dict(
        session.execute(_standing(Annotator.kind, func.count()).group_by(Annotator.kind))
        .tuples()
        .all()
    )
    annotators = session.scalar(_standing(func.count(Judgment.annotator_id.distinct())))
    return Counts(
        judgments=sum(by_kind.values()),
        simulated=by_kind.get(AnnotatorKind.SIMULATED, 0),
        automatic=by_kind.get(AnnotatorKind.AUTOMATIC, 0),
        retracted=session.scalar(select(func.count()).select_from(Retraction)) or 0,
        annotators=annotators or 0,
        comparisons=session.scalar(select(func.count()).select_from(Comparison)) or 0,
    )


def _standing(*columns: Any) -> Select[*tuple[Any, ...]]:
    """These columns of judgments that stand, with their comparison, batch, round and annotator."""
    return (
        select(*columns)
        .select_from(Judgment)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .outerjoin(Round, (Round.label_batch_id == Batch.id) | (Round.blind_batch_id == Batch.id))
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(Retraction.judgment_id.is_(None))
    )
