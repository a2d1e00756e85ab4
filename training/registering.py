"""Puts an adapter folder into the ledger: what its card says, and where it lies.

Knows cards and the registry. Does not know how the adapter was made.
"""

from pathlib import Path

from sqlalchemy.orm import Session

from db import adapters
from db.models import Adapter
from training.adapters import AdapterCard, portable


def register(
    session: Session, card: AdapterCard, folder: Path, *, run_id: int | None = None
) -> Adapter:
    """The ledger's row of an adapter, made or found.

    Args:
        session: the session.
        card: adapter.json as it was read or written.
        folder: where the adapter lies.
        run_id: the run that made it; None where the ledger has none.
    """
    return adapters.put_adapter(
        session,
        id=card.id,
        kind=card.kind,
        persona=card.persona,
        base_model=card.base_model,
        base_model_sha256=card.base_model_sha256,
        path=portable(folder),
        sha256=card.sha256,
        parents=card.parents,
        run_id=run_id,
        metrics=card.metrics,
        config=card.config,
        service=card.service,
    )
