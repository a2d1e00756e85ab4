"""The whole loop unattended: rounds of simulated judgments, retraining and blind comparisons.

Knows the order of a round and the report. Everything it does goes through the same jobs, labeling
verbs and gate as a loop with people, and what simulated annotators judged is marked as SIMULATED.
The ledger and a small progress file say what is done, so that a killed loop goes on where it was.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from db import adapters, jobs
from db.clock import utcnow
from db.models import Job, JobKind, JobState, Round, RoundState, Run, Snapshot
from training.batches import BatchMaker
from training.blind import batch_judgments
from training.candidates import CandidateConfig
from training.deciding import gate_config
from training.dpo_config import DPOConfig
from training.errors import GateRefused, TrainingError
from training.evaluation.gate import WinRate, win_rate_over
from training.evaluation.gate_config import GateConfig
from training.evaluation.judges import SimulatedAnnotator
from training.jobs import Worker
from training.rounds import open_round
from training.runs import RunFolder
from training.service import Service
from training.simulation import judge_all

Sessions = sessionmaker[Session]


class LoopStopped(TrainingError, RuntimeError):
    """A job of the loop failed for another reason than too few pairs."""


@dataclass(frozen=True)
class LoopPlan:
    """What a loop is.

    Attributes:
        personas: slugs.
        rounds: of each persona.
        judgments: label judgments a round and persona.
        blind: blind comparisons at the end of a round, at most.
        annotators: how many simulated annotators share the work.
        judge: FILE.py:function, or "" for the built-in preference.
        seed: of everything.
        dpo: configuration of the preference runs.
        candidates: configuration of the candidates.
    """

    personas: tuple[str, ...]
    rounds: int
    judgments: int
    blind: int
    annotators: int
    judge: str
    seed: int
    dpo: DPOConfig
    candidates: CandidateConfig


@dataclass
class Row:
    """One line of the report: a persona's round.

    ``by_people`` counts judgments by people that the round's adapter learned from beside the
    simulated ones; a ledger of the loop's own has none.
    """

    persona: str
    round: int
    judgments: int = 0
    blind_judgments: int = 0
    win_rate_vs_previous: float | None = None
    ci: list[float] = field(default_factory=list)
    win_rate_vs_start: float | None = None
    ci_start: list[float] = field(default_factory=list)
    heldout_accuracy: float | None = None
    promoted: bool = False
    seconds: float = 0.0
    adapter: str = ""
    start: str = ""
    simulated: bool = True
    by_people: int = 0
    decision: str = ""


class Loop:
    """Plays the plan's rounds on one ledger."""

    def __init__(
        self,
        sessions: Sessions,
        plan: LoopPlan,
        panel: list[SimulatedAnnotator],
        connect: Callable[[], Service],
        folder: RunFolder,
        say: Callable[[str], None] = lambda line: None,
    ):
        """Bind; `folder` keeps the progress file."""
        self.sessions = sessions
        self.plan = plan
        self.panel = panel
        self.folder = folder
        self.say = say
        self.connect = connect
        self.worker = Worker(
            sessions,
            connect=connect,
            dpo=plan.dpo,
            candidates=plan.candidates,
            gate=simulated_gate(gate_config()),
            follow_up=False,
        )

    def run(self) -> list[Row]:
        """Play every round that is not done yet; all rows."""
        done = self._progress()
        for number in range(1, self.plan.rounds + 1):
            for persona in self.plan.personas:
                known = done["rows"].get(f"{persona}/{number}")
                if known is None:
                    row = self._round(persona, number, done)
                    done["rows"][f"{persona}/{number}"] = asdict(row)
                    done["spent"].pop(f"{persona}/{number}", None)
                    self._keep(done)
                    self.say(describe(row))
        keys = [f"{p}/{n}" for p in self.plan.personas for n in range(1, self.plan.rounds + 1)]
        return [Row(**done["rows"][key]) for key in keys]

    def _round(self, persona: str, number: int, done: dict[str, Any]) -> Row:
        """One persona's round, each step skipped where the ledger has it already."""
        key = f"{persona}/{number}"
        began = time.monotonic()
        before = float(done["spent"].get(key, 0.0))

        def stage(text: str) -> None:
            done["spent"][key] = before + time.monotonic() - began
            self._keep(done)
            self.say(f"{persona} round {number}: {text}")

        start = done["starts"][persona]
        row = Row(persona, number, start=start)
        round_id = self._round_id(persona, done["round_ids"].get(key))
        done["round_ids"][key] = round_id
        self._keep(done)
        if self._state(round_id) is RoundState.LABELING:
            stage("generating candidates")
            self._generate(persona)
            stage(f"{len(self.panel)} simulated annotators judge")
            judge_all(self.sessions, self.panel, batch_id=self._batch(round_id, "label"))
        if self._state(round_id) in (RoundState.LABELING, RoundState.TRAINING):
            stage("retraining")
            self._retrain(persona, round_id)
        if self._state(round_id) is RoundState.BLIND:
            stage("blind comparison")
            judge_all(self.sessions, self.panel, batch_id=self._batch(round_id, "blind"))
            self.worker.decide()
        self._fill(row, round_id, start)
        row.seconds = round(before + time.monotonic() - began, 1)
        return row

    def _retrain(self, persona: str, round_id: int) -> None:
        """Run the retrain job; a refusal ends the round as rejected with the reason."""
        ended = self._ended(JobKind.RETRAIN, persona, {"include_simulated": True})
        if self._state(round_id) is RoundState.BLIND:
            return
        if "wanted" not in ended.message and "no judgments" not in ended.message:
            raise LoopStopped(f"the retraining of {persona} {ended.state.value}: {ended.message}")
        with self.sessions.begin() as session:
            current = session.get_one(Round, round_id)
            current.state, current.decided_at = RoundState.REJECTED, utcnow()
            current.decision = {"promote": False, "words": f"Not trained: {ended.message}"}

    def _generate(self, persona: str) -> None:
        ended = self._ended(JobKind.GENERATE, persona, {"comparisons": self.plan.judgments})
        if ended.state is not JobState.DONE:
            raise LoopStopped(f"generating for {persona} {ended.state.value}: {ended.message}")

    def _ended(self, kind: JobKind, persona: str, params: dict[str, Any]) -> Job:
        """The job of this kind, asked for where none is live, at its end.

        Other jobs of the ledger are run on the way; a worker beside this one may run this job.
        """
        with self.sessions.begin() as session:
            live = [j for j in jobs.jobs(session, persona=persona, live=True) if j.kind is kind]
            asked = live or [
                jobs.enqueue(session, kind, persona=persona, params=params, requested_by="loop")
            ]
            job_id = asked[0].id
        while True:
            ran = self.worker.step()
            with self.sessions.begin() as session:
                job = jobs.job(session, job_id)
            if job.state not in jobs.LIVE:
                return job
            if ran is None:
                time.sleep(0.5)

    def _fill(self, row: Row, round_id: int, start: str) -> None:
        """The numbers of a decided round, the comparison with the start included."""
        with self.sessions.begin() as session:
            current = session.get_one(Round, round_id)
            row.promoted = current.state is RoundState.PROMOTED
            row.decision = str(current.decision.get("words", ""))
            if current.label_batch_id is not None:
                row.judgments = len(batch_judgments(session, current.label_batch_id))
            challenger, incumbent = current.challenger_id, current.incumbent_id
            blind = current.blind_batch_id
            run = None if current.run_id is None else session.get_one(Run, current.run_id)
            if run is not None and run.snapshot_id is not None:
                taken = session.get_one(Snapshot, run.snapshot_id)
                row.by_people = taken.n_judgments - taken.n_simulated
        if challenger is None or blind is None:
            row.adapter = incumbent
            if incumbent != start:
                self._compare_with_start(row, incumbent, start)
            return
        row.adapter = challenger
        with self.sessions.begin() as session:
            metrics = adapters.adapter(session, challenger).metrics
            frame = batch_judgments(session, blind)
        row.heldout_accuracy = metrics.get("heldout_accuracy")
        row.blind_judgments = len(frame)
        previous = rate_or_none(frame, challenger, incumbent)
        if previous is not None:
            row.win_rate_vs_previous, row.ci = previous.value, [previous.ci_low, previous.ci_high]
        answers = challenger if row.promoted or incumbent == start else incumbent
        if answers == challenger and incumbent == start:
            row.win_rate_vs_start, row.ci_start = row.win_rate_vs_previous, list(row.ci)
        else:
            self._compare_with_start(row, answers, start)
        row.adapter = answers

    def _compare_with_start(self, row: Row, answers: str, start: str) -> None:
        from_start, extra = self._against_start(row, answers, start)
        row.blind_judgments += extra
        if from_start is not None:
            row.win_rate_vs_start = from_start.value
            row.ci_start = [from_start.ci_low, from_start.ci_high]

    def _against_start(self, row: Row, answers: str, start: str) -> tuple[WinRate | None, int]:
        self.say(f"{row.persona} round {row.round}: blind comparison with the start")
        maker = BatchMaker(self.sessions, self.worker.service(), row.persona, self.plan.candidates)
        name = f"{row.persona} {answers[-24:]} against the start"
        made = maker.blind_batch(name, answers, start, self.plan.blind)
        judge_all(self.sessions, self.panel, batch_id=made.batch_id)
        with self.sessions.begin() as session:
            frame = batch_judgments(session, made.batch_id)
        return rate_or_none(frame, answers, start), len(frame)

    def _round_id(self, persona: str, known: int | None) -> int:
        """The ledger's round, opened now where this is its first time."""
        if known is None:
            with self.sessions.begin() as session:
                known = open_round(session, persona).id
        return known

    def _state(self, round_id: int) -> RoundState:
        with self.sessions.begin() as session:
            return session.get_one(Round, round_id, populate_existing=True).state

    def _batch(self, round_id: int, which: str) -> int:
        with self.sessions.begin() as session:
            current = session.get_one(Round, round_id)
            batch = current.label_batch_id if which == "label" else current.blind_batch_id
        assert batch is not None
        return batch

    def _progress(self) -> dict[str, Any]:
        """What is done, begun now where nothing is."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        done = self.folder.read("progress.json")
        if done is None:
            with self.sessions.begin() as session:
                starts = {p: adapters.incumbent(session, p).id for p in self.plan.personas}
            done = {"starts": starts, "rows": {}, "spent": {}, "round_ids": {}}
            self._keep(done)
        return done

    def _keep(self, done: dict[str, Any]) -> None:
        self.folder.write("progress.json", done)


def simulated_gate(config: GateConfig) -> GateConfig:
    """The gate of a loop that is SIMULATED as a whole: what it judged counts, no more is asked."""
    return replace(config, count_simulated=True, most_judgments=1, judge="")


def rate_or_none(frame: Any, one: str, other: str) -> WinRate | None:
    """The win rate, or None where nobody preferred either."""
    try:
        return win_rate_over(frame, one, other)
    except GateRefused:
        return None


def describe(row: Row) -> str:
    """One finished round in a line."""
    verdict = "promoted" if row.promoted else "rejected"
    return (
        f"{row.persona} round {row.round}: {verdict}, against the previous "
        f"{percent(row.win_rate_vs_previous)}, against the start {percent(row.win_rate_vs_start)} "
        f"(SIMULATED), {row.seconds:.0f} s"
    )


def percent(value: float | None) -> str:
    """A rate for people."""
    return "–" if value is None else f"{value:.1%}"
