"""The append-only log of administrative acts. Knows no act by itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from db.failure_words import matching
from db.models import AuditEntry
from db.session import transact

COLUMNS = ("created_at", "actor", "act", "subject", "detail")


@dataclass(frozen=True)
class Asked:
    """Which acts are looked for; what is None or empty does not narrow.

    Attributes:
        actor: Exactly this actor.
        act: Exactly this act.
        subject: Words in the subject.
        since: Not before (UTC).
        until: Before (UTC).
    """

    actor: str | None = None
    act: str | None = None
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None


def record(session: Session, actor: str, act: str, subject: str = "", **detail: Any) -> AuditEntry:
    """Write down who did what to whom. ``detail`` must be JSON."""
    entry = AuditEntry(actor=actor[:120], act=act[:64], subject=subject[:200], detail=detail)
    session.add(entry)
    session.flush()
    return entry


def record_now(url: str | None, actor: str, act: str, subject: str = "", **detail: Any) -> None:
    """The same in a transaction of its own, for acts that are no change of the ledger's rows."""

    def work(session: Session) -> None:
        record(session, actor, act, subject, **detail)

    transact(url, work)


def entries(
    session: Session, asked: Asked | None = None, *, limit: int | None = 200, offset: int = 0
) -> list[AuditEntry]:
    """The acts that are asked for, newest first."""
    query = _narrowed(select(AuditEntry), asked).order_by(AuditEntry.id.desc())
    return list(session.scalars(query.limit(limit).offset(offset)))


def count(session: Session, asked: Asked | None = None) -> int:
    """How many acts are asked for."""
    query = _narrowed(select(func.count()).select_from(AuditEntry), asked)
    return session.scalar(query) or 0


def actors(session: Session) -> list[str]:
    """Who ever did something, by name."""
    query = select(AuditEntry.actor).distinct().order_by(AuditEntry.actor)
    return list(session.scalars(query))


def acts(session: Session) -> list[str]:
    """What was ever done, by name."""
    return list(session.scalars(select(AuditEntry.act).distinct().order_by(AuditEntry.act)))


def rows(found: Iterable[AuditEntry]) -> list[dict[str, Any]]:
    """Acts as plain rows of ``COLUMNS``, for files."""
    return [
        {
            "created_at": each.created_at.isoformat(),
            "actor": each.actor,
            "act": each.act,
            "subject": each.subject,
            "detail": dict(each.detail or {}),
        }
        for each in found
    ]


def _narrowed(query: Select[Any], asked: Asked | None) -> Select[Any]:
    if asked is None:
        return query
    if asked.actor:
        query = query.where(AuditEntry.actor == asked.actor)
    if asked.act:
        query = query.where(AuditEntry.act == asked.act)
    if asked.subject:
        query = query.where(matching(AuditEntry.subject, asked.subject))
    if asked.since is not None:
        query = query.where(AuditEntry.created_at >= asked.since)
    if asked.until is not None:
        query = query.where(AuditEntry.created_at < asked.until)
    return query
