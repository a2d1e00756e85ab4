"""Batches and their comparisons: what is asked, how often, and how far it has come."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import set_aside
from db.errors import NotFound, Refused
from db.models import (
    Annotator,
    AnnotatorKind,
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    BatchState,
    Candidate,
    Comparison,
    Judgment,
    Retraction,
    Verdict,
)

SWAPPED = {
    Verdict.A: Verdict.B,
    Verdict.B: Verdict.A,
    Verdict.TIE: Verdict.TIE,
    Verdict.BOTH_BAD: Verdict.BOTH_BAD,
}
"""A verdict as it reads when the two sides change places."""


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch has come, in comparisons and judgments.

    Attributes:
        comparisons: Comparisons that can be shown.
        wanted: Judgments asked for: the sum of their overlaps.
        judged: Standing judgments that fill one of those (imports do not).
        leased: Comparisons being looked at now.
        skipped: Skips so far.
        simulated: Those of ``judged`` that no person made.
        imported: Standing judgments that came with an import.
    """

    comparisons: int
    wanted: int
    judged: int
    leased: int
    skipped: int
    simulated: int
    imported: int = 0


def open_batch(
    session: Session,
    *,
    name: str,
    kind: BatchKind | str,
    persona: str | None = None,
    overlap: int = 1,
    priority: int = 0,
    round_number: int | None = None,
) -> Batch:
    """Make a batch, or find the one of this name (which keeps its own settings).

    Args:
        session: The session.
        name: Unique name.
        kind: ``label``, ``blind`` or ``imported``.
        persona: Slug; None where its comparisons belong to several or none.
        overlap: Judgments wanted a comparison, by different annotators; at least 1.
        priority: Higher is asked first.
        round_number: Of another ledger, where an import tells it.

    Raises:
        Refused: The name is taken by a batch of another kind or persona, or a value is bad.
    """
    if overlap < 1:
        raise Refused(f"overlap must be at least 1, not {overlap}")
    if not name.strip():
        raise Refused("a batch needs a name")
    found = session.scalar(select(Batch).where(Batch.name == name))
    if found is not None:
        if found.kind != kind or found.persona_slug != persona:
            raise Refused(f"the name {name!r} is taken by a {found.kind} batch; choose another")
        return found
    made = Batch(
        name=name,
        kind=BatchKind(kind),
        persona_slug=persona,
        overlap=overlap,
        priority=priority,
        round_number=round_number,
    )
    session.add(made)
    session.flush()
    return made


def put_comparison(
    session: Session,
    batch: Batch,
    one: Candidate,
    other: Candidate,
    *,
    gold: Verdict | str | None = None,
    external_id: str | None = None,
    overlap: int | None = None,
) -> Comparison:
    """Ask for one pair in a batch, or find it there. Candidates come in any order.

    Args:
        session: The session.
        batch: Where.
        one: A candidate.
        other: Another for the same prompt and persona, with another text.
        gold: The known answer as seen with ``one`` as a and ``other`` as b.
        external_id: The importer's id of the pair.
        overlap: Judgments wanted of this one; None for the batch's, 0 to show it to nobody. A pair
            with an empty text is never shown.

    Raises:
        Refused: The two are one, answer different prompts or personas, or read the same.
    """
    low, high = sorted((one, other), key=lambda each: each.id)
    found = session.scalar(
        select(Comparison).where(
            Comparison.batch_id == batch.id,
            Comparison.candidate_a_id == low.id,
            Comparison.candidate_b_id == high.id,
        )
    )
    made = comparison_of(batch, one, other, gold=gold, external_id=external_id, overlap=overlap)
    if found is not None:
        return found
    session.add(made)
    session.flush()
    set_aside.check(session, made)
    return made


def comparison_of(
    batch: Batch,
    one: Candidate,
    other: Candidate,
    *,
    gold: Verdict | str | None = None,
    external_id: str | None = None,
    overlap: int | None = None,
) -> Comparison:
    """The comparison that ``put_comparison`` would make, in no session yet.

    Raises:
        Refused: The two are one, answer different prompts or personas, or read the same.
    """
    if one.id == other.id:
        raise Refused("a comparison needs two different candidates")
    if one.prompt_id != other.prompt_id:
        raise Refused(f"candidates {one.id} and {other.id} answer different prompts")
    if one.persona_slug != other.persona_slug:
        raise Refused(f"candidates {one.id} and {other.id} speak as different personas")
    shown = bool(one.text.strip()) and bool(other.text.strip())
    if shown and one.text.strip() == other.text.strip():
        raise Refused(f"candidates {one.id} and {other.id} have the same text: nothing to compare")
    answer = None if gold is None else Verdict(gold)
    if one.id > other.id:
        one, other = other, one
        answer = None if answer is None else SWAPPED[answer]
    wanted = batch.overlap if overlap is None else overlap
    wanted = wanted if shown else 0
    return Comparison(
        batch_id=batch.id,
        prompt_id=one.prompt_id,
        persona_slug=one.persona_slug,
        candidate_a_id=one.id,
        candidate_b_id=other.id,
        gold=answer,
        overlap=wanted,
        seats=wanted,
        external_id=external_id,
    )


def set_overlap(session: Session, comparison: Comparison, overlap: int) -> None:
    """Ask for more or fewer judgments of one comparison; what is taken already stays.

    Raises:
        Refused: Fewer are asked than annotators have or hold it already.
    """
    locked = session.get_one(Comparison, comparison.id, with_for_update=True)
    if set_aside.wanted_later(session, locked, overlap):
        return
    taken = locked.overlap - locked.seats
    if overlap < taken:
        raise Refused(f"{taken} annotators have this pair already; overlap cannot be {overlap}")
    locked.overlap = overlap
    locked.seats = overlap - taken
    session.flush()


def batch(session: Session, name_or_id: str | int) -> Batch:
    """One batch by its name or id.

    Raises:
        NotFound: There is none.
    """
    column = Batch.id if isinstance(name_or_id, int) else Batch.name
    found = session.scalar(select(Batch).where(column == name_or_id))
    if found is None:
        raise NotFound(f"there is no batch {name_or_id!r}")
    return found


def batches(session: Session, *, persona: str | None = None) -> list[Batch]:
    """Batches, newest first, of one persona or of all."""
    query = select(Batch).order_by(Batch.id.desc())
    if persona is not None:
        query = query.where(Batch.persona_slug == persona)
    return list(session.scalars(query))


def set_state(session: Session, batch_id: int, state: BatchState | str) -> Batch:
    """Open, pause or close a batch. What is leased now may still be judged."""
    found = batch(session, batch_id)
    found.state = BatchState(state)
    session.flush()
    return found


def progress(session: Session, batch_id: int) -> BatchProgress:
    """How far a batch has come. Counts its rows: for dashboards, not for the claim.

    Raises:
        NotFound: There is no such batch.
    """
    is_gold = batch(session, batch_id).purpose == "gold"
    comparisons, wanted = session.execute(
        select(func.count(), func.coalesce(func.sum(Comparison.overlap), 0)).where(
            Comparison.batch_id == batch_id, Comparison.overlap > 0
        )
    ).one()
    states = dict(
        session.execute(
            select(Assignment.state, func.count())
            .join(Comparison, Comparison.id == Assignment.comparison_id)
            .where(
                Comparison.batch_id == batch_id,
                Assignment.state.in_([AssignmentState.LEASED, AssignmentState.SKIPPED]),
            )
            .group_by(Assignment.state)
        )
        .tuples()
        .all()
    )
    kinds = session.execute(
        select(Annotator.kind, Assignment.seat, func.count())
        .select_from(Judgment)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(Comparison.batch_id == batch_id, Retraction.judgment_id.is_(None))
        .group_by(Annotator.kind, Assignment.seat)
    ).all()
    return BatchProgress(
        comparisons=comparisons,
        wanted=wanted,
        judged=sum(count for _, seat, count in kinds if seat or is_gold),
        leased=states.get(AssignmentState.LEASED, 0),
        skipped=states.get(AssignmentState.SKIPPED, 0),
        simulated=sum(
            c for kind, seat, c in kinds if (seat or is_gold) and kind != AnnotatorKind.HUMAN
        ),
        imported=sum(count for _, seat, count in kinds if not seat and not is_gold),
    )
