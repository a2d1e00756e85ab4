"""The ledger's judgments and adapters as plain rows. Writing them to files is elsewhere.

Rows are in canonical order with full provenance, and hold no id that only this ledger knows, so
that the rows of a ledger made from them are the same.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db.models import (
    Adapter,
    AliasChange,
    Annotator,
    AnnotatorKind,
    Assignment,
    Batch,
    Candidate,
    Comparison,
    Judgment,
    Persona,
    Prompt,
    Retraction,
    Round,
    Run,
    Snapshot,
)

JUDGMENT_COLUMNS = (
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
    "comment",
    "tags",
    "in_character",
    "helpful",
    "safe",
    "flag",
    "dwell_ms",
    "created_at",
    "batch",
    "batch_kind",
    "batch_purpose",
    "round",
    "gold",
    "retracted",
    "retracted_at",
    "judgment",
    "source",
    "external_id",
    "comparison_external_id",
    "messages",
    "text_a",
    "text_b",
    "prompt_split",
    "prompt_source",
    "persona_name",
    "kind_a",
    "kind_b",
    "seed_a",
    "seed_b",
    "sampling_a",
    "sampling_b",
    "source_a",
    "source_b",
    "stop_reason_a",
    "stop_reason_b",
)
ADAPTER_COLUMNS = (
    "id",
    "persona",
    "kind",
    "incumbent",
    "base_model",
    "base_model_sha256",
    "sha256",
    "path",
    "parents",
    "run",
    "snapshot_sha256",
    "metrics",
    "config",
    "created_at",
)


def judgment_rows(
    session: Session,
    *,
    persona: str | None = None,
    people_only: bool = False,
    history: bool = False,
) -> Iterator[dict[str, Any]]:
    """Judgments by id, one dict of ``JUDGMENT_COLUMNS`` each.

    Args:
        session: The session; a reader's is best.
        persona: Only of this slug.
        people_only: Leave out simulated and automatic annotators.
        history: Also those that were undone or revised (``retracted`` says which).
    """
    one, other = aliased(Candidate), aliased(Candidate)
    adapter_a, adapter_b = aliased(Adapter), aliased(Adapter)
    query = (
        select(
            Judgment,
            Comparison.gold,
            Comparison.external_id,
            Annotator.name,
            Annotator.kind,
            Batch.name,
            Batch.kind,
            func.coalesce(Round.number, Batch.round_number),
            Persona,
            Prompt,
            one,
            other,
            adapter_a.kind,
            adapter_b.kind,
            Assignment.token,
            Retraction,
            Batch.purpose,
        )
        .select_from(Judgment)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(one, one.id == Comparison.candidate_a_id)
        .join(other, other.id == Comparison.candidate_b_id)
        .join(adapter_a, adapter_a.id == one.adapter_id)
        .join(adapter_b, adapter_b.id == other.adapter_id)
        .outerjoin(Persona, Persona.slug == Comparison.persona_slug)
        .outerjoin(Round, (Round.label_batch_id == Batch.id) | (Round.blind_batch_id == Batch.id))
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .order_by(Judgment.id)
        .execution_options(yield_per=2000)
    )
    if persona is not None:
        query = query.where(Comparison.persona_slug == persona)
    if people_only:
        query = query.where(Annotator.kind == AnnotatorKind.HUMAN)
    if not history:
        query = query.where(Retraction.judgment_id.is_(None))
    for row in session.execute(query):
        judgment, gold, pair_id, name, kind, batch, batch_kind, number = row[:8]
        speaker, prompt, a, b, kind_a, kind_b, token, retraction, purpose = row[8:]
        yield {
            "item_a": a.adapter_id,
            "item_b": b.adapter_id,
            "verdict": judgment.verdict.value,
            "strength": judgment.strength,
            "annotator": name,
            "annotator_kind": kind.value,
            "prompt": prompt.sha256,
            "persona": speaker.slug if speaker else None,
            "placement": judgment.placement,
            "weight": judgment.weight,
            "comment": judgment.comment,
            "tags": list(judgment.tags),
            "in_character": judgment.in_character,
            "helpful": judgment.helpful,
            "safe": judgment.safe,
            "flag": judgment.flag,
            "dwell_ms": judgment.dwell_ms,
            "created_at": judgment.created_at.isoformat(),
            "batch": batch,
            "batch_kind": batch_kind.value,
            "batch_purpose": purpose,
            "round": number,
            "gold": gold.value if gold else None,
            "retracted": retraction.reason if retraction else None,
            "retracted_at": retraction.created_at.isoformat() if retraction else None,
            "judgment": token,
            "source": judgment.source,
            "external_id": judgment.external_id,
            "comparison_external_id": pair_id,
            "messages": list(prompt.messages),
            "text_a": a.text,
            "text_b": b.text,
            "prompt_split": prompt.split,
            "prompt_source": prompt.source,
            "persona_name": speaker.name if speaker else None,
            "kind_a": kind_a.value,
            "kind_b": kind_b.value,
            "seed_a": a.seed,
            "seed_b": b.seed,
            "sampling_a": a.sampling,
            "sampling_b": b.sampling,
            "source_a": a.source,
            "source_b": b.source,
            "stop_reason_a": a.stop_reason,
            "stop_reason_b": b.stop_reason,
        }


def adapter_rows(session: Session, *, persona: str | None = None) -> Iterator[dict[str, Any]]:
    """Adapters in the order they came, with where each comes from."""
    newest: dict[str, str] = {}
    for change in session.scalars(select(AliasChange).order_by(AliasChange.id)):
        newest[change.persona_slug] = change.adapter_id
    query = (
        select(Adapter, Snapshot.sha256)
        .outerjoin(Run, Run.id == Adapter.run_id)
        .outerjoin(Snapshot, Snapshot.id == Run.snapshot_id)
        .order_by(Adapter.created_at, Adapter.id)
    )
    if persona is not None:
        query = query.where(Adapter.persona_slug == persona)
    for adapter, snapshot in session.execute(query).tuples():
        yield {
            "id": adapter.id,
            "persona": adapter.persona_slug,
            "kind": adapter.kind.value,
            "incumbent": newest.get(adapter.persona_slug or "") == adapter.id,
            "base_model": adapter.base_model,
            "base_model_sha256": adapter.base_model_sha256,
            "sha256": adapter.sha256,
            "path": adapter.path,
            "parents": list(adapter.parents),
            "run": adapter.run_id,
            "snapshot_sha256": snapshot,
            "metrics": adapter.metrics,
            "config": adapter.config,
            "created_at": adapter.created_at.isoformat(),
        }
