"""What operators do from a page: one transaction each, written to the audit log.

Knows the ledger's verbs; knows no page. Every refusal is a ``PersonaLoopError`` whose words can be
shown as they are.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from annotate_app import work_queries
from db import adapters, audit, batches, gold, invites, jobs, logins, pausing, people, returns
from db.errors import NotFound, Refused
from db.models import Batch, BatchState, JobKind, Role
from db.session import transact

T = TypeVar("T")


def _do(work: Callable[..., T]) -> T:
    done = transact(None, work)
    work_queries.forget()
    return done


def retrain(
    persona: str, *, actor: str, include_simulated: bool = False, force: str | None = None
) -> int:
    """Ask a worker to retrain a persona; gives the job's number.

    Args:
        persona: Slug.
        actor: Who asks.
        include_simulated: Learn from judgments that no person made too.
        force: Why although the judgments are not ready; None lets the readiness gate refuse.

    Raises:
        Refused: A retraining of this persona is under way, or ``force`` says nothing.
    """
    params: dict[str, Any] = {"include_simulated": True} if include_simulated else {}
    if force is not None:
        if not force.strip():
            raise Refused("say in a few words why, so that others can follow the decision")
        params["force"] = force.strip()

    def work(session: Any) -> int:
        job = jobs.enqueue(
            session, JobKind.RETRAIN, persona=persona, params=params, requested_by=actor
        )
        audit.record(session, actor, "retrain", persona, job=job.id, **params)
        return job.id

    return _do(work)


def make_pairs(persona: str, *, actor: str) -> int:
    """Ask a worker for new pairs to judge; gives the job's number.

    Raises:
        Refused: Pairs for this persona are being made already.
    """

    def work(session: Any) -> int:
        for live in jobs.jobs(session, persona=persona, live=True):
            if live.kind is JobKind.GENERATE:
                raise Refused(f"pairs for {persona} are being made already (job {live.id})")
        job = jobs.enqueue(session, JobKind.GENERATE, persona=persona, requested_by=actor)
        audit.record(session, actor, "generate", persona, job=job.id)
        return job.id

    return _do(work)


def cancel_job(job_id: int, *, actor: str) -> None:
    """Cancel a queued or running job.

    Raises:
        Refused: It ended meanwhile.
    """

    def work(session: Any) -> None:
        jobs.cancel(session, job_id)
        audit.record(session, actor, "cancel job", str(job_id))

    _do(work)


def promote(persona: str, adapter_id: str, *, reason: str, actor: str) -> None:
    """Let an adapter answer for a persona.

    Raises:
        Refused: There is no reason, or the adapter cannot answer for this persona.
    """
    if not reason.strip():
        raise Refused("say in a few words why, so that others can follow the decision")
    _do(
        lambda session: adapters.promote(
            session, persona, adapter_id, reason=reason.strip(), actor=actor
        )
    )


def roll_back(persona: str, *, actor: str) -> str:
    """Go back to what answered before; gives its id.

    Raises:
        Refused: Nothing answered before.
    """
    return _do(lambda session: adapters.rollback(session, persona, actor=actor).adapter_id)


def invite(name: str, role: str, *, actor: str) -> str:
    """A one-time sign-in token.

    Raises:
        Refused: The name is not usable, or its account is switched off.
    """

    def work(session: Any) -> str:
        token = people.invite(session, name, Role(role))
        audit.record(session, actor, "invite", name.strip(), role=role)
        return token

    return _do(work)


def revoke_invite(invite_id: int, *, actor: str) -> str:
    """Take a link back before anybody uses it; gives the name of who was invited.

    Raises:
        Refused: It was used meanwhile.
    """

    def work(session: Any) -> str:
        name = invites.revoke(session, invite_id)
        audit.record(session, actor, "revoke invite", name, invite=invite_id)
        return name

    return _do(work)


def set_role(name: str, role: str, *, actor: str) -> None:
    """Change what somebody may do. Nobody changes their own role, so that an admin remains."""
    if name == actor:
        raise Refused("you cannot change your own role; another admin can")

    def work(session: Any) -> None:
        people.set_role(session, name, Role(role))
        audit.record(session, actor, "set role", name, role=role)

    _do(work)


def pause(name: str, reason: str, *, actor: str) -> None:
    """Hand somebody no pair any more; they may still sign in.

    Raises:
        Refused: They are paused already.
    """
    _do(lambda session: pausing.pause(session, people.person(session, name), reason, actor=actor))


def sign_out(name: str, *, actor: str) -> int:
    """Sign somebody out in every browser; gives how many."""

    def work(session: Any) -> int:
        ended = logins.revoke_all(session, people.person(session, name).id)
        audit.record(session, actor, "sign out", name, logins_ended=ended)
        return ended

    return _do(work)


def resume(name: str, *, actor: str) -> None:
    """Let somebody who was paused judge again.

    Raises:
        Refused: They are not paused.
    """
    _do(lambda session: pausing.resume(session, people.person(session, name), actor=actor))


def return_judgment(judgment_id: int, note: str, *, actor: str) -> None:
    """Give a judgment back to its annotator; it stands until they revise it.

    Raises:
        Refused: There is no note, or it cannot be revised.
    """
    _do(lambda session: returns.give_back(session, judgment_id, note, actor=actor))


def set_active(name: str, active: bool, *, actor: str) -> None:
    """Switch an account on or off. Nobody switches themselves off."""
    if name == actor and not active:
        raise Refused("you cannot switch yourself off; another admin can")

    def work(session: Any) -> None:
        people.set_active(session, name, active)
        audit.record(session, actor, "activate" if active else "deactivate", name)

    _do(work)


def add_gold(comparison_id: int, answer: str, *, actor: str) -> None:
    """Make gold of a comparison.

    Raises:
        Refused: A text of it is not known.
    """
    _do(lambda session: gold.add(session, comparison_id, answer, actor=actor))


def retire_gold(comparison_id: int, *, actor: str) -> None:
    """Mix a gold comparison in no more.

    Raises:
        NotFound: It is no gold of a gold batch.
    """
    _do(lambda session: gold.retire(session, comparison_id, actor=actor))


def set_rates(batch_id: int, *, gold_rate: float, repeat_rate: float, actor: str) -> None:
    """Set how much gold and how many repeats are mixed into a batch.

    Raises:
        Refused: A rate is out of bounds.
    """

    def work(session: Any) -> None:
        batch = session.get(Batch, batch_id)
        if batch is None:
            raise NotFound(f"there is no batch {batch_id}")
        gold.set_rates(session, batch, actor=actor, gold=gold_rate, repeat=repeat_rate)

    _do(work)


def set_batch_state(batch_id: int, state: str, *, actor: str) -> None:
    """Open, pause or close a batch."""

    def work(session: Any) -> None:
        batch = batches.set_state(session, batch_id, BatchState(state))
        audit.record(session, actor, f"batch {state}", batch.name)

    _do(work)


def set_batch_priority(batch_id: int, priority: int, *, actor: str) -> None:
    """Change how early a batch is asked; higher is sooner."""

    def work(session: Any) -> None:
        batch = session.get(Batch, batch_id)
        if batch is None:
            raise NotFound(f"there is no batch {batch_id}")
        if batch.priority != priority:
            batch.priority = priority
            audit.record(session, actor, "batch priority", batch.name, priority=priority)

    _do(work)
