"""Who may decide a pair: nobody their own text, nobody their own judgment while others could.

Reads only. Knows nothing of what they decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db.models import Annotator, AnnotatorKind, Candidate, Comparison, Judgment, Role


@dataclass
class Involved:
    """Ids of who judged a pair and of who wrote one of its texts."""

    judges: set[int] = field(default_factory=set[int])
    authors: set[int] = field(default_factory=set[int])

    @property
    def everybody(self) -> set[int]:
        """All of them."""
        return self.judges | self.authors


def involved(session: Session, comparisons: Sequence[int]) -> dict[int, Involved]:
    """Who has to do with each of some pairs (a few hundred at most)."""
    found = {each: Involved() for each in comparisons}
    judged = select(Judgment.comparison_id, Judgment.annotator_id).where(
        Judgment.comparison_id.in_(comparisons)
    )
    for comparison_id, annotator_id in session.execute(judged).tuples():
        found[comparison_id].judges.add(annotator_id)
    sides = or_(
        Candidate.id == Comparison.candidate_a_id, Candidate.id == Comparison.candidate_b_id
    )
    wrote = (
        select(Comparison.id, Candidate.author_id)
        .join(Candidate, sides)
        .where(Comparison.id.in_(comparisons))
    )
    for comparison_id, author_id in session.execute(wrote).tuples():
        if author_id is not None:
            found[comparison_id].authors.add(author_id)
    return found


def other_admins(session: Session, annotator_id: int) -> set[int]:
    """Ids of the people who could decide instead of this one."""
    query = select(Annotator.id).where(
        Annotator.role == Role.ADMIN,
        Annotator.kind == AnnotatorKind.HUMAN,
        Annotator.active,
        Annotator.id != annotator_id,
    )
    return set(session.scalars(query))


def refusal(annotator_id: int, who: Involved, others: set[int]) -> str | None:
    """Why this person may not decide a pair; None where they may.

    Args:
        annotator_id: The person.
        who: Who has to do with the pair.
        others: The other admins.
    """
    if annotator_id in who.authors:
        return "you wrote one of these texts; somebody else has to decide"
    if annotator_id in who.judges and others - who.everybody:
        return "you judged this pair yourself; another admin can decide it"
    return None
