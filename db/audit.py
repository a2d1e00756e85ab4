"""The append-only log of administrative acts. Knows no act by itself."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import AuditEntry


def record(session: Session, actor: str, act: str, subject: str = "", **detail: Any) -> AuditEntry:
    """Write down who did what to whom. ``detail`` must be JSON."""
    entry = AuditEntry(actor=actor[:120], act=act[:64], subject=subject[:200], detail=detail)
    session.add(entry)
    session.flush()
    return entry


def entries(session: Session, *, limit: int = 200) -> list[AuditEntry]:
    """The latest acts, newest first."""
    return list(session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)))
