"""Signed-in browsers: open one, list them, end them. Only hashes of their tokens are kept.

Knows nothing of how somebody proved who they are (``people``, ``passwords``, ``identities``).
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.errors import NotFound
from db.leases import let_go, live_lease, now_or
from db.models import AssignmentState, Login

LOGIN_DAYS = 30
"""How long a browser stays signed in."""


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def open_login(
    session: Session, annotator_id: int, *, token: str = "", now: datetime | None = None
) -> str:
    """Sign a browser in; gives the token that it shows from now on.

    Args:
        session: of the ledger.
        annotator_id: who is signed in.
        token: a secret that the browser has already; empty makes a new one.
        now: the moment, for tests.
    """
    token = token or secrets.token_urlsafe(32)
    session.add(
        Login(
            token_sha256=digest(token),
            annotator_id=annotator_id,
            expires_at=now_or(now) + timedelta(days=LOGIN_DAYS),
        )
    )
    session.flush()
    return token


def live(session: Session, annotator_id: int, *, now: datetime | None = None) -> list[Login]:
    """Where this person is signed in now, the newest first."""
    return list(
        session.scalars(
            select(Login)
            .where(
                Login.annotator_id == annotator_id,
                Login.revoked_at.is_(None),
                Login.expires_at > now_or(now),
            )
            .order_by(Login.id.desc())
        )
    )


def revoke(
    session: Session, annotator_id: int, login_id: int, *, now: datetime | None = None
) -> None:
    """End one of this person's own logins, at once. Safe to repeat.

    Raises:
        NotFound: It is not theirs.
    """
    found = session.get(Login, login_id)
    if found is None or found.annotator_id != annotator_id:
        raise NotFound("that sign-in is not one of yours")
    if found.revoked_at is None:
        found.revoked_at = now_or(now)
    session.flush()
    _free_pair_of_the_absent(session, annotator_id, now)


def revoke_all(
    session: Session, annotator_id: int, *, keep: str = "", now: datetime | None = None
) -> int:
    """End this person's logins, all but the one of the token ``keep``; gives how many ended."""
    ended = 0
    for login in live(session, annotator_id, now=now):
        if not keep or login.token_sha256 != digest(keep):
            login.revoked_at = now_or(now)
            ended += 1
    session.flush()
    _free_pair_of_the_absent(session, annotator_id, now)
    return ended


def free_pair(session: Session, annotator_id: int) -> None:
    """Put the pair that somebody holds back into the queue."""
    held = live_lease(session, annotator_id)
    if held is not None:
        let_go(session, held, AssignmentState.RELEASED)


def _free_pair_of_the_absent(session: Session, annotator_id: int, now: datetime | None) -> None:
    if not live(session, annotator_id, now=now):
        free_pair(session, annotator_id)
