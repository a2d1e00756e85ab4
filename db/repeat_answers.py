"""What annotators answered to repeats: the answers that count, and how often both were the same.

Undone and answered again, a repeat has several rows for one judgment, of which the newest counts.
Reads only; showing and answering a repeat is ``db.repeats``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, desc, func, select
from sqlalchemy.orm import Session, aliased, joinedload

from db.models import Annotator, Comparison, Judgment, Persona, Repeat, Verdict


@dataclass(frozen=True)
class Twice:
    """Somebody's two answers to one pair, in shown order of the first.

    Attributes:
        annotator_id: Whose.
        first: The answer that stands.
        again: The answer to the repeat, in canonical order as ``first``.
        placement: +1 where A was Response A the first time, −1 where it was Response B.
    """

    annotator_id: int
    first: Verdict
    again: Verdict
    placement: int


def last_answered(session: Session, annotator_id: int, since: datetime) -> Repeat | None:
    """The last repeat answered since a moment whose answer counts; None without one."""
    return session.scalar(
        select(Repeat)
        .where(*_counting_since(annotator_id, since))
        .order_by(desc(Repeat.answered_at), desc(Repeat.id))
        .limit(1)
    )


def answers_of(session: Session, annotator_id: int, limit: int = 1000) -> list[Repeat]:
    """The answers that count of one annotator, newest first, with their texts."""
    newest = (
        select(func.max(Repeat.id))
        .where(Repeat.annotator_id == annotator_id)
        .group_by(Repeat.comparison_id)
    )
    return list(
        session.scalars(
            select(Repeat)
            .where(Repeat.id.in_(newest), Repeat.verdict.is_not(None))
            .order_by(desc(Repeat.answered_at), desc(Repeat.id))
            .limit(limit)
        )
    )


def pairs_of(session: Session, repeats: list[Repeat]) -> dict[int, tuple[Comparison, str]]:
    """Each repeat's comparison with its texts, and the persona's name, by comparison."""
    rows = session.execute(
        select(Comparison, Persona.name)
        .outerjoin(Persona, Persona.slug == Comparison.persona_slug)
        .where(Comparison.id.in_([each.comparison_id for each in repeats]))
        .options(
            joinedload(Comparison.prompt),
            joinedload(Comparison.candidate_a),
            joinedload(Comparison.candidate_b),
        )
    ).tuples()
    return {comparison.id: (comparison, name or "") for comparison, name in rows}


def count_since(session: Session, annotator_id: int, since: datetime) -> int:
    """How many answers to repeats were given since a moment."""
    return (
        session.scalar(
            select(func.count()).where(
                Repeat.annotator_id == annotator_id,
                Repeat.answered_at >= since,
                Repeat.verdict.is_not(None),
            )
        )
        or 0
    )


def count(session: Session, annotator_id: int) -> int:
    """How many answers of this annotator count; none of them is read."""
    newest = (
        select(func.max(Repeat.id))
        .where(Repeat.annotator_id == annotator_id)
        .group_by(Repeat.comparison_id)
    )
    query = select(func.count()).where(Repeat.id.in_(newest), Repeat.verdict.is_not(None))
    return session.scalar(query) or 0


def dwells_since(session: Session, annotator_id: int, since: datetime) -> Sequence[int | None]:
    """Milliseconds of each answer since a moment that counts."""
    return session.scalars(
        select(Repeat.dwell_ms).where(*_counting_since(annotator_id, since))
    ).all()


def twice(session: Session) -> list[Twice]:
    """Everybody's pairs of answers: the repeat's that counts, and the judgment it repeats."""
    newest = select(func.max(Repeat.id)).group_by(Repeat.annotator_id, Repeat.comparison_id)
    rows = session.execute(
        select(Repeat.annotator_id, Judgment.verdict, Repeat.verdict, Judgment.placement)
        .join(Judgment, Judgment.id == Repeat.judgment_id)
        .join(Annotator, Annotator.id == Repeat.annotator_id)
        .where(Repeat.id.in_(newest), Repeat.verdict.is_not(None))
        .order_by(Repeat.id)
    ).tuples()
    return [Twice(who, first, again, placed) for who, first, again, placed in rows if again]


def _counting_since(annotator_id: int, since: datetime) -> list[ColumnElement[bool]]:
    """Answers since a moment that were not taken back and answered or asked again."""
    newer = aliased(Repeat)
    later = select(newer.id).where(
        newer.annotator_id == annotator_id,
        newer.comparison_id == Repeat.comparison_id,
        newer.id > Repeat.id,
    )
    return [
        Repeat.annotator_id == annotator_id,
        Repeat.verdict.is_not(None),
        Repeat.answered_at >= since,
        ~later.exists(),
    ]
