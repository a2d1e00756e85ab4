"""The ledger's adapters as plain rows. Writing them to files is elsewhere."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Adapter, AliasChange, Run, Snapshot

ADAPTER_COLUMNS = {
    "id": "text",
    "persona": "text",
    "kind": "text",
    "incumbent": "truth",
    "base_model": "text",
    "base_model_sha256": "text",
    "sha256": "text",
    "path": "text",
    "parents": "json",
    "run": "integer",
    "snapshot_sha256": "text",
    "metrics": "json",
    "config": "json",
    "created_at": "text",
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
