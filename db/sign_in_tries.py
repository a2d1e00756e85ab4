"""How often a password may be guessed: a wait that doubles, for each name and each address.

The counts are in the ledger, so that neither a restart nor a second process forgets them. Names
that nobody has are counted like all others, so that a wait tells nothing; only hashes are kept.
"""

import hashlib
import ipaddress
import math
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.errors import TooManyTries
from db.leases import now_or
from db.models import SignInTry

FREE = {"name": 5, "address": 20}
"""Wrong tries before the first wait."""
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=15)
FORGOTTEN = timedelta(hours=1)
"""After this long without a try, the count starts over."""


def begin(session: Session, name: str, address: str, *, now: datetime | None = None) -> None:
    """Count a try before the password is looked at, so that many at once are counted too.

    Args:
        session: of the ledger.
        name: who wants to sign in, as typed.
        address: where from; of IPv6 only the network counts.
        now: the moment, for tests.

    Raises:
        TooManyTries: This one comes too soon; it is not counted.
    """
    moment = now_or(now)
    session.execute(delete(SignInTry).where(SignInTry.last_at < moment - FORGOTTEN))
    rows = [(what, _row(session, key, moment)) for what, key in _keys(name, address)]
    wait = max((row.until - moment for _, row in rows), default=timedelta(0))
    if wait > timedelta(0):
        raise TooManyTries(math.ceil(wait.total_seconds()))
    for what, row in rows:
        row.tries += 1
        row.last_at = moment
        over = row.tries - FREE[what]
        if over >= 0:
            row.until = moment + min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(over, 20))
    session.flush()


def succeeded(session: Session, name: str, address: str) -> None:
    """The password was right: the name's count is over, and this try does not burden the address.

    The address keeps its earlier count, so that one own account does not buy guesses at others.
    """
    (_, of_name), (_, of_address) = _keys(name, address)
    session.execute(delete(SignInTry).where(SignInTry.key == of_name))
    row = session.get(SignInTry, of_address, with_for_update=True, populate_existing=True)
    if row is not None:
        row.tries = max(0, row.tries - 1)
        row.until = row.last_at - FORGOTTEN
    session.flush()


def _row(session: Session, key: str, moment: datetime) -> SignInTry:
    """The count of a key, locked until the transaction ends; made where there is none."""
    make = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(
        make(SignInTry)
        .values(key=key, tries=0, last_at=moment, until=moment - FORGOTTEN)
        .on_conflict_do_nothing()
    )
    return session.get_one(SignInTry, key, with_for_update=True, populate_existing=True)


def _keys(name: str, address: str) -> list[tuple[str, str]]:
    """Always the name first, so that two transactions never wait for each other crosswise."""
    counted = [("name", name.strip().casefold()), ("address", _network(address))]
    return [
        (what, hashlib.sha256(f"{what}\n{value}".encode("utf-8", "replace")).hexdigest())
        for what, value in counted
    ]


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)
