"""Cached reads of moving state: rounds, batches, jobs, adapters, people.

Kept for a moment only, and dropped by ``forget()`` when a page changed something. Knows SQL and the
cache; knows no page, no chart and no statistics.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st
import yaml
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annotate_app.views import (
    AdapterView,
    AliasView,
    BatchView,
    JobView,
    PersonView,
    Pulse,
    RoundView,
)
from db import lineage as ancestry
from db.models import (
    Adapter,
    AliasChange,
    Annotator,
    AnnotatorKind,
    Assignment,
    AssignmentState,
    Batch,
    Comparison,
    Erasure,
    Job,
    Judgment,
    Persona,
    Retraction,
    Round,
    Run,
    Snapshot,
)
from db.people import ever_invited
from db.session import readers
from db.settings import REPOSITORY, database_url
from db.ways_in import ways_in

GOLD = select(Batch.id).where(Batch.purpose == "gold")
"""Batches whose pairs are mixed into others: they are no work and count nowhere here."""
BRIEF = 2.0
"""Seconds that a read of moving state is kept."""

T = TypeVar("T")


def read(work: Callable[[Session], T]) -> T:
    """Run a read in a session of its own that holds up no writer."""
    with readers(database_url())() as session:
        return work(session)


def pulse() -> Pulse:
    """Where the ledger stands now; two index look-ups, never cached."""

    def work(session: Session) -> Pulse:
        latest = session.scalar(select(func.max(Judgment.id))) or 0
        retracted = session.scalar(select(func.count()).select_from(Retraction)) or 0
        erased = session.scalar(select(func.count()).select_from(Erasure)) or 0
        return Pulse(latest, retracted, erased)

    return read(work)


def personas() -> dict[str, str]:
    """Slug to display name, by slug."""
    return _personas(database_url())


def persona_summaries() -> dict[str, str]:
    """Slug to what the ledger says of the persona."""
    return _persona_summaries(database_url())


def rounds(persona: str | None = None) -> list[RoundView]:
    """Rounds in the order of persona and number."""
    every = _rounds(database_url())
    return [view for view in every if persona in (None, view.persona)]


def batches() -> list[BatchView]:
    """Batches, those asked first at the top."""
    return _batches(database_url())


def jobs(limit: int = 50) -> list[JobView]:
    """The newest jobs first."""
    return _jobs(database_url(), limit)


def adapters() -> list[AdapterView]:
    """Every adapter, newest first."""
    return _adapters(database_url())


def alias_changes() -> list[AliasView]:
    """Every change of what answers for a persona, newest first."""
    return _alias_changes(database_url())


def incumbents() -> dict[str, AliasView]:
    """What answers for each persona now."""
    newest: dict[str, AliasView] = {}
    for change in alias_changes():
        newest.setdefault(change.persona, change)
    return newest


def lineage(adapter_id: str) -> dict[str, Any]:
    """Where an adapter comes from, down to the judgments (``db.lineage.tree``)."""
    return _lineage(database_url(), adapter_id)


def people() -> list[PersonView]:
    """Everybody, by name; simulated annotators and automatic judges last."""
    return _people(database_url())


def who_can_sign_in() -> list[str]:
    """Names of the people who can be given work: invited, and not switched off."""
    return [one.name for one in people() if one.active and one.invited and one.kind == "human"]


def forget() -> None:
    """Drop what is remembered, after a page changed something."""
    for cached in (
        _rounds,
        _batches,
        _jobs,
        _adapters,
        _alias_changes,
        _personas,
        _people,
        _lineage,
        _persona_summaries,
    ):
        cached.clear()


@st.cache_data(ttl=30.0, max_entries=4, show_spinner=False)
def _personas(url: str) -> dict[str, str]:
    del url
    found = read(lambda s: s.execute(select(Persona.slug, Persona.name)).all())
    return {row.slug: row.name for row in sorted(found)}


@st.cache_data(ttl=30.0, max_entries=4, show_spinner=False)
def _persona_summaries(url: str) -> dict[str, str]:
    del url
    found = read(lambda s: s.execute(select(Persona.slug, Persona.summary)).all())
    return {row.slug: row.summary for row in found}


@st.cache_data(ttl=BRIEF, max_entries=4, show_spinner=False)
def _rounds(url: str) -> list[RoundView]:
    del url

    def work(session: Session) -> list[RoundView]:
        found = session.execute(
            select(Round, Snapshot)
            .outerjoin(Run, Run.id == Round.run_id)
            .outerjoin(Snapshot, Snapshot.id == Run.snapshot_id)
            .order_by(Round.persona_slug, Round.number)
        ).all()
        return [
            RoundView(
                persona=row.persona_slug,
                number=row.number,
                state=row.state.value,
                incumbent=row.incumbent_id,
                challenger=row.challenger_id,
                label_batch=row.label_batch_id,
                blind_batch=row.blind_batch_id,
                run=row.run_id,
                snapshot=None if shot is None else shot.sha256,
                snapshot_judgments=0 if shot is None else shot.n_judgments,
                snapshot_simulated=0 if shot is None else shot.n_simulated,
                decision=dict(row.decision or {}),
                decided_at=row.decided_at,
                created_at=row.created_at,
            )
            for row, shot in found
        ]

    return read(work)


@st.cache_data(ttl=BRIEF, max_entries=4, show_spinner=False)
def _batches(url: str) -> list[BatchView]:
    """All batches with their progress, by three grouped counts however many there are."""

    def work(session: Session) -> tuple[list[Batch], dict[int, Any], dict[Any, int]]:
        asked = session.execute(
            select(
                Comparison.batch_id,
                func.count(),
                func.sum(Comparison.overlap),
                func.sum(Comparison.overlap - Comparison.seats),
            )
            .where(Comparison.overlap > 0, Comparison.batch_id.not_in(GOLD))
            .group_by(Comparison.batch_id)
        ).all()
        states = session.execute(
            select(Comparison.batch_id, Assignment.state, Assignment.seat, func.count())
            .select_from(Assignment)
            .join(Comparison, Comparison.id == Assignment.comparison_id)
            .where(
                Assignment.state.in_([AssignmentState.LEASED, AssignmentState.SKIPPED]),
                Comparison.batch_id.not_in(GOLD),
            )
            .group_by(Comparison.batch_id, Assignment.state, Assignment.seat)
        ).all()
        found = list(
            session.scalars(
                select(Batch)
                .where(Batch.purpose != "gold")
                .order_by(Batch.priority.desc(), Batch.id)
            )
        )
        return (
            found,
            {row[0]: row[1:] for row in asked},
            {(batch, state, seat): n for batch, state, seat, n in states},
        )

    found, asked, states = read(work)
    simulated = _simulated_by_batch(url, pulse())
    views: list[BatchView] = []
    for batch in found:
        comparisons, wanted, taken = asked.get(batch.id, (0, 0, 0))
        held = states.get((batch.id, AssignmentState.LEASED, True), 0)
        views.append(
            BatchView(
                id=batch.id,
                name=batch.name,
                kind=batch.kind.value,
                state=batch.state.value,
                persona=batch.persona_slug,
                overlap=batch.overlap,
                priority=batch.priority,
                comparisons=comparisons,
                wanted=wanted,
                judged=taken - held,
                leased=held + states.get((batch.id, AssignmentState.LEASED, False), 0),
                skipped=sum(states.get((batch.id, AssignmentState.SKIPPED, x), 0) for x in (0, 1)),
                simulated=min(simulated.get(batch.id, 0), taken - held),
                created_at=batch.created_at,
                gold_rate=batch.gold_rate,
                repeat_rate=batch.repeat_rate,
                strategy=batch.strategy,
                extra_overlap=batch.extra_overlap,
                ranked_at=batch.ranked_at,
                named_only=batch.named_only,
            )
        )
    return views


@st.cache_data(ttl=300.0, max_entries=4, show_spinner=False)
def _simulated_by_batch(url: str, at: Pulse) -> dict[int, int]:
    """Standing judgments that no person made, by batch."""
    del url, at
    others = select(Annotator.id).where(Annotator.kind != AnnotatorKind.HUMAN)
    query = (
        select(Comparison.batch_id, func.count())
        .select_from(Judgment)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .where(
            Judgment.annotator_id.in_(others),
            Judgment.id.not_in(select(Retraction.judgment_id)),
            Comparison.batch_id.not_in(GOLD),
        )
        .group_by(Comparison.batch_id)
    )
    return dict(read(lambda session: session.execute(query).all()))


@st.cache_data(ttl=BRIEF, max_entries=4, show_spinner=False)
def _jobs(url: str, limit: int) -> list[JobView]:
    del url

    def work(session: Session) -> list[JobView]:
        newest_run = (
            select(Run.job_id, func.max(Run.id).label("run_id")).group_by(Run.job_id).subquery()
        )
        found = session.execute(
            select(Job, Run)
            .outerjoin(newest_run, newest_run.c.job_id == Job.id)
            .outerjoin(Run, Run.id == newest_run.c.run_id)
            .order_by(Job.id.desc())
            .limit(limit)
        ).all()
        return [
            JobView(
                id=job.id,
                kind=job.kind.value,
                persona=job.persona_slug,
                state=job.state.value,
                stage=job.stage,
                progress=job.progress,
                message=job.message,
                requested_by=job.requested_by,
                attempts=job.attempts,
                worker=job.worker,
                created_at=job.created_at,
                started_at=job.started_at,
                finished_at=job.finished_at,
                lease_expires_at=job.lease_expires_at,
                run=None if run is None else run.id,
                folder="" if run is None else run.folder,
                params=dict(job.params or {}),
            )
            for job, run in found
        ]

    return read(work)


@st.cache_data(ttl=BRIEF, max_entries=4, show_spinner=False)
def _adapters(url: str) -> list[AdapterView]:
    del url

    def work(session: Session) -> list[AdapterView]:
        found = session.scalars(select(Adapter).order_by(Adapter.created_at.desc(), Adapter.id))
        return [
            AdapterView(
                id=row.id,
                kind=row.kind.value,
                persona=row.persona_slug,
                parents=tuple(
                    str(p.get("id", p)) if isinstance(p, dict) else str(p) for p in row.parents
                ),
                run=row.run_id,
                metrics=dict(row.metrics or {}),
                path=row.path,
                sha256=row.sha256,
                created_at=row.created_at,
            )
            for row in found
        ]

    return read(work)


@st.cache_data(ttl=BRIEF, max_entries=4, show_spinner=False)
def _alias_changes(url: str) -> list[AliasView]:
    del url

    def work(session: Session) -> list[AliasView]:
        found = session.scalars(select(AliasChange).order_by(AliasChange.id.desc()))
        return [
            AliasView(
                persona=row.persona_slug,
                adapter=row.adapter_id,
                previous=row.previous_id,
                reason=row.reason,
                actor=row.actor,
                created_at=row.created_at,
            )
            for row in found
        ]

    return read(work)


@st.cache_data(ttl=BRIEF, max_entries=4, show_spinner=False)
def _people(url: str) -> list[PersonView]:
    del url

    def work(session: Session) -> list[PersonView]:
        judged = (
            select(
                Judgment.annotator_id,
                (func.count() - func.count(Retraction.judgment_id)).label("n"),
                func.max(Judgment.created_at).label("last_at"),
            )
            .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
            .group_by(Judgment.annotator_id)
            .subquery()
        )
        ways = ways_in(session)
        known = select(Comparison.id).where(Comparison.batch_id.in_(GOLD))
        gold_counts = session.execute(
            select(Judgment.annotator_id, func.count())
            .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
            .where(Judgment.comparison_id.in_(known), Retraction.judgment_id.is_(None))
            .group_by(Judgment.annotator_id)
        ).tuples()
        gold = dict(gold_counts.all())
        found = session.execute(
            select(Annotator, ever_invited(), judged.c.n, judged.c.last_at)
            .outerjoin(judged, judged.c.annotator_id == Annotator.id)
            .order_by(Annotator.kind != "human", Annotator.name)
        ).all()
        return [
            PersonView(
                id=person.id,
                name=person.name,
                kind=person.kind.value,
                role=person.role.value,
                active=person.active,
                invited=asked,
                judged=(n or 0) - gold.get(person.id, 0),
                last_at=last_at,
                created_at=person.created_at,
                ways=tuple(ways.get(person.id, ())),
                paused_at=person.paused_at,
                paused_reason=person.paused_reason or "",
            )
            for person, asked, n, last_at in found
        ]

    return read(work)


@st.cache_data(ttl=30.0, max_entries=64, show_spinner=False)
def _lineage(url: str, adapter_id: str) -> dict[str, Any]:
    del url
    return read(lambda session: ancestry.tree(session, adapter_id))


@st.cache_data(ttl=60, show_spinner=False)
def minimum_pairs() -> int:
    """How many pairs a retraining wants at least, as its configuration says.

    1 where it does not say: then the job itself tells what it wants.
    """
    told = yaml.safe_load((REPOSITORY / "configs" / "dpo.yaml").read_text(encoding="utf-8"))
    return int((told or {}).get("minimum_pairs", 1))
