"""Asking people for more judgments of a blind comparison: of known pairs, and of pairs to write.

Knows the ledger and its jobs. Does not know when more are wanted (``training.deciding``), nor how
pairs are written (``training.asking_more``).
"""

from typing import Any

from sqlalchemy.orm import Session

from db import audit, jobs
from db.models import Job, JobKind, JobState, Round
from training.blind import ask_people_again, pairs_of

FAILED = (JobState.FAILED, JobState.CANCELLED)


def ask_more(
    session: Session,
    current: Round,
    before: dict[str, Any] | None,
    more: int,
    people_only: bool,
    actor: str,
) -> tuple[dict[str, Any], str]:
    """Ask for more judgments: of pairs that no person judged, and of pairs to be written.

    Returns:
        What was asked, and what is to be said beside the decision. Where the last time failed
        nothing is asked before an operator says so.
    """
    assert current.blind_batch_id is not None
    persona = current.persona_slug
    job = None if before is None else before.get("job")
    last = None if job is None else session.get_one(Job, job)
    if before is not None and last is not None and last.state in FAILED:
        said = f" Writing more pairs {last.state.value}: {last.message or 'no reason given'};"
        said += f" `personaloop rounds ask {persona}` asks again."
        return {**before, "failed": True}, said
    again = 0
    if people_only:
        again = ask_people_again(session, current.blind_batch_id, more)
    asked: dict[str, Any] = {"judgments": more, "of_known_pairs": again, "job": None}
    if more > again:
        total = pairs_of(session, current.blind_batch_id) + more - again
        params = {"round": current.id, "total": total}
        asked["job"] = jobs.enqueue(
            session, JobKind.GENERATE, persona=persona, params=params, requested_by=actor
        ).id
    audit.record(session, actor, "ask for more", f"{persona} round {current.number}", **asked)
    return asked, ""


def news(session: Session, asked: dict[str, Any] | None) -> bool | None:
    """Whether asking for more failed since it was noted; None while it is still being done."""
    job = None if asked is None else asked.get("job")
    if asked is None or job is None:
        return False
    state = session.get_one(Job, job).state
    return None if state in jobs.LIVE else state in FAILED and not asked.get("failed")
