"""How each account can sign in: a password, an account at a provider, a link that waits."""

from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import invites
from db.models import Identity, Password


def ways_in(session: Session, *, now: datetime | None = None) -> dict[int, list[str]]:
    """By annotator: ``password``, a provider's host, ``link``; nobody who has none of them."""
    ways: dict[int, list[str]] = {}
    for who in session.scalars(select(Password.annotator_id)):
        ways.setdefault(who, []).append("password")
    for found in session.scalars(select(Identity).order_by(Identity.id)):
        host = urlsplit(found.issuer).hostname or found.issuer
        if host not in ways.setdefault(found.annotator_id, []):
            ways[found.annotator_id].append(host)
    for waiting in invites.outstanding(session, now=now):
        if "link" not in ways.setdefault(waiting.annotator_id, []):
            ways[waiting.annotator_id].append("link")
    return ways
