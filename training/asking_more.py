"""The jobs that a waiting gate asks for: more pairs for people, or a judge's look before them.

Knows which is which and what is noted in the round. Does not know when they are asked for
(``training.deciding``).
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from db.models import Round, RoundState
from training.batches import BatchMaker
from training.blind import pairs_of
from training.candidates import CandidateConfig, Progress
from training.service import Service

Sessions = sessionmaker[Session]


def is_more(params: Mapping[str, Any]) -> bool:
    """Whether a job of these parameters is one of the gate's, on the pairs of a round."""
    return "round" in params


def more_pairs(
    sessions: Sessions,
    service: Service,
    round_id: int,
    total: int,
    config: CandidateConfig,
    progress: Progress = lambda stage, share: None,
) -> str:
    """Write pairs for a round's blind batch until it has ``total``; what was done, in words.

    Killed after it was done, it does nothing more. Where not one more pair differs, the round says
    so and the gate decides on what there is.
    """
    with sessions.begin() as session:
        current = session.get_one(Round, round_id)
        if current.state is not RoundState.BLIND or current.blind_batch_id is None:
            return f"round {current.number} of {current.persona_slug} is decided already"
        persona, batch_id = current.persona_slug, current.blind_batch_id
        challenger, incumbent = current.challenger_id, current.incumbent_id
        more = total - pairs_of(session, batch_id)
    assert challenger is not None
    if more <= 0:
        return f"{challenger} and {incumbent} have {total} blind comparisons already"
    maker = BatchMaker(sessions, service, persona, config, progress)
    added = maker.more_blind(batch_id, challenger, incumbent, more)
    if not added:
        with sessions.begin() as session:
            current = session.get_one(Round, round_id, with_for_update=True)
            current.decision = {**(current.decision or {}), "exhausted": True, "seen": None}
        return f"no further pair of {challenger} and {incumbent} differs enough to ask"
    return f"{added} more blind comparisons of {challenger} with {incumbent} are asked for"
