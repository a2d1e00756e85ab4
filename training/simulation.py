"""Simulated annotators at work: they claim and judge through the same verbs as people.

Knows the labeling verbs and judges. Does not know what the judgments are for. What they store says
``simulated`` in the annotator's kind and name.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session, sessionmaker

from db import labeling, people
from db.errors import Refused
from db.models import AnnotatorKind
from training.evaluation.judges import SimulatedAnnotator

Progress = Callable[[str, float], None]


def judge_all(
    sessions: sessionmaker[Session],
    panel: Sequence[SimulatedAnnotator],
    *,
    batch_id: int | None = None,
    most: int | None = None,
    kind: AnnotatorKind = AnnotatorKind.SIMULATED,
    progress: Progress = lambda stage, share: None,
) -> int:
    """Let the annotators judge in turns until nothing is left for any of them.

    Args:
        sessions: of the ledger.
        panel: the annotators.
        batch_id: only this batch; None for every open one.
        most: judgments after which to stop; None for no limit.
        kind: what they are stored as.
        progress: told the share done where ``most`` is given.

    Returns:
        How many judgments were stored.
    """
    with sessions.begin() as session:
        ids = [people.put_annotator(session, one.name, kind=kind).id for one in panel]
    done, idle, turn = 0, 0, 0
    while idle < len(panel) and (most is None or done < most):
        one, annotator_id = panel[turn % len(panel)], ids[turn % len(panel)]
        turn += 1
        if _judge_one(sessions, one, annotator_id, batch_id):
            done, idle = done + 1, 0
            progress("judging", done / most if most else 0.0)
        else:
            idle += 1
    return done


def _judge_one(
    sessions: sessionmaker[Session],
    one: SimulatedAnnotator,
    annotator_id: int,
    batch_id: int | None,
) -> bool:
    """Claim and judge one pair in one transaction; False when there is none for this annotator."""
    with sessions.begin() as session:
        shown = labeling.claim(session, annotator_id, batch_id=batch_id)
        if shown is None:
            return False
        opinion = one.opinion(
            shown.messages, shown.persona_slug, shown.response_a, shown.response_b
        )
        try:
            labeling.judge(
                session,
                shown.token,
                annotator_id,
                opinion.verdict,
                strength=opinion.strength,
                min_dwell=False,
                source="simulated",
            )
        except Refused:
            return False
        return True
