"""Who may be given what: the one place that says it, as conditions of queries.

A pair is given to nobody twice, to nobody who wrote one of its texts, and to nobody but the named
where its batch names people. ``db.leases`` walks the queue with these conditions and pages count
with them. Knows no lease times and no order.
"""

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.orm import Session

from db.models import (
    Assignment,
    AssignmentState,
    Batch,
    BatchAnnotator,
    BatchState,
    Candidate,
    Comparison,
)

Who = int | BindParameter[int]

HAS_SEATS: ColumnElement[bool] = Comparison.seats > literal_column("0", Integer())
"""Written out as in the partial index: with a bound zero the index could not be used."""


def seen(annotator: Who) -> ColumnElement[bool]:
    """Whether they have judged, skipped or hold the comparison of the outer query."""
    return exists().where(
        Assignment.comparison_id == Comparison.id,
        Assignment.annotator_id == annotator,
        or_(
            Assignment.state == AssignmentState.JUDGED,
            Assignment.state == AssignmentState.SKIPPED,
            Assignment.state == AssignmentState.LEASED,
        ),
    )


def wrote(annotator: Who) -> ColumnElement[bool]:
    """Whether they wrote one of the two texts of the comparison of the outer query."""
    return exists().where(
        Candidate.id.in_([Comparison.candidate_a_id, Comparison.candidate_b_id]),
        Candidate.author_id == annotator,
    )


def may_judge(annotator: Who) -> tuple[ColumnElement[bool], ...]:
    """That a comparison with a seat may be given to this annotator."""
    return (~seen(annotator), ~wrote(annotator))


def may_work_in(annotator: Who) -> tuple[ColumnElement[bool], ...]:
    """That a batch hands out work, and to this annotator. Gold is mixed in elsewhere."""
    return (Batch.state == BatchState.OPEN, Batch.purpose != "gold", is_for(annotator))


def is_for(annotator: Who) -> ColumnElement[bool]:
    """That the batch of the outer query is for everybody, or for this annotator by name."""
    return or_(
        ~Batch.named_only,
        exists().where(
            BatchAnnotator.batch_id == Batch.id, BatchAnnotator.annotator_id == annotator
        ),
    )


def open_for(annotator_id: int, batch_id: int | None = None) -> Select[int]:
    """The comparisons that this annotator could be given now, as a query of their ids."""
    query = _free().where(*may_work_in(annotator_id), *may_judge(annotator_id))
    return query if batch_id is None else query.where(Comparison.batch_id == batch_id)


def for_others_to_see(session: Session, annotator_id: int) -> bool:
    """Whether pairs are free in batches for this annotator; asked where none can be given."""
    return session.scalar(_free().where(*may_work_in(annotator_id)).limit(1)) is not None


def own_left(session: Session, annotator_id: int) -> bool:
    """Whether a pair is free that this annotator is not given only because they wrote a text."""
    query = _free().where(*may_work_in(annotator_id), ~seen(annotator_id), wrote(annotator_id))
    return session.scalar(query.limit(1)) is not None


def for_named_others(session: Session, annotator_id: int) -> bool:
    """Whether pairs are free in batches that name other people only."""
    query = _free().where(
        Batch.state == BatchState.OPEN, Batch.purpose != "gold", ~is_for(annotator_id)
    )
    return session.scalar(query.limit(1)) is not None


def leased_by_others(session: Session, annotator_id: int) -> int:
    """How many pairs that could come to this annotator are with other people now."""
    query = (
        select(func.count())
        .select_from(Assignment)
        .join(Comparison, Comparison.id == Assignment.comparison_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .where(
            Assignment.state == AssignmentState.LEASED,
            Assignment.annotator_id != annotator_id,
            *may_work_in(annotator_id),
            ~wrote(annotator_id),
        )
    )
    return session.scalar(query) or 0


def _free() -> Select[int]:
    return select(Comparison.id).join(Batch, Batch.id == Comparison.batch_id).where(HAS_SEATS)
