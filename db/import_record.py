"""Remembers in the audit log which file was imported, and knows one by its content again."""

import hashlib
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import audit
from db.command_options import actor
from db.errors import ImportRefused
from db.models import AuditEntry


def record_import(
    session: Session, what: str, file: Path, added: int, *, batch: str | None = ""
) -> None:
    """Write an import into the audit log.

    Args:
        session: The session.
        what: ``judgments``, ``skips``, ``prompts`` or ``comparisons``.
        file: The file.
        added: How many rows were new.
        batch: The batch that was named; None where the file's name is the batch's.

    Raises:
        ImportRefused: The same content was imported under another name, and what was known as that
            file's batch would come a second time.
    """
    act = f"import {what}"
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if added and batch is None:
        for entry in session.scalars(select(AuditEntry).where(AuditEntry.act == act)):
            if entry.detail.get("sha256") == sha256 and entry.subject != file.name:
                raise ImportRefused(
                    f"{file}: was imported as {entry.subject} on {entry.created_at:%Y-%m-%d};"
                    f" to take it once more say which batch with --batch (nothing was imported)"
                )
    audit.record(session, actor(), act, file.name, added=added, sha256=sha256)
