"""Whom a counterfactual can leave out of which adapter, and what that changes in the pairs.

Knows the ledger. Trains nothing; training/counterfactual.py does.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, people, snapshots
from db.errors import NotFound, Refused
from db.models import Adapter, AdapterKind, Annotator, Run
from training import reliability
from training.adapter_difference import pairs_changed
from training.configs import make_config
from training.dpo_config import DPOConfig
from training.pairs import PairSet, build_pairs

Sessions = sessionmaker[Session]


def pairs_of(session: Session, snapshot_id: int, config: DPOConfig, before: datetime) -> PairSet:
    """A snapshot's pairs, with its annotators' weights as they were at a moment."""
    trust = reliability.weigh(session, snapshot_id, config, before=before)
    rows = reliability.weighted(snapshots.rows(session, snapshot_id), trust)
    return build_pairs(rows, config.pair_options())


def factual_run(session: Session, persona: str, adapter_id: str) -> Run:
    """The run that made an adapter from judgments.

    Raises:
        NotFound: there is no such adapter.
        Refused: it was not made from judgments of this persona, or is counterfactual itself.
    """
    found = adapters.adapter(session, adapter_id)
    run = session.get(Run, found.run_id) if found.run_id is not None else None
    if found.persona_slug != persona or run is None or run.snapshot_id is None:
        raise Refused(f"{adapter_id} was not trained on judgments of {persona}")
    if adapters.excluded(session, found):
        raise Refused(f"{adapter_id} is counterfactual itself; name the adapter that it belongs to")
    if run.reference_id is None:
        raise Refused(f"the ledger does not know what {adapter_id} was trained from")
    return run


def newest_factual(session: Session, persona: str) -> str:
    """The id of the persona's newest adapter that was trained on judgments.

    Raises:
        NotFound: there is none.
    """
    made = session.scalars(
        select(Adapter)
        .join(Run, Run.id == Adapter.run_id)
        .where(
            Adapter.persona_slug == persona,
            Adapter.kind == AdapterKind.DPO,
            Run.snapshot_id.is_not(None),
        )
        .order_by(Adapter.created_at.desc(), Adapter.id)
    )
    for one in made:
        if not adapters.excluded(session, one):
            return one.id
    raise NotFound(f"no adapter of {persona} was trained on judgments yet; retrain it first")


def people_ids(session: Session, told: Sequence[str]) -> list[int]:
    """Annotators by name or id, ascending.

    Raises:
        NotFound: there is nobody of this name or id.
    """
    found: set[int] = set()
    for one in told:
        named = session.scalar(select(Annotator.id).where(Annotator.name == one.strip()))
        if named is None and one.strip().isdecimal():
            known = session.get(Annotator, int(one))
            named = None if known is None else known.id
        found.add(people.person(session, one).id if named is None else named)
    return sorted(found)


def params_of(
    make: Sessions, persona: str, adapter_id: str | None, told: Sequence[str]
) -> dict[str, Any]:
    """What a retrain job must know to leave annotators out.

    Raises:
        Refused: they made none of the judgments, or all of them.
    """
    with make() as session:
        who, run = _asked(session, persona, adapter_id, told)
        of = adapter_id or newest_factual(session, persona)
        assert run.snapshot_id is not None
        snapshots.less(session, run.snapshot_id, who)
        session.rollback()
    return {"without": who, "of": of}


def describe(make: Sessions, persona: str, adapter_id: str | None, told: Sequence[str]) -> str:
    """What leaving annotators out changes in the pairs, before anything is trained.

    Raises:
        Refused: they made none of the judgments, or all of them.
    """
    with make() as session:
        who, run = _asked(session, persona, adapter_id, told)
        assert run.snapshot_id is not None
        config = make_config(DPOConfig, run.config)
        rest = snapshots.less(session, run.snapshot_id, who)
        factual = pairs_of(session, run.snapshot_id, config, run.started_at)
        other = pairs_of(session, rest.id, config, run.started_at)
        session.rollback()
    changed = pairs_changed(factual, other).in_words()
    return f"as it is: {factual.in_words()}\nwithout them: {other.in_words()}\n{changed}"


def _asked(
    session: Session, persona: str, adapter_id: str | None, told: Sequence[str]
) -> tuple[list[int], Run]:
    of = adapter_id or newest_factual(session, persona)
    return people_ids(session, told), factual_run(session, persona, of)
