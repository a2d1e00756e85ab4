"""Takes a person's name and words out of the ledger on request; their verdicts and all counts stay.

Knows which tables hold names and words. Backups and exports that were made before still hold them.
So do three append-only columns that no trigger lets an erasure change: who promoted an adapter, who
wrote guidelines, and the notes of adjudications (``STAYS`` says it to who erases).
"""

import re
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from db import audit, people
from db.errors import Refused
from db.leases import now_or
from db.models import (
    Annotator,
    AuditEntry,
    Erasure,
    Flag,
    Identity,
    Invite,
    Job,
    Judgment,
    JudgmentReturn,
    Login,
    Notice,
    Password,
    SetAside,
)

STAYS = (
    "Backups and exports made before still hold the name and the words: delete or replace them."
    " Promotions, guidelines and adjudication notes of an admin keep theirs."
)
NO_NAMES = frozenset({"role", "kind", "state", "persona"})
"""Fields of an audit entry whose values are words of ours, whatever somebody is called."""


@dataclass(frozen=True)
class Erased:
    """What was taken out.

    Attributes:
        annotator_id: Whose.
        pseudonym: The name from now on.
        judgments: Judgments that stay, under the pseudonym.
        comments: Comments that were blanked; minus one where they were kept.
        entries: Entries of the audit log that named the person.
    """

    annotator_id: int
    pseudonym: str
    judgments: int
    comments: int
    entries: int


def erase(session: Session, name: str, *, actor: str, keep_comments: bool = False) -> Erased:
    """Give a person a pseudonym, blank their words, take away every way in, switch them off.

    Args:
        session: The session.
        name: Who asked for it.
        actor: Who does it.
        keep_comments: Only the name goes; comments and notes stay.

    Raises:
        NotFound: There is nobody of this name.
        Refused: It was done already, or they would erase themselves.
    """
    person = people.person(session, name)
    if person.name == actor:
        raise Refused("you cannot erase yourself; another admin can")
    if session.get(Erasure, person.id) is not None:
        raise Refused(f"{person.name} was erased already")
    was, pseudonym = person.name, _pseudonym(session, person.id)
    people.set_active(session, was, False)
    mine = Judgment.annotator_id == person.id
    said = mine & Judgment.comment.is_not(None)
    comments = -1 if keep_comments else _count(session, said)
    open_ = Erasure(annotator_id=person.id, pseudonym=pseudonym, comments=comments, actor=actor)
    session.add(open_)
    session.flush()
    if not keep_comments:
        _run(session, update(Judgment).where(said).values(comment=None))
        _run(session, update(Flag).where(Flag.annotator_id == person.id).values(note=None))
    for table in (Invite, Login, Password, Identity):
        _run(session, delete(table).where(table.annotator_id == person.id))
    person.name, person.paused_reason = pseudonym, None
    session.flush()
    entries = _rename_log(session, was, pseudonym)
    _rename_elsewhere(session, was, pseudonym)
    open_.finished_at = now_or(None)
    session.flush()
    audit.record(session, actor, "erase", pseudonym, comments=comments, entries=entries)
    return Erased(person.id, pseudonym, _count(session, mine), comments, entries)


def _rename_log(session: Session, was: str, pseudonym: str) -> int:
    changed = 0
    for entry in session.scalars(select(AuditEntry).execution_options(yield_per=1000)):
        new = {
            "actor": pseudonym if entry.actor == was else entry.actor,
            "subject": _renamed(entry.subject, was, pseudonym),
            "detail": _renamed(entry.detail, was, pseudonym),
        }
        if any(getattr(entry, column) != value for column, value in new.items()):
            _run(session, update(AuditEntry).where(AuditEntry.id == entry.id).values(**new))
            changed += 1
    session.expire_all()
    return changed


def _rename_elsewhere(session: Session, was: str, pseudonym: str) -> None:
    for column in (
        Job.requested_by,
        Flag.resolved_by,
        JudgmentReturn.actor,
        SetAside.decided_by,
        Notice.seen_by,
        Erasure.actor,
    ):
        table: Any = column.class_
        _run(session, update(table).where(column == was).values({column: pseudonym}))
    for table, names in ((Notice, ("subject", "text")), (JudgmentReturn, ("note",))):
        for row in session.scalars(select(table)):
            for name in names:
                setattr(row, name, _renamed(getattr(row, name), was, pseudonym))
    session.flush()


def _renamed(value: Any, was: str, pseudonym: str) -> Any:
    """The value with the name, where it stands as a word of its own, replaced."""
    if isinstance(value, str):
        return re.sub(rf"(?<!\w){re.escape(was)}(?!\w)", lambda _: pseudonym, value)
    if isinstance(value, list):
        return [_renamed(each, was, pseudonym) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {
            key: each if key in NO_NAMES else _renamed(each, was, pseudonym)
            for key, each in cast("dict[str, Any]", value).items()
        }
    return value


def _pseudonym(session: Session, annotator_id: int) -> str:
    """A name that says nothing and that nobody has."""
    name = f"annotator-{annotator_id}"
    while session.scalar(select(Annotator.id).where(Annotator.name == name)) is not None:
        name += "-x"
    return name


def _count(session: Session, which: Any) -> int:
    return session.scalar(select(func.count()).select_from(Judgment).where(which)) or 0


def _run(session: Session, statement: Any) -> None:
    session.execute(statement.execution_options(synchronize_session=False))
