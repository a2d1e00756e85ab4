"""Pairs whose judgments are all in and do not agree: what waits for an adjudicator. Reads only.

Any two verdicts differ here, a tie and both bad too. Asking one more person where the first ones
name no common winner is ``db.extra_judgments``.
"""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db import blocks
from db.decisions import latest
from db.judgments import ranked_ids
from db.models import Assignment, AssignmentState, Batch, BatchState, Comparison, Verdict


@dataclass(frozen=True)
class Disagreement:
    """A pair whose judgments are all in and do not agree.

    Attributes:
        comparison_id: The pair.
        judgments: Standing judgments of it.
        split: Whether no answer has more than half of them.
    """

    comparison_id: int
    judgments: int
    split: bool


def waiting(session: Session, standing: blocks.Packed | None = None) -> list[Disagreement]:
    """Pairs to decide: every judgment that was wanted is in, and not all say the same.

    Most judged first, then the oldest. One that was decided comes back only when a judgment is new
    since. Gold has its answer and never waits. In a closed batch what is there is all that comes.

    Args:
        session: The session; a reader's is best.
        standing: The standing judgments, where the caller has them already.
    """
    packed = blocks.standing(session) if standing is None else standing
    if not packed.n:
        return []
    ids, codes = ranked_ids(packed.comparison)
    answers = len(Verdict)
    tally = np.bincount(
        codes.astype(np.int64) * answers + packed.verdict, minlength=answers * len(ids)
    ).reshape(-1, answers)
    n = tally.sum(axis=1)
    disagree = (tally > 0).sum(axis=1) > 1
    complete = np.isin(ids, list(_complete(session)))
    decided = _decided(session, packed)
    found = [
        Disagreement(int(ids[at]), int(n[at]), bool(2 * tally[at].max() <= n[at]))
        for at in np.flatnonzero(disagree & complete)
        if int(ids[at]) not in decided
    ]
    return sorted(found, key=lambda each: (-each.judgments, each.comparison_id))


def _complete(session: Session) -> set[int]:
    """Pairs of which no further judgment is to come."""
    held = select(Assignment.comparison_id).where(
        Assignment.state == AssignmentState.LEASED, Assignment.seat
    )
    query = (
        select(Comparison.id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .where(
            Comparison.overlap > 0,
            or_(Comparison.seats == 0, Batch.state == BatchState.CLOSED),
            Comparison.gold.is_(None),
            Batch.purpose != "gold",
            Comparison.id.not_in(held),
        )
    )
    return set(session.scalars(query))


def _decided(session: Session, packed: blocks.Packed) -> set[int]:
    """Pairs that were decided with every judgment that stands now in sight."""
    rows = latest(session)
    if not rows:
        return set()
    of_these = np.isin(packed.comparison, list(rows))
    there: dict[int, set[int]] = {}
    for comparison, judgment in zip(
        packed.comparison[of_these].tolist(), packed.judgment[of_these].tolist(), strict=True
    ):
        there.setdefault(comparison, set()).add(judgment)
    return {
        comparison
        for comparison, row in rows.items()
        if there.get(comparison, set()) <= set(row.judgments)
    }
