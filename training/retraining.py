"""One retraining: judgments to snapshot, pairs, DPO, adapter, blind comparison.

Knows the order of the stages and how each is found done. Does not know queues or leases
(training/jobs.py) nor the gate (training/deciding.py). Every stage is found again by what it left
behind, so the whole can die at any moment and be called again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from db import adapters, rounds, snapshot_files, snapshots
from db.clock import utcnow
from db.models import JobKind, JobState, RoundState, Run, Snapshot
from db.settings import outputs_dir
from training import reliability
from training.adapters import AdapterCard, portable, verify_adapter
from training.batches import BatchMaker
from training.candidates import CandidateConfig, Progress
from training.code_hash import code_sha256
from training.configs import CONFIGS, load_config, make_config
from training.dpo_config import DPOConfig, planned_steps
from training.dpo_run import train_adapter
from training.errors import AdapterMissing, RunLost, TooLittleData
from training.job_config import JobConfig
from training.pairs import PairSet, PreferencePair, build_pairs, normalised
from training.personas import persona_of
from training.readiness import refuse_unready
from training.registering import register
from training.rounds import (
    abandon_run,
    fresh_and_earlier,
    left_out,
    open_round,
    refuse_while_blind,
    round_of_run,
    run_of_job,
    trained_judgments,
)
from training.run_keys import claim_key, settle_orphans
from training.runs import RunFolder, digest
from training.saving import clear_intent
from training.service import Service
from training.unjudged import unjudged_pairs

Sessions = sessionmaker[Session]


@dataclass(frozen=True)
class Begun:
    """A run that has its row in the ledger.

    Attributes:
        run_id: of the ledger's row.
        round_number: the round it belongs to.
        snapshot_id: the judgments.
        snapshot_sha256: of the judgments.
        simulated: how many of them no person made.
        left_out: what the snapshot has not, by reason.
        reference_id: the incumbent at its start.
        adapter_id: of the adapter to be.
        trust: what each annotator's judgments weigh.
        key: hash of snapshot, configuration, reference, base, code and weights: asking twice trains
            once.
        forced: why it was asked to train even where the judgments are not ready, or empty.
    """

    run_id: int
    round_number: int
    snapshot_id: int
    snapshot_sha256: str
    simulated: int
    left_out: dict[str, int]
    reference_id: str
    adapter_id: str
    trust: dict[int, reliability.Trust]
    key: str
    forced: str = ""


class Retraining:
    """The stages of one retrain job."""

    def __init__(
        self,
        sessions: Sessions,
        service: Service,
        persona: str,
        *,
        job_id: int | None = None,
        include_simulated: bool = False,
        force: str = "",
        config: DPOConfig | None = None,
        candidates: CandidateConfig | None = None,
        job: JobConfig | None = None,
        progress: Progress = lambda stage, share: None,
    ):
        """Bind; nothing happens before `run`.

        Args:
            sessions: of the ledger; every transaction of the run goes through them.
            service: where to train.
            persona: slug.
            job_id: the job that asked, by which a run is found again.
            include_simulated: train on judgments that no person made too.
            force: why to train although the judgments are not ready; empty refuses then.
            config: the run; None reads configs/dpo.yaml.
            candidates: of the blind comparison; None reads configs/candidates.yaml.
            job: what judgments must be like; None reads configs/job.yaml.
            progress: told stage and share, 0 to 1; may raise to stop.
        """
        self.sessions = sessions
        self.service = service
        self.persona = persona
        self.job_id = job_id
        self.include_simulated = include_simulated
        self.force = force
        self.job = job or load_config(JobConfig, CONFIGS / "job.yaml")
        self.config = config or load_config(DPOConfig, CONFIGS / "dpo.yaml")
        self.candidates = candidates or load_config(CandidateConfig, CONFIGS / "candidates.yaml")
        self.progress = progress
        self._left: RunFolder | None = None

    def run(self) -> str:
        """All stages; what was achieved, in a sentence.

        Raises:
            TrainingError: a refusal with its reason; call `abandon` then.
        """
        begun = self.begin()
        self.train(begun)
        return self.open_blind(begun)

    def begin(self) -> Begun:
        """Freeze the judgments and write the run's row, or find it with what it began with.

        Raises:
            NotReady: the judgments are not good enough to train on, and nobody forces it.
            AlreadyTrained: the very same run was made before, or is being made.
            TooLittleData: the last challenger is still being compared.
        """
        self.progress("snapshot", 0.0)
        code = code_sha256(self.persona)
        with self.sessions.begin() as session:
            settle_orphans(session, self.persona)
            run = self._begun_by(session, code)
            current = None if run is None else round_of_run(session, run.id)
            if current is None:
                current = open_round(session, self.persona)
                refuse_while_blind(session, current)
            if run is None:
                if not self.force:
                    simulated = self.include_simulated
                    limits = self.job.limits()
                    refuse_unready(session, self.persona, limits, include_simulated=simulated)
                run = self._new_run(session, current.incumbent_id)
            self.config = make_config(DPOConfig, run.config)
            assert run.snapshot_id is not None and run.reference_id is not None
            snapshot = session.get_one(Snapshot, run.snapshot_id)
            reference = adapters.adapter(session, run.reference_id)
            told = [snapshot.sha256, run.config, reference.sha256, self.service.base_sha256, code]
            trust = reliability.weigh(session, snapshot.id, self.config, before=run.started_at)
            key = run.key or digest(reliability.key_of(told, trust))
            claim_key(session, run, key, code)
            run.folder = portable(self._folder(key))
            if current.state in (RoundState.LABELING, RoundState.TRAINING):
                current.state, current.run_id = RoundState.TRAINING, run.id
            begun = Begun(
                run.id,
                current.number,
                snapshot.id,
                snapshot.sha256,
                snapshot.n_simulated,
                left_out(session, snapshot, run.started_at),
                reference.id,
                f"{self.persona}-r{current.number}-{key[:8]}",
                trust,
                key,
                self.force,
            )
        self._forget_left()
        return begun

    def _begun_by(self, session: Session, code: str) -> Run | None:
        """The job's run; None where it has none, or one of another code, which ends here.

        A run that goes on under another code would make an adapter that neither of them makes.
        """
        run = run_of_job(session, self.job_id)
        if run is None or run.state is JobState.DONE or run.code_sha256 in (None, code):
            return run
        assert self.job_id is not None
        self._left = RunFolder(outputs_dir() / "runs" / Path(run.folder).name)
        abandon_run(session, self.job_id, JobState.FAILED)
        session.flush()
        return None

    def _forget_left(self) -> None:
        """Delete the saved states of a run that ended here: nothing will go on from them."""
        if self._left is not None:
            clear_intent(self.service, self._left)
            last = self._left.checkpoint()
            self.service.forget(last.path if last else None)
            self._left.restart()
            self._left = None

    def _new_run(self, session: Session, reference_id: str) -> Run:
        taken = snapshots.take(session, self.persona, include_simulated=self.include_simulated)
        run = Run(
            job_id=self.job_id,
            kind=JobKind.RETRAIN,
            persona_slug=self.persona,
            snapshot_id=taken.id,
            reference_id=reference_id,
            config=asdict(self.config),
        )
        session.add(run)
        session.flush()
        return run

    def _folder(self, key: str) -> Path:
        return outputs_dir() / "runs" / f"{self.persona}-{key[:16]}"

    def train(self, begun: Begun) -> None:
        """Train and export, unless the adapter is there, and register it."""
        folder = outputs_dir() / "lora" / self.persona / begun.adapter_id
        run = RunFolder(self._folder(begun.key))
        try:
            card = verify_adapter(folder, self.service.base_sha256)
        except AdapterMissing:
            card = self._trained(begun, folder, run)
        with self.sessions.begin() as session:
            register(session, card, folder, run_id=begun.run_id)
            row = session.get_one(Run, begun.run_id)
            row.state = JobState.DONE
            row.finished_at = row.finished_at or utcnow()

    def _trained(self, begun: Begun, folder: Path, run: RunFolder) -> AdapterCard:
        with self.sessions.begin() as session:
            reference = adapters.adapter(session, begun.reference_id)
            keep_snapshot(session, begun.snapshot_id, run.path)
            rows = snapshots.rows(session, begun.snapshot_id)
            known = trained_judgments(session, reference)
        rows = reliability.weighted(rows, begun.trust)
        pairs = build_pairs(rows, self.config.pair_options())
        chosen, earlier = fresh_and_earlier(pairs.training, known, self.config)
        refuse_too_little(chosen, earlier, pairs, self.config)
        judged = normalised([*chosen, *earlier])
        with self.sessions.begin() as session:
            unjudged, taste = unjudged_pairs(
                session,
                self.persona,
                reference.id,
                pairs.training,
                round(self.config.unjudged * len(judged)),
                self.config,
                run,
            )
        return train_adapter(
            self.service,
            persona_of(self.persona),
            [*judged, *unjudged],
            pairs,
            self.config,
            reference,
            run,
            folder,
            key=begun.key,
            snapshot=begun.snapshot_sha256,
            told={
                "simulated_judgments": begun.simulated,
                "not_in_snapshot": begun.left_out,
                "annotator_weights": reliability.report(begun.trust, self.config),
                "of_earlier_rounds": len(earlier),
                "unjudged": len(unjudged),
                "taste": taste,
                **({"forced": begun.forced} if begun.forced else {}),
            },
            progress=self.progress,
        )

    def open_blind(self, begun: Begun) -> str:
        """Open the blind comparison of challenger and incumbent, or find it."""
        maker = BatchMaker(
            self.sessions, self.service, self.persona, self.candidates, self.progress
        )
        name = f"{self.persona} round {begun.round_number} blind {begun.adapter_id[-8:]}"
        made = maker.blind_batch(name, begun.adapter_id, begun.reference_id)
        with self.sessions.begin() as session:
            current = rounds.current_round(session, self.persona)
            if current is not None and current.number == begun.round_number:
                current.challenger_id = begun.adapter_id
                current.blind_batch_id = made.batch_id
                current.run_id = begun.run_id
                current.state = RoundState.BLIND
        return (
            f"{begun.adapter_id} was trained; {made.comparisons} blind comparisons with "
            f"{begun.reference_id} decide on it"
            + (
                f". SIMULATED: {begun.simulated} judgments that it learned from were made by no "
                "person."
                if begun.simulated
                else ""
            )
        )


def keep_snapshot(session: Session, snapshot_id: int, folder: Path) -> None:
    """Put the snapshot's lines into a run's folder; of a begun run, see that they are its own.

    Raises:
        RunLost: they are not.
    """
    taken, begun = session.get_one(Snapshot, snapshot_id), (folder / "run.json").exists()
    wrong = snapshot_files.keep(session, taken, folder, begun=begun)
    if wrong:
        raise RunLost(f"{wrong}; restore it, or delete the folder {folder} to begin anew")


def refuse_too_little(
    fresh: Sequence[PreferencePair],
    earlier: Sequence[PreferencePair],
    pairs: PairSet,
    config: DPOConfig,
) -> None:
    """Refuse a run that would learn nothing, or nothing new.

    Raises:
        TooLittleData: saying how many pairs are wanted and what became of the judgments.
    """
    if not fresh and pairs.training:
        raise TooLittleData(
            "no judgments since the present adapter was trained; judge more comparisons"
        )
    try:
        planned_steps(
            len(fresh) + len(earlier), config, sum(pair.tie for pair in (*fresh, *earlier))
        )
    except TooLittleData as error:
        raise TooLittleData(f"{error} ({pairs.in_words()})") from None
