"""Accounts: who may sign in and what they may do. Tokens are shown once; only hashes are kept."""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from db.errors import NotFound, Refused
from db.leases import now_or
from db.logins import digest, free_pair, open_login
from db.models import (
    Annotator,
    AnnotatorKind,
    Identity,
    Invite,
    Login,
    Password,
    Role,
)


def put_annotator(
    session: Session,
    name: str,
    *,
    kind: AnnotatorKind | str = AnnotatorKind.HUMAN,
    role: Role | str = Role.EVALUATOR,
) -> Annotator:
    """Add an annotator, or find the one of this name.

    Raises:
        Refused: The name is empty, too long, or taken by an annotator of another kind.
    """
    wanted = name.strip()
    if not wanted or len(wanted) > 120:
        raise Refused("a name has 1 to 120 characters")
    found = session.scalar(select(Annotator).where(Annotator.name == wanted))
    if found is not None:
        if found.kind != kind:
            raise Refused(f"{wanted!r} is a {found.kind.value} annotator; choose another name")
        return found
    made = Annotator(name=wanted, kind=AnnotatorKind(kind), role=Role(role))
    session.add(made)
    session.flush()
    return made


def invite(
    session: Session,
    name: str,
    role: Role | str | None = None,
    *,
    valid: timedelta = timedelta(days=7),
    now: datetime | None = None,
) -> str:
    """A one-time token that signs this person in; makes the account where there is none.

    Args:
        session: of the ledger.
        name: who is invited.
        role: what the person may do from now on; None makes a new account an evaluator and lets
            one that exists keep its role.
        valid: how long the token can be used.
        now: the moment, for tests.

    Raises:
        Refused: The name is not usable or the account is switched off.
    """
    person = put_annotator(session, name, role=role or Role.EVALUATOR)
    if not person.active:
        raise Refused(
            f"{person.name} is switched off; `personaloop users activate {person.name!r}` first"
        )
    if role is not None:
        person.role = Role(role)
    token = secrets.token_urlsafe(32)
    session.add(
        Invite(
            token_sha256=digest(token),
            annotator_id=person.id,
            expires_at=now_or(now) + valid,
        )
    )
    session.flush()
    return token


def redeem(session: Session, token: str, *, now: datetime | None = None) -> str:
    """Turn an invitation into a login token, once.

    Raises:
        Refused: It was used, taken back, ran out, was never given, or the account is switched off.
    """
    moment = now_or(now)
    found = session.scalar(
        select(Invite)
        .where(Invite.token_sha256 == digest(token))
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise Refused("This invitation is not valid. Ask for a new one.")
    if found.revoked_at is not None:
        raise Refused("This invitation was taken back. Ask for a new one.")
    if found.expires_at < moment:
        raise Refused("This invitation has run out. Ask for a new one.")
    used = session.execute(
        update(Invite)
        .where(Invite.id == found.id, Invite.used_at.is_(None), Invite.revoked_at.is_(None))
        .values(used_at=moment)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(used, CursorResult)
    if used.rowcount != 1:
        raise Refused("This invitation was used already. Ask for a new one.")
    if not session.get_one(Annotator, found.annotator_id).active:
        raise Refused("This account is switched off. Ask the person who invited you.")
    return open_login(session, found.annotator_id, now=moment)


def who(session: Session, login_token: str, *, now: datetime | None = None) -> Annotator | None:
    """The active person behind a login token, freshly read; None when it signs nobody in."""
    if not login_token:
        return None
    return session.scalar(
        select(Annotator)
        .join(Login, Login.annotator_id == Annotator.id)
        .where(
            Login.token_sha256 == digest(login_token),
            Login.revoked_at.is_(None),
            Login.expires_at > now_or(now),
            Annotator.active,
        )
        .execution_options(populate_existing=True)
    )


def sign_out(session: Session, login_token: str, *, now: datetime | None = None) -> None:
    """Revoke a login; the pair that its person holds goes back to the queue. Safe to repeat."""
    moment = now_or(now)
    person = who(session, login_token, now=moment)
    session.execute(
        update(Login)
        .where(Login.token_sha256 == digest(login_token), Login.revoked_at.is_(None))
        .values(revoked_at=moment)
        .execution_options(synchronize_session=False)
    )
    if person is not None:
        free_pair(session, person.id)


def set_active(session: Session, name: str, active: bool) -> Annotator:
    """Switch an account on or off; off takes effect at once and frees the pair it holds.

    Raises:
        NotFound: There is no account of this name.
    """
    found = person(session, name)
    found.active = active
    session.flush()
    if not active:
        free_pair(session, found.id)
    return found


def set_role(session: Session, name: str, role: Role | str) -> Annotator:
    """Change what an account may do, at once.

    Raises:
        NotFound: There is no account of this name.
    """
    found = person(session, name)
    found.role = Role(role)
    session.flush()
    return found


def person(session: Session, name: str) -> Annotator:
    """One account by name.

    Raises:
        NotFound: There is none.
    """
    found = session.scalar(
        select(Annotator)
        .where(Annotator.name == name.strip())
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound(f"there is nobody called {name!r}; `personaloop users list` shows everybody")
    return found


def ever_invited() -> ColumnElement[bool]:
    """Whether an annotator of the outer query was ever given a way to sign in."""
    return or_(
        *(Annotator.id.in_(select(way.annotator_id)) for way in (Invite, Password, Identity))
    )


def people(session: Session, *, invited: bool = False) -> list[Annotator]:
    """Every annotator by name, or only those ever given a way in (imports bring crowds)."""
    query = select(Annotator).order_by(Annotator.name)
    if invited:
        query = query.where(ever_invited())
    return list(session.scalars(query))
