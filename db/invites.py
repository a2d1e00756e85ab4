"""Invitations that wait: list them, take one back. ``people`` makes and redeems them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from db.errors import NotFound, Refused
from db.leases import now_or
from db.models import Annotator, Invite


@dataclass(frozen=True)
class Waiting:
    """A link that would sign somebody in."""

    id: int
    annotator_id: int
    name: str
    role: str
    created_at: datetime
    expires_at: datetime


def outstanding(session: Session, *, now: datetime | None = None) -> list[Waiting]:
    """Links that nobody has used and that still would work, by name and the newest first."""
    found = session.execute(
        select(Invite, Annotator)
        .join(Annotator, Annotator.id == Invite.annotator_id)
        .where(
            Invite.used_at.is_(None),
            Invite.revoked_at.is_(None),
            Invite.expires_at > now_or(now),
            Annotator.active,
        )
        .order_by(Annotator.name, Invite.id.desc())
    )
    return [
        Waiting(
            given.id,
            person.id,
            person.name,
            person.role.value,
            given.created_at,
            given.expires_at,
        )
        for given, person in found
    ]


def revoke(session: Session, invite_id: int, *, now: datetime | None = None) -> str:
    """Take a link back before anybody uses it; gives the name of who was invited.

    Raises:
        NotFound: There is no such link.
        Refused: It was used, so that there is nothing to take back.
    """
    found = session.get(Invite, invite_id)
    if found is None:
        raise NotFound(
            f"there is no link {invite_id}; `personaloop users invites` shows those that wait"
        )
    name = session.get_one(Annotator, found.annotator_id).name
    taken = session.execute(
        update(Invite)
        .where(Invite.id == invite_id, Invite.used_at.is_(None))
        .values(revoked_at=now_or(now))
        .execution_options(synchronize_session=False)
    )
    assert isinstance(taken, CursorResult)
    if taken.rowcount != 1:
        raise Refused(
            f"link {invite_id} was used already; `personaloop users sign-out {name!r}` ends"
            " what it opened"
        )
    session.expire(found)
    return name
