"""What an adapter would be without some annotators: trained again on the rest, then compared.

Knows the stages and how each is found done. Does not know queues or leases (training/jobs.py); what
is compared is training/adapter_difference.py. The factual run's configuration, reference and seed
are kept; its snapshot loses the annotators' judgments, and the others' weights are found anew. What
comes of it is marked, answers nobody and opens no blind comparison.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, snapshots
from db.clock import utcnow
from db.lineage import COUNTERFACTUAL_OF
from db.models import JobKind, JobState, Run, Snapshot
from db.settings import outputs_dir
from training import reliability
from training.adapter_difference import Difference, compare
from training.adapters import find_adapter, portable, read_card
from training.code_hash import code_sha256
from training.configs import make_config
from training.dpo_config import DPOConfig
from training.dpo_run import train_adapter
from training.leaving_out import factual_run, pairs_of
from training.pairs import PairSet, normalised
from training.personas import persona_of
from training.registering import register
from training.retraining import keep_snapshot, refuse_too_little
from training.rounds import fresh_and_earlier, left_out, trained_judgments
from training.runs import RunFolder, digest
from training.service import Service
from training.unjudged import unjudged_pairs

Sessions = sessionmaker[Session]
REPORT = "counterfactual.json"


@dataclass(frozen=True)
class Begun:
    """A counterfactual run that has its row in the ledger.

    Attributes:
        run_id: of the ledger's row.
        of: the factual adapter's id.
        without: annotators (ids), ascending.
        config: the factual run's.
        factual: its pairs.
        rest: the pairs of the others' judgments.
        snapshot_id: the others' judgments.
        snapshot_sha256: of them.
        simulated: how many of them no person made.
        trust: what the others' judgments weigh.
        left_out: what the snapshot has not, by reason.
        reference_id: the adapter that both start from.
        adapter_id: of the adapter to be.
        key: hash of all that decides the outcome.
    """

    run_id: int
    of: str
    without: tuple[int, ...]
    config: DPOConfig
    factual: PairSet
    rest: PairSet
    snapshot_id: int
    snapshot_sha256: str
    simulated: int
    trust: dict[int, reliability.Trust]
    left_out: dict[str, int]
    reference_id: str
    adapter_id: str
    key: str


class Counterfactual:
    """The stages of one retrain job that leaves somebody out."""

    def __init__(
        self,
        sessions: Sessions,
        service: Service,
        persona: str,
        *,
        of: str,
        without: Sequence[int],
        job_id: int | None = None,
        progress: Callable[[str, float], None] = lambda stage, share: None,
    ):
        """Bind; nothing happens before `run`.

        Args:
            sessions: of the ledger.
            service: where to train.
            persona: slug.
            of: id of the adapter as it is.
            without: annotators (ids) to leave out.
            job_id: of the job that asks for it.
            progress: told stage and share, 0 to 1; may raise to stop.
        """
        self.sessions = sessions
        self.service = service
        self.persona = persona
        self.of = of
        self.without = tuple(sorted(set(without)))
        self.job_id = job_id
        self.progress = progress

    def run(self) -> str:
        """All stages, those that are done already found again; the outcome in a sentence.

        Raises:
            TrainingError: a refusal with its reason.
            Refused: they made none of the judgments, or all of them.
        """
        begun = self.begin()
        folder = outputs_dir() / "lora" / self.persona / begun.adapter_id
        run = RunFolder(outputs_dir() / "runs" / begun.adapter_id)
        factual, reference = (
            find_adapter(self.persona, each) for each in (begun.of, begun.reference_id)
        )
        for each in (factual, reference):  # both are measured at the end; better refused now
            self.service.paths(read_card(each))
        self._train(begun, run, folder)
        self.progress("comparing", 0.0)
        found = compare(
            self.service,
            persona_of(self.persona),
            factual=factual,
            other=folder,
            reference=reference,
            pairs=begun.factual,
            rest=begun.rest,
        )
        run.write(REPORT, asdict(found))
        return self._finish(begun, found)

    def begin(self) -> Begun:
        """Freeze the others' judgments and write the run's row, or find it."""
        self.progress("snapshot", 0.0)
        with self.sessions.begin() as session:
            factual = factual_run(session, self.persona, self.of)
            assert factual.snapshot_id is not None and factual.reference_id is not None
            config = make_config(DPOConfig, factual.config)
            rest = snapshots.less(session, factual.snapshot_id, self.without)
            reference = adapters.adapter(session, factual.reference_id)
            before = factual.started_at
            trust = reliability.weigh(session, rest.id, config, before=before)
            code = code_sha256(self.persona)
            told = [rest.sha256, factual.config, reference.sha256, self.service.base_sha256, code]
            key = digest([*reliability.key_of(told, trust), "counterfactual of", self.of])
            run = self._row(session, key, code, factual, rest)
            adapter_id = f"{self.of[:90]}-without-{key[:8]}"
            run.folder = portable(outputs_dir() / "runs" / adapter_id)
            pairs = pairs_of(session, factual.snapshot_id, config, before)
            return Begun(
                run.id,
                self.of,
                self.without,
                config,
                pairs,
                pairs_of(session, rest.id, config, before),
                rest.id,
                rest.sha256,
                rest.n_simulated,
                trust,
                left_out(session, rest, before, self.without),
                reference.id,
                adapter_id,
                key,
            )

    def _row(self, session: Session, key: str, code: str, factual: Run, rest: Snapshot) -> Run:
        """The run's row: one with this key, or a new one."""
        live = Run.state.in_([JobState.RUNNING, JobState.DONE])
        known = session.scalar(select(Run).where(Run.key == key, live))
        if known is not None:
            if known.state is JobState.RUNNING:
                known.job_id = self.job_id
            return known
        found = Run(
            job_id=self.job_id,
            kind=JobKind.RETRAIN,
            persona_slug=self.persona,
            snapshot_id=rest.id,
            reference_id=factual.reference_id,
            config=dict(factual.config),
            key=key,
            code_sha256=code,
            excluded=list(self.without),
        )
        session.add(found)
        session.flush()
        return found

    def _train(self, begun: Begun, run: RunFolder, folder: Path) -> None:
        """Train on the others' judgments and register the adapter, unless it is there."""
        with self.sessions.begin() as session:
            reference = adapters.adapter(session, begun.reference_id)
            keep_snapshot(session, begun.snapshot_id, run.path)
            known = trained_judgments(session, reference)
            chosen, earlier = fresh_and_earlier(begun.rest.training, known, begun.config)
            refuse_too_little(chosen, earlier, begun.rest, begun.config)
            judged = normalised([*chosen, *earlier])
            wanted = round(begun.config.unjudged * len(judged))
            unjudged, taste = unjudged_pairs(
                session,
                self.persona,
                reference.id,
                begun.rest.training,
                wanted,
                begun.config,
                run,
            )
        card = train_adapter(
            self.service,
            persona_of(self.persona),
            [*judged, *unjudged],
            begun.rest,
            begun.config,
            reference,
            run,
            folder,
            key=begun.key,
            snapshot=begun.snapshot_sha256,
            told={
                "without": list(begun.without),
                COUNTERFACTUAL_OF: begun.of,
                "simulated_judgments": begun.simulated,
                "not_in_snapshot": begun.left_out,
                "annotator_weights": reliability.report(begun.trust, begun.config),
                "of_earlier_rounds": len(earlier),
                "unjudged": len(unjudged),
                "taste": taste,
            },
            progress=self.progress,
        )
        with self.sessions.begin() as session:
            register(session, card, folder, run_id=begun.run_id)

    def _finish(self, begun: Begun, found: Difference) -> str:
        with self.sessions.begin() as session:
            made = adapters.adapter(session, begun.adapter_id)
            made.metrics = {**made.metrics, "counterfactual": asdict(found)}
            row = session.get_one(Run, begun.run_id)
            row.state = JobState.DONE
            row.finished_at = row.finished_at or utcnow()
        people_ = ", ".join(f"annotator {who}" for who in begun.without)
        said = f"{begun.adapter_id} is {begun.of} without {people_}: {found.in_words()}"
        if begun.simulated:
            said += f". SIMULATED: {begun.simulated} judgments behind it were made by no person."
        return said
