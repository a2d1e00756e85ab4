"""Signing in by name and password: what is counted, compared and opened, in that order.

Knows no HTTP and no page; ``server`` turns what is raised here into words and cookies.
"""

from sqlalchemy.orm import Session

from db import logins, passwords, sign_in_tries
from db.errors import Refused
from db.session import readers, transact


def enter_by_password(name: str, password: str, address: str) -> str:
    """A login token for whoever has this name and password.

    The try is counted before the password is looked at, and no transaction is open while it is.

    Args:
        name: as typed.
        password: as typed.
        address: where the browser is.

    Raises:
        TooManyTries: For this name or from this address; the password was not looked at.
        WrongPassword: They do not go together, or nobody has this name.
        Refused: They do, but the account is switched off.
        Busy: Nothing was changed.
    """
    match = prove(name, password, address)
    if not match.active:
        raise Refused("this account is switched off; ask the person who invited you")
    anew = passwords.anew(password) if passwords.outdated(match) else None

    def work(session: Session) -> str:
        passwords.confirm(session, match, anew=anew)
        sign_in_tries.succeeded(session, name, address)
        return logins.open_login(session, match.annotator_id)

    return transact(None, work)


def prove(name: str, password: str, address: str) -> passwords.Match:
    """Count a try, then compare; for whoever must show that they know a password.

    Raises:
        TooManyTries: The password was not looked at.
        WrongPassword: It is another one.
    """
    transact(None, lambda session: sign_in_tries.begin(session, name, address))
    with readers()() as session:
        return passwords.check(session, name, password)
