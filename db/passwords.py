"""Passwords of local accounts, kept as argon2id hashes (RFC 9106) and never otherwise.

Hashing takes a tenth of a second and 64 MiB on purpose, so it happens outside of transactions:
``hashed`` before ``put``, ``check`` in a session that only reads, then ``confirm``. Who may guess
how often is in ``sign_in_tries``.
"""

import threading
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import logins
from db.errors import Refused, WrongPassword
from db.leases import now_or
from db.models import Annotator, AnnotatorKind, Invite, Password

SHORTEST, LONGEST = 10, 200
"""How many characters a password has."""
HASHER = PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4)
"""argon2id with RFC 9106's parameters for where memory is scarce."""
NOBODYS_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$VTV7nZxgnffKBFetTo2meg"
    "$Zrfm26ilzwSG+aXYz9He5TYo3iQVCzrsy0htWE1IeQM"
)
"""Of a password that was thrown away: unknown names cost the same time as known ones."""
AT_ONCE = threading.BoundedSemaphore(2)
"""How many are hashed at the same time in one process, so that guessing cannot take its memory."""
LINK_PROVES = timedelta(hours=1)
"""How long after an invite link was used a new password needs no old one."""

Hash = NewType("Hash", str)


@dataclass(frozen=True)
class Match:
    """An account whose password was right a moment ago."""

    annotator_id: int
    active: bool
    hash: Hash


def hashed(name: str, password: str) -> Hash:
    """The hash of a password that may be used.

    Raises:
        Refused: It is too short, too long, the name, or a few characters over and over.
    """
    text = _normal(password)
    if len(text) < SHORTEST:
        raise Refused(f"a password has at least {SHORTEST} characters; a few words are a good one")
    if len(text) > LONGEST:
        raise Refused(f"a password has at most {LONGEST} characters")
    if text.casefold().strip() == _normal(name).casefold().strip():
        raise Refused("your name is not a good password; everybody knows it")
    if len(set(text)) < 5:
        raise Refused("this password repeats a few characters; a few words are a better one")
    with AT_ONCE:
        return Hash(HASHER.hash(text))


def put(
    session: Session,
    annotator_id: int,
    hash: Hash,
    *,
    keep: str = "",
    now: datetime | None = None,
) -> int:
    """Set or change somebody's password; gives how many other logins of theirs that ended.

    Args:
        session: of the ledger.
        annotator_id: whose.
        hash: from ``hashed``.
        keep: the token of the login that changes it and stays.
        now: the moment, for tests.
    """
    _store(session, annotator_id, hash, now_or(now))
    return logins.revoke_all(session, annotator_id, keep=keep, now=now)


def check(session: Session, name: str, password: str) -> Match:
    """Compare name and password; as slow for a name that nobody has. Only reads.

    Raises:
        WrongPassword: They do not go together.
    """
    found = session.execute(
        select(Annotator, Password.hash)
        .join(Password, Password.annotator_id == Annotator.id)
        .where(Annotator.name == name.strip(), Annotator.kind == AnnotatorKind.HUMAN)
    ).one_or_none()
    right = _matches(found[1] if found is not None else NOBODYS_HASH, password)
    if found is None or not right:
        raise WrongPassword("this name and password do not go together")
    return Match(found[0].id, found[0].active, Hash(found[1]))


def confirm(
    session: Session, match: Match, *, anew: Hash | None, now: datetime | None = None
) -> None:
    """Make sure, in the transaction that signs in, that the password still is the one checked.

    Args:
        session: of the ledger.
        match: from ``check``.
        anew: the same password hashed with today's parameters, where ``outdated`` said so.
        now: the moment, for tests.

    Raises:
        WrongPassword: It was changed meanwhile.
    """
    kept = session.get(Password, match.annotator_id, with_for_update=True, populate_existing=True)
    if kept is None or kept.hash != match.hash:
        raise WrongPassword("this name and password do not go together")
    if anew is not None:
        _store(session, match.annotator_id, anew, kept.set_at)


def outdated(match: Match) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(match.hash)


def anew(password: str) -> Hash:
    """A checked password hashed with today's parameters, whatever today's rules for new ones."""
    with AT_ONCE:
        return Hash(HASHER.hash(_normal(password)))


def has_password(session: Session, annotator_id: int) -> bool:
    """Whether somebody can sign in with a password."""
    return session.get(Password, annotator_id) is not None


def needs_old(session: Session, annotator_id: int, *, now: datetime | None = None) -> bool:
    """Whether a change asks for the old password: there is one, and no link was used just now."""
    if not has_password(session, annotator_id):
        return False
    return (
        session.scalar(
            select(Invite.id)
            .where(
                Invite.annotator_id == annotator_id,
                Invite.used_at > now_or(now) - LINK_PROVES,
            )
            .limit(1)
        )
        is None
    )


def _store(session: Session, annotator_id: int, hash: Hash, set_at: datetime) -> None:
    kept = session.get(Password, annotator_id)
    if kept is None:
        session.add(Password(annotator_id=annotator_id, hash=hash, set_at=set_at))
    else:
        kept.hash, kept.set_at = hash, set_at
    session.flush()


def _matches(hash: str, password: str) -> bool:
    text = _normal(password[: LONGEST * 4])
    try:
        with AT_ONCE:
            return HASHER.verify(hash, text)
    except (VerificationError, InvalidHashError):
        return False


def _normal(text: str) -> str:
    """One form of each character, so that every keyboard gives the same bytes."""
    return unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode("utf-8"))
