"""What a blind batch holds: who said what of which prompt, how far it is, how long responses are.

Reads one batch by its index, however many judgments the ledger has. Knows the ledger; does not know
the gate.
"""

from dataclasses import dataclass
from enum import StrEnum

import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db import batches
from db.models import (
    Annotator,
    AnnotatorKind,
    Assignment,
    AssignmentState,
    Candidate,
    Comparison,
    Judgment,
    Retraction,
)

COLUMNS = (
    "judgment",
    "item_a",
    "item_b",
    "verdict",
    "annotator",
    "annotator_kind",
    "prompt",
    "persona",
    "comparison",
    "safe",
    "created_at",
)


@dataclass(frozen=True)
class Standing:
    """Where a batch stands; two equal ones hold the same judgments.

    Attributes:
        wanted: judgments asked for.
        judged: of these, given; by whomever.
        judgments: standing ones, imported ones included.
        newest: id of the newest judgment that stands, 0 where there is none.
    """

    wanted: int
    judged: int
    judgments: int
    newest: int

    @property
    def missing(self) -> int:
        """Judgments still to be given."""
        return max(0, self.wanted - self.judged)


def standing(session: Session, batch_id: int) -> Standing:
    """How far a batch is."""
    done = batches.progress(session, batch_id)
    count, newest = session.execute(
        select(func.count(), func.coalesce(func.max(Judgment.id), 0))
        .select_from(Judgment)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(Comparison.batch_id == batch_id, Retraction.judgment_id.is_(None))
    ).one()
    return Standing(done.wanted, done.judged, int(count), int(newest))


def batch_judgments(session: Session, batch_id: int, persona: str | None = None) -> pd.DataFrame:
    """The standing judgments of one batch in the order they were given; columns ``COLUMNS``.

    Items are adapter ids, verdicts canonical; ``safe`` is the answer about the preferred response.
    """
    a, b = aliased(Candidate), aliased(Candidate)
    query = (
        select(
            Judgment.id,
            a.adapter_id,
            b.adapter_id,
            Judgment.verdict,
            Annotator.name,
            Annotator.kind,
            Comparison.prompt_id,
            Comparison.persona_slug,
            Comparison.id,
            Judgment.safe,
            Judgment.created_at,
        )
        .select_from(Judgment)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(a, a.id == Comparison.candidate_a_id)
        .join(b, b.id == Comparison.candidate_b_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(Comparison.batch_id == batch_id, Retraction.judgment_id.is_(None))
        .order_by(Judgment.id)
    )
    if persona is not None:
        query = query.where(Comparison.persona_slug == persona)
    rows = [
        [str(value) if isinstance(value, StrEnum) else value for value in row]
        for row in session.execute(query).tuples()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def pairs_of(session: Session, batch_id: int) -> int:
    """How many pairs a batch has, those that are shown to nobody included."""
    query = select(func.count()).select_from(Comparison).where(Comparison.batch_id == batch_id)
    return session.scalar(query) or 0


def mean_lengths(session: Session, batch_id: int) -> dict[str, float]:
    """Mean characters of the responses that a batch asks about, by adapter id."""
    return {
        adapter: float(mean)
        for adapter, mean in session.execute(
            select(Candidate.adapter_id, func.avg(func.length(Candidate.text)))
            .select_from(Comparison)
            .join(
                Candidate,
                (Candidate.id == Comparison.candidate_a_id)
                | (Candidate.id == Comparison.candidate_b_id),
            )
            .where(Comparison.batch_id == batch_id, Comparison.overlap > 0)
            .group_by(Candidate.adapter_id)
        ).tuples()
        if mean
    }


def ask_people_again(session: Session, batch_id: int, most: int) -> int:
    """Ask for one more judgment of pairs that only others than people judged; how many are asked.

    Args:
        session: the session.
        batch_id: the batch.
        most: judgments to ask for, at most.
    """
    by_people = (
        select(Judgment.comparison_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(
            Comparison.batch_id == batch_id,
            Annotator.kind == AnnotatorKind.HUMAN,
            Retraction.judgment_id.is_(None),
        )
    )
    held = select(Assignment.comparison_id).where(Assignment.state == AssignmentState.LEASED)
    waiting = session.scalars(
        select(Comparison)
        .where(
            Comparison.batch_id == batch_id,
            Comparison.overlap > 0,
            Comparison.seats == 0,
            Comparison.id.not_in(by_people),
            Comparison.id.not_in(held),
        )
        .order_by(Comparison.rank, Comparison.id)
        .limit(most)
    )
    asked = 0
    for comparison in waiting:
        batches.set_overlap(session, comparison, comparison.overlap + 1)
        asked += 1
    return asked
