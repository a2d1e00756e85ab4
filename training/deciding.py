"""The gate at work: looks at blind comparisons, promotes, rejects, or asks people for more.

Knows the ledger and the gate. Does not know models or services: pairs that have to be written first
are asked for as a job (``training.asking_more``). A decision is one transaction under the persona's
lock, so that two deciders make one change of what answers.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, audit, batches, jobs
from db.clock import utcnow
from db.errors import NotFound
from db.models import BatchState, Job, JobKind, Round, RoundState
from training import prescreening
from training.blind import Standing, batch_judgments, standing
from training.configs import CONFIGS, load_config
from training.errors import GateRefused
from training.evaluation.gate import MORE, WAIT, Decision, decide
from training.evaluation.gate_config import GateConfig
from training.gate_evidence import guards_of, versions
from training.more_judgments import ask_more, news
from training.runs import digest

__all__ = [
    "ask_again",
    "batch_judgments",
    "decide_complete",
    "decide_round",
    "look",
    "waiting_rounds",
]

KEPT = ("asked", "prescreen", "prescreen_job", "exhausted", "looks", "places")
"""What a round's decision keeps from look to look, beside the newest evidence."""


def waiting_rounds(session: Session) -> list[Round]:
    """Rounds whose challenger is being compared."""
    query = select(Round).where(Round.state == RoundState.BLIND).order_by(Round.id)
    return list(session.scalars(query))


def gate_config() -> GateConfig:
    """The gate's configuration as it stands in configs/gate.yaml."""
    return load_config(GateConfig, CONFIGS / "gate.yaml")


def decide_round(
    session: Session,
    round_id: int,
    *,
    actor: str,
    early: str | None = None,
    config: GateConfig | None = None,
) -> Decision:
    """Decide a round by the gate's rule and carry it out. The caller's transaction holds it all.

    Args:
        session: the session.
        round_id: a round in its blind comparison.
        actor: who decides; the worker, or an operator.
        early: an operator's reason to decide although the rule would wait for more judgments.
        config: the gate's; None reads configs/gate.yaml.

    Raises:
        GateRefused: the rule waits for judgments, or the round was decided already.
    """
    decision = look(session, round_id, actor=actor, early=early, config=config)
    if not decision.ended:
        raise GateRefused(f"{decision.words} (an operator may decide now by giving a reason)")
    return decision


def look(
    session: Session,
    round_id: int,
    *,
    actor: str,
    early: str | None = None,
    config: GateConfig | None = None,
) -> Decision:
    """Look at a round under its persona's lock and do what the rule says.

    Promotes or rejects where the rule decides; else notes what is known and asks for more.

    Raises:
        GateRefused: the round is in no blind comparison, or an early decision has no judgment.
    """
    settings = config or gate_config()
    current, answers = _locked(session, round_id)
    if current.state is not RoundState.BLIND or current.challenger_id is None:
        raise GateRefused(
            f"round {current.number} of {current.persona_slug} is {current.state}: "
            + (current.decision.get("words") or "it is in no blind comparison")
        )
    return _looked(session, current, answers, settings, actor, early)


def _locked(session: Session, round_id: int) -> tuple[Round, str]:
    """A round and what answers for its persona, neither of which can change any more.

    The persona is locked before the round, as everywhere.
    """
    persona = session.scalar(select(Round.persona_slug).where(Round.id == round_id))
    if persona is None:
        raise NotFound(f"there is no round {round_id}")
    answers = adapters.locked_incumbent(session, persona).id
    return session.get_one(Round, round_id, with_for_update=True, populate_existing=True), answers


def _looked(
    session: Session,
    current: Round,
    answers: str,
    config: GateConfig,
    actor: str,
    early: str | None = None,
) -> Decision:
    assert current.challenger_id is not None and current.blind_batch_id is not None
    stands = standing(session, current.blind_batch_id)
    frame = batch_judgments(session, current.blind_batch_id, current.persona_slug)
    kept = {name: value for name, value in (current.decision or {}).items() if name in KEPT}
    kept |= prescreening.state(session, current, config)
    decision = _overtaken(
        session,
        current,
        decide(
            frame,
            current.challenger_id,
            current.incumbent_id,
            wanted=stands.wanted,
            missing=stands.missing,
            config=config,
            early=early,
            guards=guards_of(session, current, frame, config),
            prescreen=kept.get("prescreen"),
            exhausted=bool(kept.get("exhausted")),
        ),
        answers,
    )
    if decision.ended:
        _carry_out(session, current, decision, answers, actor)
    elif prescreening.wanted(kept, config):
        kept |= prescreening.ask(session, current, actor)
        decision = replace(decision, outcome=WAIT, more=0, words=prescreening.WAITING)
    elif decision.outcome == MORE:
        kept["asked"], said = ask_more(
            session,
            current,
            kept.get("asked"),
            decision.more,
            not config.count_simulated,
            actor,
        )
        decision = replace(decision, words=decision.words + said)
    current.decision = {
        **kept,
        **decision.evidence(),
        "looks": int(kept.get("looks") or 0) + 1,
        "looked_at": utcnow().isoformat(),
        "seen": _seen(stands, config),
        "versions": versions(session, current, config),
    }
    session.flush()
    return decision


def _overtaken(session: Session, current: Round, decision: Decision, answers: str) -> Decision:
    """The decision where something else answers by now than what was compared."""
    if answers == current.incumbent_id:
        return decision
    change = adapters.history(session, current.persona_slug)[0]
    who = f"{change.actor} ({change.reason[:200]})"
    if answers == current.challenger_id:
        words = f"Promoted by an operator before the gate decided: {who}."
        outcome, because = "promote", "operator"
    else:
        words = (
            "Not promoted: an operator changed what answers while the comparison was under way: "
            f"{answers} in place of {current.incumbent_id}, by {who}. What was compared is no "
            "longer the question; the next round compares with what answers now."
        )
        outcome, because = "reject", "incumbent changed"
    return replace(
        decision,
        outcome=outcome,
        promote=False,
        because=because,
        more=0,
        words=f"{decision.words} {words}",
    )


def _carry_out(
    session: Session, current: Round, decision: Decision, answers: str, actor: str
) -> None:
    """End the round: what answers, its state, its batches."""
    assert current.challenger_id is not None and current.blind_batch_id is not None
    if decision.promote:
        adapters.promote(
            session,
            current.persona_slug,
            current.challenger_id,
            reason=decision.words,
            actor=actor,
            expected=current.incumbent_id,
        )
    won = decision.promote or answers == current.challenger_id
    current.state = RoundState.PROMOTED if won else RoundState.REJECTED
    current.decided_at = utcnow()
    for batch_id in (current.blind_batch_id, current.label_batch_id):
        if batch_id is not None:
            batches.set_state(session, batch_id, BatchState.CLOSED)
    subject = f"{current.persona_slug} round {current.number}"
    audit.record(session, actor, "decide", subject, early=decision.early, outcome=decision.outcome)


def _seen(stands: Standing, config: GateConfig) -> list[Any]:
    """What a look saw: where it is the same, looking again finds the same."""
    return [stands.wanted, stands.judged, stands.judgments, stands.newest, digest(config.rule())]


def ask_again(session: Session, round_id: int) -> None:
    """Forget that asking for more failed, so that the next look asks again.

    Raises:
        GateRefused: nothing failed.
    """
    current, _ = _locked(session, round_id)
    before = current.decision or {}
    if current.state is not RoundState.BLIND or not (before.get("asked") or {}).get("failed"):
        raise GateRefused(
            f"round {current.number} of {current.persona_slug} is {current.state} and waits for "
            "nothing that failed"
        )
    current.decision = {**before, "asked": None, "seen": None}
    session.flush()


def decide_complete(
    sessions: sessionmaker[Session],
    *,
    actor: str,
    next_comparisons: int | None,
    config: GateConfig | None = None,
) -> list[tuple[str, Decision]]:
    """Look at every blind comparison in which something changed since the last look.

    Args:
        sessions: of the ledger.
        actor: who decides.
        next_comparisons: comparisons of the next label batch, asked for as a job in the same
            transaction as a decision; None asks for none.
        config: the gate's; None reads configs/gate.yaml.

    Returns:
        (persona, decision) of each round decided now.
    """
    settings = config or gate_config()
    decided = []
    with sessions.begin() as session:
        waiting = [each.id for each in waiting_rounds(session) if _to_look(session, each, settings)]
    for round_id in waiting:
        with sessions.begin() as session:
            current, answers = _locked(session, round_id)
            if current.state is not RoundState.BLIND:
                continue  # another decider was here first
            persona = current.persona_slug
            decision = _looked(session, current, answers, settings, actor)
            if not decision.ended:
                continue
            decided.append((persona, decision))
            if next_comparisons is not None:
                jobs.enqueue(
                    session,
                    JobKind.GENERATE,
                    persona=persona,
                    params={"comparisons": next_comparisons},
                    requested_by=actor,
                )
    return decided


def _to_look(session: Session, current: Round, config: GateConfig) -> bool:
    """Whether a look can find anything new."""
    if current.blind_batch_id is None:
        return False
    before = current.decision or {}
    if adapters.incumbent(session, current.persona_slug).id != current.incumbent_id:
        return True
    look_of_judge = before.get("prescreen_job")
    if look_of_judge and session.get_one(Job, look_of_judge).state in jobs.LIVE:
        return False
    failed = news(session, before.get("asked"))
    if failed is not False:
        return bool(failed)
    if prescreening.wanted(before, config):
        return True
    return before.get("seen") != _seen(standing(session, current.blind_batch_id), config)
