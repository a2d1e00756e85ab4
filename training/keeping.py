"""What hosted Tinker keeps for us, and for how long: said before a run, pinned while relied on.

Knows the ledger's adapters, rounds and runs, and the service's lifetimes. Does not know training.
Nothing here does anything on the local engine, which keeps adapters as folders.

Relied on are: what answers for a persona, the challenger of a blind comparison, and the reference
of a run under way. Their states are pinned (no expiry). What another adapter has replaced gets a
limited lifetime, long enough to roll back to. The states of a running run live for some days from
each save on (training/saving.py) and are deleted when the next one is there.
"""

import logging
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db.clock import utcnow
from db.models import Adapter, AliasChange, JobState, Persona, Round, RoundState, Run
from training import hosted
from training.errors import CheckpointGone, ConfigRefused
from training.runs import RunFolder
from training.service import Service

log = logging.getLogger(__name__)
PLACES = ("state", "sampler")
UNTIL = "kept_until"
GONE = "gone"


def tell_hosted(service: Service, config: Any, run: RunFolder) -> None:
    """Say before a hosted run what is otherwise there, and keep it beside the run.

    Raises:
        ConfigRefused: the configuration asks for what the service would silently do otherwise.
    """
    if not service.hosted:
        return
    refused = hosted.refusal(config)
    if refused is not None:
        raise ConfigRefused(refused)
    told = hosted.differences(config)
    log.warning("on hosted Tinker (%s): %s", service.base_model, "; ".join(told))
    run.path.mkdir(parents=True, exist_ok=True)
    run.write(
        "hosted.json",
        {
            "address": service.address,
            "model": service.base_model,
            "renderer": getattr(service.rendering, "name", ""),
            "context": service.context,
            "terms": None if service.terms is None else asdict(service.terms),
            "differences": told,
        },
    )


def keep_adapters(sessions: sessionmaker[Session], service: Service) -> list[str]:
    """Bring the service's lifetimes in line with what the ledger relies on now.

    Idempotent; called before each job and after each decision. The ledger's ``adapter.service``
    says since when which lifetime holds.

    Returns:
        What was changed, a sentence each.
    """
    if not service.hosted or service.terms is None:
        return []
    with sessions() as session:
        relied = relied_on(session)
        found = [
            (one.id, dict(one.service), one.id in relied)
            for one in session.scalars(select(Adapter).where(Adapter.service.is_not(None)))
            if one.service and PLACES[0] in one.service
        ]
    changed = []
    for adapter_id, told, needed in found:
        if told.get(UNTIL) == GONE or needed == (told.get(UNTIL) is None):
            continue
        seconds = None if needed else service.terms.superseded_seconds
        until = None if seconds is None else (utcnow() + timedelta(seconds=seconds)).isoformat()
        try:
            for place in PLACES:
                if place in told:
                    service.keep(told[place], seconds)
        except CheckpointGone as error:
            log.warning("%s: %s", adapter_id, error)
            until = GONE
        with sessions.begin() as session:
            row = session.get_one(Adapter, adapter_id)
            row.service = {**told, UNTIL: until}
        changed.append(f"{adapter_id}: {_in_words(until)}")
    return changed


def relied_on(session: Session) -> set[str]:
    """The adapters whose states must not expire."""
    newest = (
        select(AliasChange.adapter_id)
        .where(AliasChange.persona_slug == Persona.slug)
        .order_by(AliasChange.id.desc())
        .limit(1)
        .correlate(Persona)
        .scalar_subquery()
    )
    ids: set[str | None] = set(session.scalars(select(newest).select_from(Persona)))
    open_rounds = select(Round.incumbent_id, Round.challenger_id).where(
        Round.state.in_([RoundState.LABELING, RoundState.TRAINING, RoundState.BLIND])
    )
    for incumbent, challenger in session.execute(open_rounds).tuples():
        ids |= {incumbent, challenger}
    ids.update(session.scalars(select(Run.reference_id).where(Run.state == JobState.RUNNING)))
    return {one for one in ids if one}


def _in_words(until: str | None) -> str:
    if until == GONE:
        return "hosted Tinker no longer keeps its states; it cannot be sampled or trained further"
    return "pinned, without expiry" if until is None else f"kept until {until}"
