"""Extra judgments where the first ones disagree: how many judgments a comparison wants now.

Each standing judgment says one of three outcomes: A, B, or no winner (a tie and both bad prefer
nothing, so they do not differ here; to an adjudicator, ``db.disagreements``, they do). While a
batch's overlap is being filled nothing is added. When it is filled, one more is wanted unless all
say the same; after that one more at a time until more than half say the same, up to the batch's
extra overlap. What an undo or a revision made unnecessary is given back as long as nobody has taken
it. Knows no leases and no pages.
"""

from collections.abc import Sequence

from sqlalchemy import Integer, bindparam, or_, select, update
from sqlalchemy.orm import Session

from db.models import Assignment, AssignmentState, Batch, Comparison, Judgment, SetAside, Verdict

_COMPARISON = bindparam("comparison", type_=Integer)
_TERMS = (
    select(Batch.overlap, Batch.extra_overlap)
    .join(Comparison, Comparison.batch_id == Batch.id)
    .where(Comparison.id == _COMPARISON, Batch.purpose != "gold")
)
_LOCKED = (
    select(Comparison.overlap, Comparison.seats)
    .where(Comparison.id == _COMPARISON)
    .with_for_update(of=Comparison, key_share=True)
)
_IN_ORDER = (
    select(Comparison.id)
    .where(Comparison.id.in_(bindparam("comparisons", expanding=True)))
    .order_by(Comparison.id)
    .with_for_update(of=Comparison, key_share=True)
)
_STANDING = (
    select(Judgment.verdict)
    .join(Assignment, Assignment.id == Judgment.assignment_id)
    .where(
        Assignment.comparison_id == _COMPARISON,
        Assignment.state == AssignmentState.JUDGED,
        Assignment.seat,
    )
)
_ASIDE = select(SetAside.comparison_id).where(
    SetAside.comparison_id == _COMPARISON,
    or_(SetAside.decision.is_(None), SetAside.decision != "released"),
)
_MORE = bindparam("more", type_=Integer)
_SET = (
    update(Comparison)
    .where(Comparison.id == _COMPARISON)
    .values(overlap=Comparison.overlap + _MORE, seats=Comparison.seats + _MORE)
    .execution_options(synchronize_session=False)
)


def outcome(verdict: Verdict) -> str:
    """What a verdict says about who won: ``a``, ``b`` or ``none``."""
    return verdict.value if verdict in {Verdict.A, Verdict.B} else "none"


def judgments_wanted(verdicts: Sequence[Verdict], overlap: int, extra: int) -> int:
    """How many judgments a comparison wants, from those that stand.

    Args:
        verdicts: Standing verdicts, in any order.
        overlap: Judgments wanted anyway.
        extra: Judgments that may be added.
    """
    count = len(verdicts)
    if count < overlap:
        return overlap
    outcomes = [outcome(verdict) for verdict in verdicts]
    most = max(map(outcomes.count, outcomes), default=0)
    settled = most == count or (count > overlap and 2 * most > count)
    return count if settled else min(count + 1, overlap + extra)


def lock(session: Session, *comparisons: int) -> None:
    """Lock several comparisons in the order of their ids, so that nobody waits in a circle."""
    session.execute(_IN_ORDER, {"comparisons": sorted(set(comparisons))}).all()


def settle(session: Session, comparison_id: int) -> int:
    """Give a comparison the seats that its standing judgments call for; returns the change.

    Where a batch adds no judgments this reads one row and does nothing. Else the comparison's row
    stays locked until the transaction ends, so that of two annotators who answer at once the second
    sees the first's answer. A comparison that asks for a number of its own, was taken out of the
    queue or was set aside is left alone.
    """
    terms = session.execute(_TERMS, {"comparison": comparison_id}).tuples().first()
    if terms is None or not terms[1]:
        return 0
    base, extra = terms
    values = {"comparison": comparison_id}
    overlap, seats = session.execute(_LOCKED, values).tuples().one()
    if not base <= overlap <= base + extra:
        return 0
    if session.scalar(_ASIDE, values) is not None:
        return 0
    verdicts = session.scalars(_STANDING, values).all()
    wanted = max(judgments_wanted(verdicts, base, extra), overlap - seats)
    more = wanted - overlap
    if more:
        session.execute(_SET, {"comparison": comparison_id, "more": more})
    return more
