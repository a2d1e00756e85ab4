"""One look at every persona: decide what is complete, queue a retraining where one is due.

Knows the ledger, the trigger, the gate and the plan of a run. Starts no service and trains nothing:
a worker does. Looking twice, or ten times at once, queues once.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, audit, batches, jobs, readiness, rounds
from db.clock import utcnow
from db.errors import NotFound, PersonaLoopError, Refused
from db.models import JobKind, Persona, RoundState
from training.candidates import CandidateConfig
from training.deciding import decide_complete
from training.dpo_config import DPOConfig
from training.errors import GateRefused
from training.evaluation.gate_config import GateConfig
from training.job_config import JobConfig
from training.planning import plan_run
from training.readiness import not_ready, readiness_of
from training.rounds import why_blind
from training.trigger import Due, Fresh, due, fresh_of, last_retraining, made_at, seen_by_runs
from training.troubles import one_line

log = logging.getLogger(__name__)
Sessions = sessionmaker[Session]


@dataclass(frozen=True)
class Look:
    """What was done for a persona, or why not.

    Attributes:
        persona: slug.
        words: in a line.
        job_id: of the retraining that was queued now.
        failed: whether looking itself failed.
    """

    persona: str
    words: str
    job_id: int | None = None
    failed: bool = False


@dataclass(frozen=True)
class Tick:
    """Looks at every persona of a ledger.

    Attributes:
        sessions: of the ledger.
        readers: sessions of it that hold up no writer.
        job: when to retrain, and what judgments must be like.
        dpo: the run.
        candidates: how many comparisons a next round asks.
        actor: who is written down.
        dry_run: only say what would be done.
        gate: of promotions; None reads configs/gate.yaml.
    """

    sessions: Sessions
    readers: Sessions
    job: JobConfig
    dpo: DPOConfig
    candidates: CandidateConfig
    actor: str
    dry_run: bool = False
    gate: GateConfig | None = None
    decided: dict[str, str] = field(default_factory=dict)

    def look(self, now: datetime | None = None) -> Iterator[Look]:
        """Every persona that an adapter answers for, and those that none does.

        Args:
            now: the moment (UTC).
        """
        if not self.dry_run:
            self._decide()
        with self.readers() as session:
            slugs = sorted(session.scalars(select(Persona.slug)))
        for slug in slugs:
            yield self._safely(slug, now or utcnow())

    def _safely(self, slug: str, now: datetime) -> Look:
        """A look at one persona; where it fails, the others are looked at all the same."""
        try:
            return self._persona(slug, now)
        except PersonaLoopError as error:
            return Look(slug, f"failed: {error}", failed=True)
        except Exception as error:
            log.exception("looking at %s", slug)
            return Look(slug, f"failed: {one_line(error)}", failed=True)

    def _decide(self) -> None:
        """Let the gate look at every blind comparison, as a worker does."""
        wanted = self.candidates.label_comparisons
        try:
            for persona, decision in decide_complete(
                self.sessions, actor="gate", next_comparisons=wanted, config=self.gate
            ):
                self.decided[persona] = decision.words
        except GateRefused as error:  # a worker was first
            log.info("%s", error)

    def _persona(self, slug: str, now: datetime) -> Look:
        before = f"{self.decided[slug]} " if slug in self.decided else ""
        with self.readers() as session:
            waits, last = self._waits(session, slug, now)
        if waits is not None:
            return Look(slug, f"{before}not queued: {waits}")
        chosen = self._due(slug, now)
        if not chosen.now:
            return Look(slug, f"{before}not queued: {chosen.words}")
        if self.dry_run:
            return Look(slug, f"{before}would queue a retraining: {chosen.words}")
        job_id = self._queue(slug, last, chosen.words)
        if job_id is None:
            return Look(slug, f"{before}not queued: another look was first")
        return Look(slug, f"{before}queued job {job_id}: {chosen.words}", job_id)

    def _waits(self, session: Session, slug: str, now: datetime) -> tuple[str | None, int | None]:
        """Why nothing can be queued whatever was judged, and the newest retraining."""
        last = last_retraining(session, slug)
        last_id = None if last is None else last.id
        if last is not None and last.state in jobs.LIVE:
            return f"a retraining is under way (job {last.id}, {last.state.value})", last_id
        try:
            adapters.incumbent(session, slug)
        except NotFound as error:
            return str(error), last_id
        current = rounds.current_round(session, slug)
        blind = None if current is None else why_blind(session, current)
        if blind is not None and current is not None and current.state is RoundState.BLIND:
            assert current.blind_batch_id is not None
            done = batches.progress(session, current.blind_batch_id)
            if self.dry_run and done.judged >= max(1, done.wanted):
                blind = f"{blind}; the comparison is complete and the gate would look now"
            return blind, last_id
        return None, last_id

    def _due(self, slug: str, now: datetime) -> Due:
        """Whether a retraining is due, would be let through, and would train anything."""
        simulated = self.job.include_simulated
        with self.readers() as session:
            seen = seen_by_runs(session, slug)
            ids = readiness.usable(session, slug, include_simulated=simulated)
            made = made_at(session, [each for each in ids if each not in seen])
            last = last_retraining(session, slug)
            ended = None if last is None else last.finished_at
        # A pair has a judgment at least, so that often no text needs to be read.
        most = Fresh(len(made), len(made), min(made.values(), default=None))
        there = f"{len(made)} new judgment{'' if len(made) == 1 else 's'}"
        bound = due(most, ended, self.job, now, there=there)
        if not bound.now:
            return bound
        with self.readers() as session:
            limits = self.job.limits()
            ready = readiness_of(session, slug, limits, include_simulated=simulated)
        if not ready.ready:
            return Due(False, f"{there}, but {not_ready(ready)}")
        plan = plan_run(self.sessions, slug, self.dpo, self.job, include_simulated=simulated)
        chosen = due(fresh_of(plan.pairs.training, seen, made), ended, self.job, now)
        if chosen.now and plan.refusals:
            return Due(False, f"{chosen.words}, but {'; '.join(plan.refusals)}")
        return chosen

    def _queue(self, slug: str, last: int | None, why: str) -> int | None:
        """Write the job's row, unless somebody asked since this look began."""
        params = {"include_simulated": True} if self.job.include_simulated else {}
        try:
            with self.sessions.begin() as session:
                session.get_one(Persona, slug, with_for_update=True)
                newest = last_retraining(session, slug)
                if (None if newest is None else newest.id) != last:
                    return None
                job = jobs.enqueue(
                    session, JobKind.RETRAIN, persona=slug, params=params, requested_by="tick"
                )
                audit.record(session, self.actor, "retrain", slug, job=job.id, why=why, tick=True)
                return job.id
        except (Refused, IntegrityError):  # the index that lets one retraining live
            return None
