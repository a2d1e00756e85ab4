"""Accounts at an OpenID provider that sign people in here, by issuer and subject, never by name.

An identity is bound by somebody who is signed in (an invite link or a password came first), or by
an admin. Knows nothing of the protocol: what the provider said was verified before.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db import logins
from db.errors import Refused
from db.models import Annotator, AnnotatorKind, Identity, Login
from db.people import person

EMAIL = "email:"
"""A subject that starts so waits for the first sign-in with that address, then becomes its own."""
LONGEST = 300


@dataclass(frozen=True)
class Claims:
    """What a provider says of somebody: verified, and nothing of it is trusted as a name here."""

    issuer: str
    subject: str
    email: str
    key: str
    """A secret of this one sign-in at the provider: another sign-in has another."""


def claims_of(said: Mapping[str, Any]) -> Claims | None:
    """Read the claims of an ID token; None where it does not say who somebody is.

    An address counts only where the provider says that it verified it.
    """
    issuer, subject = str(said.get("iss") or ""), str(said.get("sub") or "")
    if not issuer or not subject or max(len(issuer), len(subject)) > LONGEST:
        return None
    once = "\n".join(str(said.get(part) or "") for part in ("iss", "sub", "iat", "nonce"))
    verified = said.get("email_verified") is True
    return Claims(
        issuer,
        subject,
        str(said.get("email") or "").strip().lower() if verified else "",
        "openid " + hashlib.sha256(once.encode("utf-8", "replace")).hexdigest(),
    )


def link(
    session: Session, name: str, issuer: str, *, subject: str = "", email: str = ""
) -> Identity:
    """Let an account at a provider sign ``name`` in; by address it is bound at its first sign-in.

    Raises:
        NotFound: There is nobody of this name.
        Refused: Neither or both are given, or it signs in somebody else.
    """
    if bool(subject) == bool(email):
        raise Refused("give either the subject or the email address of the account to link")
    if subject.startswith(EMAIL):
        raise Refused(f"a subject does not start with {EMAIL}")
    who = person(session, name)
    if who.kind is not AnnotatorKind.HUMAN:
        raise Refused(f"{who.name!r} is a {who.kind.value} annotator; only people sign in")
    wanted = subject or EMAIL + email.strip().lower()
    if not issuer.startswith(("https://", "http://")) or max(len(issuer), len(wanted)) > LONGEST:
        raise Refused("the issuer is an address as in the provider's ID tokens, https://…")
    found = _identity(session, issuer, wanted)
    if found is None:
        found = Identity(annotator_id=who.id, issuer=issuer, subject=wanted)
        session.add(found)
        session.flush()
    elif found.annotator_id != who.id:
        raise Refused("this account at the provider signs in somebody else here; unlink it first")
    return found


def unlink(session: Session, name: str, *, issuer: str = "") -> int:
    """Take a person's identities away (of one issuer or all) and sign them out everywhere.

    Raises:
        NotFound: There is nobody of this name.
    """
    who = person(session, name)
    gone = delete(Identity).where(Identity.annotator_id == who.id)
    if issuer:
        gone = gone.where(Identity.issuer == issuer)
    count = len(list(session.scalars(gone.returning(Identity.id))))
    if count:
        logins.revoke_all(session, who.id)
    return count


def identities(session: Session, annotator_id: int) -> list[Identity]:
    """What signs this person in, the oldest first."""
    return list(
        session.scalars(
            select(Identity).where(Identity.annotator_id == annotator_id).order_by(Identity.id)
        )
    )


def whose(session: Session, claims: Claims) -> Annotator | None:
    """Whom this account at the provider, or its verified address, would sign in."""
    found = _bound(session, claims)
    return None if found is None else session.get_one(Annotator, found.annotator_id)


def known(session: Session, claims: Claims) -> bool:
    """Whether this one sign-in at the provider was turned into a login before, ended or not."""
    return session.scalar(_login(claims)) is not None


def enter(session: Session, claims: Claims, *, now: datetime | None = None) -> str | None:
    """Turn a sign-in at the provider into a login here, once; None for an unknown identity.

    The same sign-in never opens a second login, so that a login that was ended stays ended until
    its person signs in at the provider again.
    """
    found = _bound(session, claims, lock=True)
    if known(session, claims):
        return claims.key
    if found is None or not session.get_one(Annotator, found.annotator_id).active:
        return None
    found.subject = claims.subject
    return logins.open_login(session, found.annotator_id, token=claims.key, now=now)


def _login(claims: Claims) -> Any:
    return select(Login.id).where(Login.token_sha256 == logins.digest(claims.key))


def _bound(session: Session, claims: Claims, *, lock: bool = False) -> Identity | None:
    if claims.subject.startswith(EMAIL):
        return None
    found = _identity(session, claims.issuer, claims.subject, lock=lock)
    if found is None and claims.email:
        found = _identity(session, claims.issuer, EMAIL + claims.email, lock=lock)
    return found


def _identity(
    session: Session, issuer: str, subject: str, *, lock: bool = False
) -> Identity | None:
    """The identity; locked, two tabs of one sign-in take turns."""
    query = select(Identity).where(Identity.issuer == issuer, Identity.subject == subject)
    if lock:
        query = query.with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))
