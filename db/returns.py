"""Judgments given back to their annotator for correction. Each stands until it is revised.

Knows no page; showing the pair again is ``db.second_thoughts``.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from db import audit
from db.errors import NotFound, Refused
from db.models import (
    Annotator,
    Assignment,
    Batch,
    Comparison,
    Judgment,
    JudgmentReturn,
    Prompt,
    Retraction,
)
from db.texts import storable


@dataclass(frozen=True)
class Returned:
    """A judgment that came back to its annotator.

    Attributes:
        judgment_id: To revise it.
        note: What the admin says.
        created_at: Since when (UTC).
        question: What the person of the conversation said last.
        token: Of its assignment: opaque, the only id of it that may reach a browser.
    """

    judgment_id: int
    note: str
    created_at: datetime
    question: str
    token: str = ""


def give_back(session: Session, judgment_id: int, note: str, *, actor: str) -> JudgmentReturn:
    """Return a judgment with a note.

    Raises:
        NotFound: There is no such judgment.
        Refused: It does not stand, is gold, is no person's, came back already, or has no note.
    """
    if not note.strip():
        raise Refused("say in a sentence what to look at again")
    found = session.get(Judgment, judgment_id)
    if found is None:
        raise NotFound(f"there is no judgment {judgment_id}")
    if session.get(Retraction, judgment_id) is not None:
        raise Refused(f"judgment {judgment_id} was undone or revised; return the one that stands")
    if found.source != "page":
        raise Refused(f"judgment {judgment_id} was not given on the page; nobody can revise it")
    purpose = session.scalar(
        select(Batch.purpose)
        .join(Comparison, Comparison.batch_id == Batch.id)
        .where(Comparison.id == found.comparison_id)
    )
    if purpose == "gold":
        raise Refused("a gold answer is not returned: that would tell which pairs are gold")
    if session.scalar(_open().where(JudgmentReturn.judgment_id == judgment_id)) is not None:
        raise Refused(f"judgment {judgment_id} is with its annotator already")
    made = JudgmentReturn(
        judgment_id=judgment_id,
        annotator_id=found.annotator_id,
        note=storable(note.strip()),
        actor=actor[:120],
    )
    session.add(made)
    session.flush()
    name = session.get_one(Annotator, found.annotator_id).name
    audit.record(session, actor, "return judgment", name, judgment=judgment_id)
    return made


def waiting(session: Session, annotator_id: int) -> list[Returned]:
    """What came back to this annotator and was not revised yet, oldest first."""
    rows = session.execute(
        _open()
        .add_columns(Prompt.messages, Assignment.token)
        .join(Judgment, Judgment.id == JudgmentReturn.judgment_id)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .where(JudgmentReturn.annotator_id == annotator_id)
        .order_by(JudgmentReturn.id)
    ).tuples()
    return [
        Returned(
            each.judgment_id,
            each.note,
            each.created_at,
            str(messages[-1].get("content", "")) if messages else "",
            token,
        )
        for each, messages, token in rows
    ]


def count(session: Session, annotator_id: int) -> int:
    """How many answers of this annotator came back and wait; one look into an index."""
    query = select(func.count()).where(
        JudgmentReturn.annotator_id == annotator_id, JudgmentReturn.answered_at.is_(None)
    )
    return session.scalar(query) or 0


def answered(session: Session, judgment_id: int, now: datetime) -> None:
    """Note that a returned judgment was revised or taken back."""
    session.execute(
        update(JudgmentReturn)
        .where(JudgmentReturn.judgment_id == judgment_id, JudgmentReturn.answered_at.is_(None))
        .values(answered_at=now)
        .execution_options(synchronize_session=False)
    )


def _open() -> Select[JudgmentReturn]:
    return select(JudgmentReturn).where(JudgmentReturn.answered_at.is_(None))
