"""Gold: comparisons with a known answer, hidden among the others, and who answers them right.

Gold lives in batches of purpose ``gold``, which no seat is taken of; imports may also bring known
answers inside work batches, which are scored as well. The first answer to a gold pair counts. What
mixes gold in is ``db.mixing``. Knows no page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session, aliased

from db import audit
from db.batches import open_batch, put_comparison
from db.errors import NotFound, Refused
from db.fates import MOST, number
from db.leases import LEASE, seat_assignment
from db.models import (
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    BatchState,
    Candidate,
    Comparison,
    Judgment,
    Verdict,
)

PURPOSE = "gold"
BATCH = "gold"
"""The gold batch's name where none is given; with a persona, ``gold PERSONA``."""
CHOSEN_FROM = 50
ENDED = (
    AssignmentState.JUDGED,
    AssignmentState.SKIPPED,
    AssignmentState.WITHDRAWN,
    AssignmentState.LEASED,
)


@dataclass(frozen=True)
class Known:
    """A gold comparison and how it was answered.

    Attributes:
        comparison_id: Its id.
        batch: The batch's name.
        purpose: The batch's purpose: ``gold``, or ``work`` where an import brought the answer.
        persona: Slug, or None.
        answer: The known answer, in canonical order.
        right: First answers that were right.
        answered: First answers.
        active: Whether it is mixed in (or asked) at all.
    """

    comparison_id: int
    batch: str
    purpose: str
    persona: str | None
    answer: Verdict
    right: int
    answered: int
    active: bool


def add(
    session: Session,
    comparison_id: int,
    answer: Verdict | str,
    *,
    actor: str,
    batch: str | None = None,
) -> Comparison:
    """Make gold of a comparison's two candidates; the comparison itself stays as it is.

    Args:
        session: The session.
        comparison_id: Whose candidates.
        answer: The known answer, in canonical order.
        actor: Who says so.
        batch: The gold batch's name.

    Raises:
        NotFound: There is no such comparison.
        Refused: A text is not known, or the batch of that name holds work.
    """
    found = session.get(Comparison, comparison_id)
    if found is None:
        raise NotFound(f"there is no comparison {comparison_id}")
    known = Verdict(answer)
    if not (found.candidate_a.text.strip() and found.candidate_b.text.strip()):
        raise Refused(f"comparison {comparison_id} cannot be gold: a text of it is not known")
    into = gold_batch(session, found.persona_slug, batch)
    made = put_comparison(session, into, found.candidate_a, found.candidate_b, gold=known)
    if made.overlap == 0:
        made.overlap = made.seats = 1
    made.gold = known
    session.flush()
    audit.record(session, actor, "gold add", f"comparison {comparison_id}", answer=known.value)
    return made


def gold_batch(session: Session, persona: str | None, name: str | None = None) -> Batch:
    """The gold batch of a persona, made where there is none.

    Raises:
        Refused: The name is taken by a batch that is no gold.
    """
    wanted = name or (f"{BATCH} {persona}" if persona else BATCH)
    there = session.scalar(select(Batch).where(Batch.name == wanted))
    if there is not None:
        if there.purpose != PURPOSE:
            raise Refused(f"the batch {wanted!r} holds work, not gold; choose another name")
        return there
    made = open_batch(session, name=wanted, kind=BatchKind.IMPORTED, persona=persona)
    made.purpose = PURPOSE
    session.flush()
    return made


def retire(session: Session, comparison_id: int, *, actor: str) -> Comparison:
    """Mix a gold comparison in no more; its answers stay scored.

    Raises:
        NotFound: There is no gold comparison of this id in a gold batch.
    """
    found = session.get(Comparison, comparison_id)
    if found is None or found.gold is None or found.batch.purpose != PURPOSE:
        raise NotFound(f"there is no gold comparison {comparison_id}; `personaloop gold list`")
    found.overlap = found.seats = 0
    session.flush()
    audit.record(session, actor, "gold retire", f"comparison {comparison_id}")
    return found


def set_rates(
    session: Session,
    batch: Batch,
    *,
    actor: str,
    gold: float | None = None,
    repeat: float | None = None,
) -> None:
    """How many of a work batch's pairs are gold, and how many are own earlier ones.

    Raises:
        Refused: A rate is out of bounds, or the batch holds gold itself.
    """
    if batch.purpose == PURPOSE:
        raise Refused(f"{batch.name!r} holds gold; rates belong to the batches it is mixed into")
    for rate in (gold, repeat):
        if rate is not None and not 0 <= rate <= MOST:
            raise Refused(f"a rate is between 0 and {MOST:g}, not {rate:g}")
    batch.gold_rate = batch.gold_rate if gold is None else gold
    batch.repeat_rate = batch.repeat_rate if repeat is None else repeat
    session.flush()
    audit.record(
        session, actor, "mix rates", batch.name, gold=batch.gold_rate, repeat=batch.repeat_rate
    )


def listed(session: Session) -> list[Known]:
    """Every gold comparison with how often its first answers were right, by id."""
    right = func.sum(case((Judgment.verdict == Comparison.gold, 1), else_=0))
    answered = (
        select(
            Judgment.comparison_id,
            func.count().label("n"),
            right.label("right"),
        )
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .where(Comparison.gold.is_not(None), Assignment.attempt == 1)
        .group_by(Judgment.comparison_id)
        .subquery()
    )
    rows = session.execute(
        select(Comparison, Batch.name, Batch.purpose, answered.c.right, answered.c.n)
        .join(Batch, Batch.id == Comparison.batch_id)
        .outerjoin(answered, answered.c.comparison_id == Comparison.id)
        .where(Comparison.gold.is_not(None))
        .order_by(Comparison.id)
    ).tuples()
    return [
        Known(each.id, name, purpose, each.persona_slug, each.gold, good or 0, n or 0,
              each.overlap > 0)
        for each, name, purpose, good, n in rows
        if each.gold is not None
    ]  # fmt: skip


def scores(session: Session, *, before: datetime | None = None) -> dict[int, tuple[int, int]]:
    """Right first answers and first answers to gold, by annotator; later ones than asked not."""
    in_time = () if before is None else (Judgment.created_at <= before,)
    rows = session.execute(
        select(
            Judgment.annotator_id,
            func.sum(case((Judgment.verdict == Comparison.gold, 1), else_=0)),
            func.count(),
        )
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .where(Comparison.gold.is_not(None), Assignment.attempt == 1, *in_time)
        .group_by(Judgment.annotator_id)
    ).tuples()
    return {who: (int(right), n) for who, right, n in rows}


def next_for(
    session: Session,
    annotator_id: int,
    persona: str | None,
    key: bytes,
    slot: int,
    now: datetime,
) -> Assignment | None:
    """A lease without a seat on gold that this annotator never met; None where there is none."""
    rows = unseen(session, annotator_id, persona)
    best = [row for row in rows if row[1] == rows[0][1]]
    start = number(key, "gold", slot) % len(best) if best else 0
    for comparison_id, _, a, b in best[start:] + best[:start]:
        if not _met(session, annotator_id, a, b):
            return seat_assignment(session, annotator_id, comparison_id, now, LEASE, seat=False)
    return None


def unseen(
    session: Session, annotator_id: int, persona: str | None
) -> Sequence[tuple[int, int, int, int]]:
    """Gold that this annotator has not answered or skipped, the persona's own first.

    Returns:
        Comparison, how far its persona is from the wanted one (0 the same), both candidates.
    """
    one, other = aliased(Candidate), aliased(Candidate)
    near = case((Comparison.persona_slug == persona, 0), else_=1)
    mine = select(Assignment.id).where(
        Assignment.comparison_id == Comparison.id,
        Assignment.annotator_id == annotator_id,
        Assignment.state.in_(ENDED),
    )
    query = (
        select(Comparison.id, near, Comparison.candidate_a_id, Comparison.candidate_b_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(one, one.id == Comparison.candidate_a_id)
        .join(other, other.id == Comparison.candidate_b_id)
        .where(
            Batch.purpose == PURPOSE,
            Batch.state == BatchState.OPEN,
            Comparison.seats > 0,
            Comparison.gold.is_not(None),
            or_(one.author_id.is_(None), one.author_id != annotator_id),
            or_(other.author_id.is_(None), other.author_id != annotator_id),
            ~mine.exists(),
        )
        .order_by(near, Comparison.id)
        .limit(CHOSEN_FROM)
    )
    return session.execute(query).tuples().all()


def takes_no_seat(session: Session, comparison_id: int) -> bool:
    """Whether a comparison is of a gold batch."""
    purpose = session.scalar(
        select(Batch.purpose)
        .join(Comparison, Comparison.batch_id == Batch.id)
        .where(Comparison.id == comparison_id)
    )
    return purpose == PURPOSE


def _met(session: Session, annotator_id: int, a: int, b: int) -> bool:
    """Whether this annotator met the same two candidates as work."""
    query = (
        select(Assignment.id)
        .join(Comparison, Comparison.id == Assignment.comparison_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .where(
            Batch.purpose != PURPOSE,
            Comparison.batch_id == Batch.id,
            Comparison.candidate_a_id == a,
            Comparison.candidate_b_id == b,
            Assignment.annotator_id == annotator_id,
        )
        .limit(1)
    )
    return session.scalar(query) is not None
