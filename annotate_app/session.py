"""Who is at the browser, and the ledger they may see. Asked anew on every rerun.

The cookie is only a key: whether it still opens anything is in our own table, so revoking works
at once. Knows nothing of pages.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from sqlalchemy.orm import Session, sessionmaker

from db import people
from db.errors import Refused
from db.models import AnnotatorKind, Role
from db.session import readers, sessions

COOKIE = "personaloop_login"
ROLES = list(Role)


@dataclass(frozen=True)
class Me:
    """The signed-in person."""

    id: int
    name: str
    role: Role
    kind: AnnotatorKind

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


def signed_in() -> Me | None:
    """The person whose cookie this is, or None: never signed in, signed out, revoked, expired."""
    token = login_token()
    if not token:
        return None
    with readers()() as session:
        person = people.who(session, token)
        if person is None:
            return None
        return Me(person.id, person.name, person.role, person.kind)


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
