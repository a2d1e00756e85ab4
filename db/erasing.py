"""Takes a person's name and words out of the ledger on request; their verdicts and all counts stay.

Which column is renamed in, emptied or left is said in ``db.erasable``. Backups and exports that
were made before still hold name and words, and comments in which others name the person stay as
they were said (``STAYS`` and the count of them tell it to who erases).
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import String, delete, func, or_, select, update
from sqlalchemy.orm import Session

from db import audit, people
from db.erasable import EMPTIED, GONE, RENAMED
from db.errors import Refused
from db.identities import EMAIL
from db.leases import now_or
from db.models import Annotator, AuditEntry, Batch, Erasure, Identity, Judgment, Round

STAYS = "Backups and exports made before still hold the name and the words: delete or replace them."
NO_NAMES = frozenset({"role", "kind", "state", "persona", "strategy", "adapters"})
"""Fields of an audit entry whose values are words of ours, whatever somebody is called."""
DECISION_WORDS = frozenset({"words", "early"})
"""Fields of a round's decision that are sentences."""


@dataclass(frozen=True)
class Erased:
    """What was taken out.

    Attributes:
        annotator_id: Whose.
        pseudonym: The name from now on.
        judgments: Judgments that stay, under the pseudonym.
        comments: Comments that were blanked; minus one where they were kept.
        entries: Entries of the audit log that named the person.
        mentions: Comments by others that name the person; they stay.
    """

    annotator_id: int
    pseudonym: str
    judgments: int
    comments: int
    entries: int
    mentions: int = 0

    def in_words(self) -> str:
        """What was done, as a sentence, and what an admin has still to see to."""
        stay = "1 judgment stays" if self.judgments == 1 else f"{self.judgments:,} judgments stay"
        kept = f"{_many(self.comments, 'comment')} blanked"
        said = f"{self.pseudonym}: {stay}, {'comments kept' if self.comments < 0 else kept}."
        if self.mentions:
            named = "name" if self.mentions > 1 else "names"
            said += f" {_many(self.mentions, 'comment')} by others {named} this person and"
            said += " stay." if self.mentions > 1 else " stays."
        return f"{said} {STAYS}"


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
    known_as = {was, *_accounts(session, person)}
    people.set_active(session, was, False)
    mine = Judgment.annotator_id == person.id
    comments = -1 if keep_comments else _count(session, mine, Judgment.comment.is_not(None))
    open_ = Erasure(annotator_id=person.id, pseudonym=pseudonym, comments=comments, actor=actor)
    session.add(open_)
    session.flush()
    if not keep_comments:
        _empty(session, person.id)
    for table in GONE:
        of: Any = table
        _run(session, delete(table).where(of.annotator_id == person.id))
    person.name, person.paused_reason = pseudonym, None
    session.flush()
    changed = {table: _rename(session, table, known_as, pseudonym) for table in RENAMED}
    open_.finished_at = now_or(None)
    session.flush()
    entries = changed[AuditEntry]
    audit.record(session, actor, "erase", pseudonym, comments=comments, entries=entries)
    mentions = _count(session, ~mine, Judgment.comment.contains(was, autoescape=True))
    return Erased(person.id, pseudonym, _count(session, mine), comments, entries, mentions)


def _accounts(session: Session, person: Annotator) -> set[str]:
    """What providers call this person, as the audit log has it: subjects and addresses."""
    subjects = session.scalars(select(Identity.subject).where(Identity.annotator_id == person.id))
    linked = select(AuditEntry.detail).where(
        AuditEntry.act == "link", AuditEntry.subject == person.name
    )
    said = [str(detail.get("account") or "") for detail in session.scalars(linked)]
    return {each.removeprefix(EMAIL) for each in (*subjects, *said)} - {""}


def _empty(session: Session, annotator_id: int) -> None:
    """Take the person's own words out."""
    for table, column in EMPTIED.items():
        of: Any = table
        words = getattr(of, column)
        nothing = None if words.property.columns[0].nullable else ""
        whose = (of.annotator_id == annotator_id) & words.is_not(None)
        _run(session, update(table).where(whose).values({column: nothing}))


def _rename(session: Session, table: type, known_as: Collection[str], pseudonym: str) -> int:
    """Put the pseudonym in the place of the name in one table's columns; gives changed rows."""
    of: Any = table
    columns = RENAMED[table]
    keys: tuple[Any, ...] = of.__mapper__.primary_key
    query: Any = select(*keys, *(getattr(of, column) for column in columns))
    if all(isinstance(getattr(of, column).type, String) for column in columns):
        query = query.where(
            or_(
                *(
                    getattr(of, column).contains(each, autoescape=True)
                    for column in columns
                    for each in known_as
                )
            )
        )
    if table is Batch:  # what rounds look for by name keeps the name that they gave it
        named = select(Round.label_batch_id).where(Round.label_batch_id.is_not(None))
        blind = select(Round.blind_batch_id).where(Round.blind_batch_id.is_not(None))
        query = query.where(Batch.id.not_in(named.union(blind)))
    changed = 0
    rows: Sequence[tuple[Any, ...]] = session.execute(query).tuples().all()
    for row in rows:
        key = row[: len(keys)]
        values: dict[str, Any] = dict(zip(columns, row[len(keys) :], strict=True))
        new = {name: _renamed(value, known_as, pseudonym) for name, value in values.items()}
        if table is Round and values["decision"]:
            was = cast("dict[str, Any]", values["decision"])
            kept = {k: v for k, v in was.items() if k not in DECISION_WORDS}
            new = {"decision": {**new["decision"], **kept}}
        if new != values:
            where = [column == value for column, value in zip(keys, key, strict=True)]
            _run(session, update(table).where(*where).values(**new))
            changed += 1
    session.expire_all()
    return changed


def _renamed(value: Any, known_as: Collection[str], pseudonym: str) -> Any:
    """The value with each of the names, where it stands as a word of its own, replaced."""
    if isinstance(value, str):
        longest_first = sorted(known_as, key=len, reverse=True)
        names = "|".join(re.escape(each) for each in longest_first)
        return re.sub(rf"(?<!\w)(?:{names})(?!\w)", lambda _: pseudonym, value)
    if isinstance(value, list):
        return [_renamed(each, known_as, pseudonym) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {
            key: each if key in NO_NAMES else _renamed(each, known_as, pseudonym)
            for key, each in cast("dict[str, Any]", value).items()
        }
    return value


def _pseudonym(session: Session, annotator_id: int) -> str:
    """A name that says nothing and that nobody has."""
    name = f"annotator-{annotator_id}"
    while session.scalar(select(Annotator.id).where(Annotator.name == name)) is not None:
        name += "-x"
    return name


def _count(session: Session, *which: Any) -> int:
    return session.scalar(select(func.count()).select_from(Judgment).where(*which)) or 0


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _run(session: Session, statement: Any) -> None:
    session.execute(statement.execution_options(synchronize_session=False))
