"""What somebody does with their own account: password, provider, logins. One transaction each.

Knows the ledger's verbs and no page. Every refusal is a ``PersonaLoopError`` with words to show.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from annotate_app.entering import prove
from annotate_app.session import Me
from db import audit, identities, logins, passwords, people, sign_in_tries
from db.errors import Refused
from db.identities import Claims
from db.session import readers, transact


@dataclass(frozen=True)
class LoginView:
    """A browser in which somebody is signed in."""

    id: int
    created_at: datetime
    here: bool


@dataclass(frozen=True)
class Account:
    """How somebody comes in."""

    has_password: bool
    asks_for_old: bool
    issuers: tuple[str, ...]
    logins: tuple[LoginView, ...]


def account_of(person: Me) -> Account:
    """How this person can sign in, and where they are signed in now."""
    with readers()() as session:
        here = logins.digest(person.login)
        return Account(
            has_password=passwords.has_password(session, person.id),
            asks_for_old=passwords.needs_old(session, person.id),
            issuers=tuple(each.issuer for each in identities.identities(session, person.id)),
            logins=tuple(
                LoginView(each.id, each.created_at, each.token_sha256 == here)
                for each in logins.live(session, person.id)
            ),
        )


def set_password(person: Me, new: str, again: str, old: str) -> int:
    """Set or change one's own password; gives how many other browsers that signed out.

    Args:
        person: who is signed in here.
        new: the password.
        again: the same, typed once more.
        old: the one before, where it is asked for.

    Raises:
        Refused: The two differ, the old one is wrong, or the new one is poor.
        TooManyTries: The old one was wrong too often.
    """
    if new != again:
        raise Refused("the two new passwords differ; type the same one twice")
    with readers()() as session:
        asked = passwords.needs_old(session, person.id)
    hash = passwords.hashed(person.name, new)
    place = f"account {person.id}"  # whoever sits here guesses at one password only
    match = prove(person.name, old, place) if asked else None

    def work(session: Session) -> int:
        if match is not None:
            passwords.confirm(session, match, anew=None)
            sign_in_tries.succeeded(session, person.name, place)
        ended = passwords.put(session, person.id, hash, keep=person.login)
        audit.record(session, person.name, "set password", person.name, logins_ended=ended)
        return ended

    return transact(None, work)


def connect(person: Me, said: Claims) -> None:
    """Let the account at a provider, in which this browser is signed in, sign this person in.

    Raises:
        Refused: It signs in somebody else, or they came in by a provider themselves.
    """
    if person.by_provider:
        raise Refused("you came in by this account already")

    def work(session: Session) -> None:
        identities.link(session, person.name, said.issuer, subject=said.subject)
        audit.record(
            session, person.name, "link", person.name, issuer=said.issuer, account=said.subject
        )

    transact(None, work)


def end_login(person: Me, login_id: int) -> None:
    """Sign out one other browser of one's own."""
    transact(None, lambda session: logins.revoke(session, person.id, login_id))


def end_other_logins(person: Me) -> int:
    """Sign out every other browser of one's own; gives how many."""
    return transact(None, lambda session: logins.revoke_all(session, person.id, keep=person.login))


def end_this_login(person: Me) -> None:
    """Sign out here; the pair in hand goes back once no browser is left."""
    transact(None, lambda session: people.sign_out(session, person.login))
