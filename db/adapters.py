"""Adapters, and what answers for a persona now.

Knows folders only as text; the weights are the business of ``training``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import audit
from db.errors import IncumbentChanged, NotFound, Refused
from db.models import (
    Adapter,
    AdapterKind,
    AliasChange,
    Annotator,
    Persona,
    Run,
)

ROLLED_BACK = "rolled back"


def put_adapter(
    session: Session,
    *,
    id: str,
    kind: AdapterKind | str,
    persona: str | None = None,
    base_model: str = "",
    base_model_sha256: str = "",
    path: str = "",
    sha256: str = "",
    parents: Sequence[Mapping[str, Any]] = (),
    run_id: int | None = None,
    metrics: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    service: Mapping[str, Any] | None = None,
) -> Adapter:
    """Add an adapter, or bring its path and metrics up to date. Weights never change under an id.

    Raises:
        Refused: The id is known with other weights or for another persona.
    """
    found = session.get(Adapter, id)
    if found is not None:
        if sha256 and found.sha256 and found.sha256 != sha256:
            raise Refused(f"adapter {id} is known with other weights; give the new ones a new id")
        if persona and found.persona_slug and found.persona_slug != persona:
            raise Refused(f"adapter {id} belongs to {found.persona_slug}, not to {persona}")
        found.path = path or found.path
        found.sha256 = sha256 or found.sha256
        found.run_id = run_id or found.run_id
        found.metrics = dict(metrics) if metrics else found.metrics
        found.service = found.service or (dict(service) if service else None)
        session.flush()
        return found
    made = Adapter(
        id=id,
        kind=AdapterKind(kind),
        persona_slug=persona,
        base_model=base_model,
        base_model_sha256=base_model_sha256,
        path=path,
        sha256=sha256,
        parents=[dict(parent) for parent in parents],
        run_id=run_id,
        metrics=dict(metrics or {}),
        config=dict(config or {}),
        service=dict(service) if service else None,
    )
    session.add(made)
    session.flush()
    return made


def adapters(session: Session, persona: str | None = None) -> list[Adapter]:
    """Adapters in the order they came, of one persona or of all."""
    query = select(Adapter).order_by(Adapter.created_at, Adapter.id)
    if persona is not None:
        query = query.where(Adapter.persona_slug == persona)
    return list(session.scalars(query))


def adapter(session: Session, adapter_id: str) -> Adapter:
    """One adapter.

    Raises:
        NotFound: There is none of this id.
    """
    found = session.get(Adapter, adapter_id)
    if found is None:
        raise NotFound(f"there is no adapter {adapter_id!r}; `personaloop adapters` lists them")
    return found


def incumbent(session: Session, persona: str) -> Adapter:
    """The adapter that answers for a persona now.

    Raises:
        NotFound: Nothing answers for it yet.
    """
    last = _last_change(session, persona)
    if last is None:
        raise NotFound(
            f"no adapter answers for {persona!r} yet; `personaloop init --sample` registers the"
            " shipped ones"
        )
    return adapter(session, last.adapter_id)


def locked_incumbent(session: Session, persona: str) -> Adapter:
    """The adapter that answers for a persona; nothing else can answer until the transaction ends.

    Raises:
        NotFound: The persona is not known, or nothing answers for it yet.
    """
    _lock(session, persona)
    return incumbent(session, persona)


def promote(
    session: Session,
    persona: str,
    adapter_id: str,
    *,
    reason: str,
    actor: str,
    expected: str | None = None,
) -> AliasChange:
    """Make an adapter the one that answers for a persona.

    Args:
        session: The session.
        persona: Slug.
        adapter_id: The adapter.
        reason: Why, for the record.
        actor: Who.
        expected: What must answer at this moment, looked at under the persona's lock; None where
            it does not matter.

    Raises:
        NotFound: The adapter or the persona is not known.
        IncumbentChanged: Another adapter than ``expected`` answers.
        Refused: The adapter belongs to another persona, is external or counterfactual, or answers
            already.
    """
    chosen = adapter(session, adapter_id)
    _lock(session, persona)
    if chosen.kind is AdapterKind.EXTERNAL:
        raise Refused(f"{adapter_id} is known by name only, it cannot answer for {persona}")
    if chosen.persona_slug not in {None, persona}:
        raise Refused(f"adapter {adapter_id} belongs to {chosen.persona_slug}, not to {persona}")
    without = excluded(session, chosen)
    if without:
        raise Refused(
            f"{adapter_id} is counterfactual: it was trained without {', '.join(without)} to see"
            " what would be; it never answers"
        )
    last = _last_change(session, persona)
    answers = None if last is None else last.adapter_id
    if expected is not None and answers != expected:
        raise IncumbentChanged(f"{answers or 'nothing'} answers for {persona} now, not {expected}")
    if last is not None and last.adapter_id == adapter_id:
        raise Refused(f"{adapter_id} answers for {persona} already")
    return _change(session, persona, adapter_id, last, reason, actor, "promote")


def excluded(session: Session, one: Adapter) -> list[str]:
    """Names of the annotators without whom a counterfactual adapter was trained; none of others."""
    run = session.get(Run, one.run_id) if one.run_id is not None else None
    told = run.excluded if run is not None and run.excluded else one.metrics.get("without")
    ids = [int(each) for each in told or []]
    names = dict(
        session.execute(select(Annotator.id, Annotator.name).where(Annotator.id.in_(ids)))
        .tuples()
        .all()
    )
    return [names.get(each, f"annotator {each}") for each in ids]


def rollback(session: Session, persona: str, *, actor: str) -> AliasChange:
    """Go back to what answered before; again, and it goes one further back.

    Raises:
        Refused: Nothing answered before.
    """
    _lock(session, persona)
    changes = list(
        session.scalars(
            select(AliasChange).where(AliasChange.persona_slug == persona).order_by(AliasChange.id)
        )
    )
    stack: list[AliasChange] = []
    for change in changes:
        if change.reason.startswith(ROLLED_BACK):
            stack.pop()
        else:
            stack.append(change)
    if len(stack) < 2:
        raise Refused(f"nothing answered for {persona} before; there is nothing to go back to")
    return _change(
        session,
        persona,
        stack[-2].adapter_id,
        changes[-1],
        f"{ROLLED_BACK} from {stack[-1].adapter_id}",
        actor,
        "rollback",
    )


def history(session: Session, persona: str) -> list[AliasChange]:
    """What has answered for a persona, newest first."""
    return list(
        session.scalars(
            select(AliasChange)
            .where(AliasChange.persona_slug == persona)
            .order_by(AliasChange.id.desc())
        )
    )


def _lock(session: Session, persona: str) -> None:
    """One change at a time for a persona."""
    if session.get(Persona, persona, with_for_update={"key_share": True}) is None:
        raise NotFound(f"there is no persona {persona!r}")


def _last_change(session: Session, persona: str) -> AliasChange | None:
    return session.scalar(
        select(AliasChange)
        .where(AliasChange.persona_slug == persona)
        .order_by(AliasChange.id.desc())
        .limit(1)
    )


def _change(
    session: Session,
    persona: str,
    adapter_id: str,
    last: AliasChange | None,
    reason: str,
    actor: str,
    act: str,
) -> AliasChange:
    change = AliasChange(
        persona_slug=persona,
        adapter_id=adapter_id,
        previous_id=None if last is None else last.adapter_id,
        reason=reason,
        actor=actor,
    )
    session.add(change)
    session.flush()
    audit.record(session, actor, act, f"{persona}: {adapter_id}", reason=reason)
    return change
