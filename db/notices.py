"""What an admin should know and can put away. Knows no reason by itself and no page."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.clock import utcnow
from db.errors import NotFound
from db.models import Notice


def tell(
    session: Session, kind: str, subject: str, text: str, *, now: datetime | None = None
) -> Notice:
    """Tell admins something; one notice of a kind and subject is open at a time, its text the last.

    Args:
        session: The session.
        kind: What sort of thing (``paused``, ``set aside``, ``flag`` …).
        subject: What it is about. Of a person the id (``annotator 12``), so that no name is kept.
        text: A sentence.
        now: The moment (UTC); None for the present.
    """
    found = session.scalar(
        select(Notice).where(
            Notice.seen_at.is_(None), Notice.kind == kind[:32], Notice.subject == subject[:200]
        )
    )
    if found is None:
        found = Notice(kind=kind[:32], subject=subject[:200], text=text)
        session.add(found)
    found.text = text
    found.created_at = now or utcnow()
    session.flush()
    return found


def open_(session: Session, kind: str | None = None) -> list[Notice]:
    """What nobody has put away yet, newest first; of one kind or all."""
    query = select(Notice).where(Notice.seen_at.is_(None))
    if kind is not None:
        query = query.where(Notice.kind == kind)
    return list(session.scalars(query.order_by(Notice.created_at.desc(), Notice.id.desc())))


def put_away(
    session: Session, notice_id: int, actor: str, *, now: datetime | None = None
) -> Notice:
    """Put a notice away. Safe to repeat; who was first is kept.

    Raises:
        NotFound: There is no such notice.
    """
    found = session.get(Notice, notice_id)
    if found is None:
        raise NotFound(f"there is no notice {notice_id}")
    if found.seen_at is None:
        found.seen_at = now or utcnow()
        found.seen_by = actor[:120]
        session.flush()
    return found


def put_away_about(
    session: Session, kind: str, subject: str, actor: str, *, now: datetime | None = None
) -> None:
    """Put away what is open of one kind about one subject, because it was dealt with."""
    for each in open_(session, kind):
        if each.subject == subject:
            put_away(session, each.id, actor, now=now)
