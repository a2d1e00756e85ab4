"""The readiness gate of a retraining, on the ledger's judgments.

Knows where evidence comes from and how a refusal is said. The questions are preference's.
"""

from sqlalchemy.orm import Session

from db import readiness
from preference.readiness import Limits, Readiness, assess
from training.errors import NotReady


def readiness_of(
    session: Session, persona: str, limits: Limits, *, include_simulated: bool
) -> Readiness:
    """What the judgments that a persona could be trained on now are like."""
    told = readiness.evidence(session, persona, include_simulated=include_simulated)
    return assess(told, limits)


def refuse_unready(
    session: Session, persona: str, limits: Limits, *, include_simulated: bool
) -> None:
    """Refuse judgments that are not good enough to train on.

    Raises:
        NotReady: saying which question failed and how many more judgments would do.
    """
    found = readiness_of(session, persona, limits, include_simulated=include_simulated)
    if not found.ready:
        raise NotReady(not_ready(found))


def not_ready(found: Readiness) -> str:
    """What refuses, and the way past it, in a line."""
    return (
        f"the judgments are not ready to train on: {found.in_words()}; `personaloop retrain "
        '--force "WHY"` trains all the same and records why'
    )
