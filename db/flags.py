"""Flags: what annotators say is wrong with a pair, with a judgment or with a skip.

Knows no page.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Flag
from db.texts import storable

COMMENT = "comment"
"""The kind of what was written with a skip without a flag, so that it is not lost."""


def raise_flag(
    session: Session,
    comparison_id: int,
    annotator_id: int,
    kind: str,
    note: str | None,
    judgment_id: int | None = None,
) -> Flag:
    """Tell the admins that something is wrong with a pair. Saying the same again changes nothing.

    Args:
        session: The session.
        comparison_id: Of which pair.
        annotator_id: Who says so.
        kind: ``personal data``, ``unsafe``, ``broken``, or ``comment`` (written with a skip).
        note: What was written with it.
        judgment_id: The judgment that it came with; None where the pair was skipped.
    """
    words = storable(note) if note else None
    standing = session.scalar(
        select(Flag).where(
            Flag.comparison_id == comparison_id,
            Flag.annotator_id == annotator_id,
            Flag.kind == kind,
            Flag.note == words if words is not None else Flag.note.is_(None),
            Flag.judgment_id == judgment_id
            if judgment_id is not None
            else Flag.judgment_id.is_(None),
            Flag.resolved_at.is_(None),
        )
    )
    if standing is not None:
        return standing
    made = Flag(
        comparison_id=comparison_id,
        annotator_id=annotator_id,
        judgment_id=judgment_id,
        kind=storable(kind)[:32],
        note=words,
    )
    session.add(made)
    session.flush()
    return made
