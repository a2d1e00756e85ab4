"""From judgments to the adapters that they trained, and from a snapshot to its judgments.

Reads only. Knows snapshots and runs; which adapter comes from which is ``db.lineage``.
"""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import (
    Adapter,
    Annotator,
    Comparison,
    Judgment,
    Run,
    SnapshotJudgment,
)

AT_ONCE = 500
"""Judgments asked for by one statement."""


def trained_by(session: Session, judgment_ids: Collection[int]) -> dict[int, list[str]]:
    """Adapters that each judgment trained, oldest first: it is in the snapshot of their run.

    Counterfactuals, which answer nothing, are left out.
    """
    found: dict[int, list[str]] = {}
    ids = sorted(judgment_ids)
    for start in range(0, len(ids), AT_ONCE):
        rows = session.execute(
            select(SnapshotJudgment.judgment_id, Adapter.id, Run.excluded)
            .join(Run, Run.snapshot_id == SnapshotJudgment.snapshot_id)
            .join(Adapter, Adapter.run_id == Run.id)
            .where(SnapshotJudgment.judgment_id.in_(ids[start : start + AT_ONCE]))
            .order_by(SnapshotJudgment.judgment_id, Adapter.created_at, Adapter.id)
        ).tuples()
        for judgment, adapter_id, without in rows:
            if not without:
                found.setdefault(judgment, []).append(adapter_id)
    return found


def comparisons_of(
    session: Session, snapshot_id: int, *, offset: int = 0, limit: int = 10
) -> tuple[int, list[dict[str, Any]]]:
    """The comparisons behind a snapshot, by id, with the judgments that are in it.

    Returns:
        How many there are, and of the asked ones ``comparison``, ``batch``, ``messages``,
        ``text_a``, ``text_b``, ``adapter_a``, ``adapter_b`` and ``judgments``: ``id``,
        ``annotator``, ``kind``, ``verdict``, ``strength``, ``at``.
    """
    inside = (
        select(Judgment.comparison_id)
        .join(SnapshotJudgment, SnapshotJudgment.judgment_id == Judgment.id)
        .where(SnapshotJudgment.snapshot_id == snapshot_id)
        .distinct()
    )
    total = session.scalar(select(func.count()).select_from(inside.subquery())) or 0
    chosen = inside.order_by(Judgment.comparison_id).offset(offset).limit(limit)
    shown = list(
        session.scalars(
            select(Comparison)
            .where(Comparison.id.in_(list(session.scalars(chosen))))
            .order_by(Comparison.id)
        )
    )
    said = _said(session, snapshot_id, [each.id for each in shown])
    return total, [
        {
            "comparison": each.id,
            "batch": each.batch.name,
            "messages": list(each.prompt.messages),
            "text_a": each.candidate_a.text,
            "text_b": each.candidate_b.text,
            "adapter_a": each.candidate_a.adapter_id,
            "adapter_b": each.candidate_b.adapter_id,
            "judgments": said.get(each.id, []),
        }
        for each in shown
    ]


def _said(
    session: Session, snapshot_id: int, comparisons: Iterable[int]
) -> dict[int, list[dict[str, Any]]]:
    rows = session.execute(
        select(Judgment, Annotator.name, Annotator.kind)
        .join(SnapshotJudgment, SnapshotJudgment.judgment_id == Judgment.id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .where(
            SnapshotJudgment.snapshot_id == snapshot_id,
            Judgment.comparison_id.in_(list(comparisons)),
        )
        .order_by(Judgment.id)
    ).tuples()
    found: dict[int, list[dict[str, Any]]] = {}
    for judgment, name, kind in rows:
        found.setdefault(judgment.comparison_id, []).append(
            {
                "id": judgment.id,
                "annotator": name,
                "kind": kind.value,
                "verdict": judgment.verdict.value,
                "strength": judgment.strength,
                "at": judgment.created_at,
            }
        )
    return found
