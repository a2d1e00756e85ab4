"""What happens when a blind comparison is complete: promoted or rejected, once, in one transaction.

Knows the ledger and the gate. Does not know models or services.
"""

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, audit, batches, jobs, judgments
from db.clock import utcnow
from db.errors import NotFound
from db.models import BatchState, JobKind, Round, RoundState
from training.errors import GateRefused
from training.evaluation.gate import Decision, decide


def batch_judgments(session: Session, batch_id: int, persona: str | None = None) -> pd.DataFrame:
    """The standing judgments of one batch."""
    name = batches.batch(session, batch_id).name
    frame = judgments.standing_frame(session, persona=persona)
    return pd.DataFrame(frame[frame["batch"] == name])


def waiting_rounds(session: Session) -> list[Round]:
    """Rounds whose challenger is being compared."""
    query = select(Round).where(Round.state == RoundState.BLIND).order_by(Round.id)
    return list(session.scalars(query))


def decide_round(
    session: Session, round_id: int, *, actor: str, early: str | None = None
) -> Decision:
    """Decide a round by the gate's rule and carry it out. The caller's transaction holds it all.

    Args:
        session: the session.
        round_id: a round in its blind comparison.
        actor: who decides; the worker, or an operator.
        early: an operator's reason to decide before every judgment is in.

    Raises:
        GateRefused: the round waits for judgments, or was decided already.
    """
    current = session.get(Round, round_id, with_for_update=True, populate_existing=True)
    if current is None:
        raise NotFound(f"there is no round {round_id}")
    if current.state is not RoundState.BLIND or current.challenger_id is None:
        raise GateRefused(f"round {current.number} of {current.persona_slug} is {current.state}")
    assert current.blind_batch_id is not None
    persona = current.persona_slug
    progress = batches.progress(session, current.blind_batch_id)
    decision = decide(
        batch_judgments(session, current.blind_batch_id, persona),
        current.challenger_id,
        current.incumbent_id,
        wanted=progress.wanted,
        early=early,
    )
    evidence = decision.evidence()
    promote = decision.promote
    if promote and adapters.incumbent(session, persona).id != current.incumbent_id:
        promote = False
        evidence["promote"] = False
        evidence["words"] += (
            " Not promoted: an operator changed what answers while the comparison was under way."
        )
    if promote:
        adapters.promote(
            session, persona, current.challenger_id, reason=decision.words, actor=actor
        )
    current.decision = evidence
    current.state = RoundState.PROMOTED if promote else RoundState.REJECTED
    current.decided_at = utcnow()
    batches.set_state(session, current.blind_batch_id, BatchState.CLOSED)
    if current.label_batch_id is not None:
        batches.set_state(session, current.label_batch_id, BatchState.CLOSED)
    audit.record(session, actor, "decide", f"{persona} round {current.number}", early=early)
    return decision


def decide_complete(
    sessions: sessionmaker[Session], *, actor: str, next_comparisons: int | None
) -> list[tuple[str, Decision]]:
    """Decide every round whose judgments are all in.

    Args:
        sessions: of the ledger.
        actor: who decides.
        next_comparisons: comparisons of the next label batch, asked for as a job in the same
            transaction; None asks for none.

    Returns:
        (persona, decision) of each round decided now.
    """
    decided = []
    with sessions.begin() as session:
        waiting = [(each.id, each.persona_slug) for each in waiting_rounds(session)]
    for round_id, persona in waiting:
        with sessions.begin() as session:
            current = session.get_one(Round, round_id)
            if current.blind_batch_id is None or current.state is not RoundState.BLIND:
                continue
            progress = batches.progress(session, current.blind_batch_id)
            if progress.judged < max(1, progress.wanted):
                continue
            decided.append((persona, decide_round(session, round_id, actor=actor)))
            if next_comparisons is not None:
                jobs.enqueue(
                    session,
                    JobKind.GENERATE,
                    persona=persona,
                    params={"comparisons": next_comparisons},
                    requested_by=actor,
                )
    return decided
