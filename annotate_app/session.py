"""Who is at the browser, and the ledger they may see. Asked anew on every rerun.

The cookie is only a key: whether it still opens anything is in our own table, so revoking works
at once. So is what an OpenID provider said: it becomes a login in our table, once. Knows nothing of
pages.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from sqlalchemy.orm import Session, sessionmaker

from annotate_app.providers import providers_of
from db import identities, people
from db.errors import Refused
from db.identities import Claims
from db.models import AnnotatorKind, Role
from db.session import readers, sessions, transact

COOKIE = "personaloop_login"
ROLES = list(Role)


@dataclass(frozen=True)
class Me:
    """The signed-in person."""

    id: int
    name: str
    role: Role
    kind: AnnotatorKind
    login: str = ""
    """The token of the login by which they are here."""
    by_provider: bool = False
    """Whether that was a sign-in at an OpenID provider."""

    def may(self, role: Role | str) -> bool:
        """Whether this person's role includes ``role`` (each includes those before it)."""
        return ROLES.index(self.role) >= ROLES.index(Role(role))


def ledger() -> sessionmaker[Session]:
    """Sessions of the configured ledger, each to be used as a transaction."""
    return sessions()


def login_token() -> str | None:
    """The browser's sign-in cookie, if it sent one."""
    return st.context.cookies.get(COOKIE)


def day_began(now: datetime | None = None) -> datetime:
    """The last midnight where the browser is, in UTC; midnight UTC where it does not say."""
    try:
        zone = ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = ZoneInfo("UTC")
    here = (now or datetime.now(UTC)).astimezone(zone)
    return here.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


def providers() -> dict[str, str]:
    """The OpenID providers of secrets.toml: what ``st.login`` calls each, and what people do."""
    if not st.secrets.load_if_toml_exists():
        return {}
    return providers_of(st.secrets.get("auth", {}))


def provider_says() -> Claims | None:
    """What a configured OpenID provider said of this browser; None where nobody signed in there."""
    if not providers() or not st.user.get("is_logged_in"):
        return None
    return identities.claims_of(st.user.to_dict())


def signed_in() -> Me | None:
    """The person at this browser, or None: never signed in, signed out, revoked, expired, unknown.

    Raises:
        Busy: Somebody just came back from a provider, and that could not be stored yet.
    """
    token = login_token()
    found = _behind(token) if token else None
    if found is not None:
        return found
    said = provider_says()
    if said is None:
        return None
    found = _behind(said.key, by_provider=True)
    if found is None and _is_news(said):
        transact(None, lambda session: identities.enter(session, said))
        found = _behind(said.key, by_provider=True)
    return found


def _behind(token: str, *, by_provider: bool = False) -> Me | None:
    with readers()() as session:
        person = people.who(session, token)
        if person is None:
            return None
        return Me(person.id, person.name, person.role, person.kind, token, by_provider)


def _is_news(said: Claims) -> bool:
    """Whether this sign-in at a provider is of somebody we know, and was not taken up before."""
    with readers()() as session:
        person = identities.whose(session, said)
        return person is not None and person.active and not identities.known(session, said)


def standing(said: Claims) -> Literal["stranger", "off", "ended"]:
    """Why somebody whom a provider knows is not signed in here."""
    with readers()() as session:
        person = identities.whose(session, said)
    if person is None:
        return "stranger"
    return "ended" if person.active else "off"


def me() -> Me:
    """The signed-in person; a page run by somebody who no longer is stops here."""
    person = signed_in()
    if person is None:
        st.info("You are signed out. Reload this page to see how to come back.")
        st.stop()
    return person


def require(role: Role | str) -> Me:
    """The signed-in person, if their role allows ``role``; otherwise the page says so and stops."""
    person = me()
    if not person.may(role):
        st.info(f"This page is for the role “{Role(role)}”; yours is “{person.role}”.")
        st.stop()
    return person


def acting(role: Role | str) -> str:
    """The name of who presses a button, asked at the press: a callback runs before its page does.

    Raises:
        Refused: They are signed out, switched off, or have another role by now.
    """
    person = signed_in()
    if person is None:
        raise Refused("nothing was done: you are signed out")
    if not person.may(role):
        raise Refused(f"nothing was done: this is for the role “{Role(role)}”")
    return person.name
