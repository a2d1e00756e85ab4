"""Preference optimization through the Tinker SDK: a DPO step that is right, and that resumes.

Knows the loop: what one step sends, when a state is saved, what is measured. Does not know the
ledger, rounds or promotion. The reference is the adapter that the run starts from, pinned for good
(training/reference.py).
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from training.alarm import Alarm
from training.datums import EncodedPair, TokenSequence, spread
from training.dpo_config import DPOConfig, planned_batch, planned_steps
from training.dpo_loss import Told, loss_of
from training.measuring import HeldOut
from training.reference import FILE as REFERENCE_FILE
from training.reference import HeldTo, Reference, held_to
from training.runs import RunFolder, digest
from training.saving import clear_intent, save_checkpoint
from training.schedules import batch_of, rate, stream_of
from training.service import Service

if TYPE_CHECKING:
    import tinker

log = logging.getLogger(__name__)
Progress = Callable[[str, float], None]
AVERAGED = (
    *("loss", "accuracy", "margin", "chosen_reward", "rejected_reward", "kl", "kl_token"),
    *("kl_base", "kl_base_token", "chosen_nll", "grad_norm"),
)
"""Metrics of steps that the adapter's card has as a mean over the last quarter."""


@dataclass(frozen=True)
class DPOData:
    """All that a run trains on and measures with, as tokens."""

    training: tuple[EncodedPair, ...]
    heldout: tuple[EncodedPair, ...]
    replay: tuple[TokenSequence, ...]

    def sha256(self) -> str:
        """Of everything in it."""
        return digest([asdict(self)])


@dataclass(frozen=True)
class DPOResult:
    """A finished run.

    Attributes:
        client: holds the trained weights, ready for export.
        metrics: final numbers, for the adapter's card.
    """

    client: "tinker.TrainingClient"
    metrics: dict[str, Any] = field(default_factory=dict)


def train_dpo(
    service: Service,
    data: DPOData,
    config: DPOConfig,
    reference: Reference,
    run: RunFolder,
    progress: Progress = lambda stage, share: None,
) -> DPOResult:
    """Train from the reference on the pairs. Killed at any moment, the same call resumes exactly.

    Where the service has lost the saved state, the run begins again with its first step and the
    reference that it began with: the outcome is the same, only later.

    Args:
        service: where to train.
        data: pairs and replay rows.
        config: the run.
        reference: where the policy starts and what it is held to.
        run: the run's folder.
        progress: told the stage and the share done, 0 to 1; may raise to stop.

    Raises:
        TooLittleData: too few pairs for an honest run; says how many are wanted.
        RunLost: the folder belongs to another run.
    """
    ties = sum(pair.tie for pair in data.training)
    steps = planned_steps(len(data.training), config, ties)
    batch = planned_batch(data.training, config)
    checkpoint = run.begin(identity_of(service, data, config, reference))
    clear_intent(service, run)
    progress("reference", 0.0)
    resumed = None if checkpoint is None else service.resumed(checkpoint.path)
    if checkpoint is not None and resumed is None:
        run.restart()
        checkpoint = None
    fresh = None
    if run.read(REFERENCE_FILE) is None or resumed is None:
        fresh = service.started_from(reference.path)
    known = _reference_logprobs(service, fresh, data, config, reference, run)
    client = fresh if resumed is None else resumed
    assert client is not None
    first = 0 if checkpoint is None else checkpoint.step
    heldout = HeldOut(data.heldout, known, config)
    book = _Book(service, run, config)
    pending: deque[_Sent] = deque()
    for step in range(first, steps):
        progress("training", step / steps)
        pending.append(_send(client, data, known, heldout, config, step, steps, batch))
        saving = (step + 1) % config.save_every == 0 or step + 1 == steps
        while pending and (saving or len(pending) > 1):
            book.enter(pending.popleft())
        if saving:
            checkpoint = save_checkpoint(service, client, run, step + 1, checkpoint)
    progress("measuring", 1.0)
    return DPOResult(client, _final_metrics(service, client, data, heldout, run, steps))


def identity_of(
    service: Service, data: DPOData, config: DPOConfig, reference: Reference
) -> dict[str, Any]:
    """Everything that decides a run's outcome, for its folder."""
    return {
        "kind": "dpo",
        "config": asdict(config),
        "reference": asdict(reference),
        "data_sha256": data.sha256(),
        "base_model_sha256": service.base_sha256,
    }


def _reference_logprobs(
    service: Service,
    client: "tinker.TrainingClient | None",
    data: DPOData,
    config: DPOConfig,
    reference: Reference,
    run: RunFolder,
) -> HeldTo:
    """What every pair is held to, computed once in a run's life."""
    pairs = [*data.training, *data.heldout]
    return held_to(service, client, pairs, reference, run, config.kl_to_base)


@dataclass
class _Sent:
    """A step on its way: its futures, and what is known before they answer."""

    record: dict[str, Any]
    preference: Any
    replay: Any
    stepped: Any
    heldout: tuple[HeldOut, Any] | None
    told: Told
    began: float

    def received(self, service: Service) -> dict[str, Any]:
        """Wait for the step; the record for the metrics file."""
        service.wait(self.preference)
        replay_loss = None
        if self.replay is not None:
            replay_loss = float(service.wait(self.replay).metrics["loss:sum"])
            replay_loss /= self.record["replay"]
        said = service.wait(self.stepped).metrics or {}
        norm = next((said[name] for name in said if name.startswith("grad_norm")), None)
        record = {**self.record, **self.told, "replay_loss": replay_loss, "grad_norm": norm}
        record["seconds"] = round(time.monotonic() - self.began, 3)
        if self.heldout is not None:
            measured, future = self.heldout
            record |= measured.received(service, future)
        return record


class _Book:
    """Writes the steps of a run into its metrics, and looks at them for the alarm."""

    def __init__(self, service: Service, run: RunFolder, config: DPOConfig):
        self.service = service
        self.run = run
        self.alarm = Alarm(config.alarm, run.metrics())

    def enter(self, sent: _Sent) -> None:
        """Wait for a step and write it down."""
        record = sent.received(self.service)
        rang = self.alarm.ringing
        said = self.alarm.look(record)
        if said is not None:
            record["alarm"] = said
            if not rang:
                log.warning("%s: step %d: %s", self.run.path.name, record["step"], said)
        self.run.log(record)


def _send(
    client: "tinker.TrainingClient",
    data: DPOData,
    known: HeldTo,
    heldout: HeldOut,
    config: DPOConfig,
    step: int,
    steps: int,
    batch: int,
) -> _Sent:
    """Submit one step whole: preference loss, replay, optimizer. Nothing is waited for."""
    import tinker

    pairs = batch_of(data.training, step, batch, config.seed)
    told: Told = {}
    datums = known.data(pairs)
    learning_rate = rate(step, steps, config.learning_rate, config.schedule, config.warmup)
    tokens = sum(pair.tokens for pair in pairs)
    loss = loss_of(pairs, datums, config, told)
    began = time.monotonic()
    preference = client.forward_backward_custom(datums, loss)
    replay = None
    if config.replay_weight > 0 and data.replay:
        rows = stream_of(data.replay, step, config.replay_rows, config.seed)
        tokens += sum(len(row) for row in rows)
        replay = client.forward_backward(spread(rows, config.replay_weight), "cross_entropy")
    stepped = client.optim_step(
        tinker.AdamParams(
            learning_rate=learning_rate,
            beta1=config.beta1,
            beta2=config.beta2,
            weight_decay=config.weight_decay,
            grad_clip_norm=config.clip,
        )
    )
    measured = None
    every = config.evaluate_every
    if step + 1 == steps or (every and (step + 1) % every == 0):
        measured = (heldout, heldout.sent(client))
    record = {
        "step": step + 1,
        "steps": steps,
        "pairs": len(pairs),
        "learning_rate": learning_rate,
        "tokens": tokens,
        "replay": config.replay_weight,
    }
    return _Sent(record, preference, replay, stepped, measured, told, began)


def _final_metrics(
    service: Service,
    client: "tinker.TrainingClient",
    data: DPOData,
    heldout: HeldOut,
    run: RunFolder,
    steps: int,
) -> dict[str, Any]:
    """The run in numbers, for the adapter's card."""
    records = [record for record in run.metrics() if "loss" in record]
    last = records[-1] if records and records[-1]["step"] == steps else {}
    measured = {name: value for name, value in last.items() if name.startswith("heldout_")}
    if not measured:  # its line was lost
        measured = heldout.received(service, heldout.sent(client))
    tail = records[-max(1, len(records) // 4) :]
    metrics: dict[str, Any] = {}
    for name in AVERAGED:
        known = [record[name] for record in tail if record.get(name) is not None]
        if known:
            metrics[name] = sum(known) / len(known)
    metrics |= {
        "steps": steps,
        "pairs": len(data.training),
        "tokens": sum(record["tokens"] for record in records),
        "seconds": round(sum(record["seconds"] for record in records), 1),
        "heldout_pairs": sum(not pair.tie for pair in data.heldout),
        "heldout_nll_start": heldout.at_start()["heldout_nll"],
        **measured,
    }
    if any(pair.tie for pair in data.training):
        metrics["ties"] = sum(pair.tie for pair in data.training)
    alarms = [record for record in records if record.get("alarm")]
    if alarms:
        metrics["alarm"] = alarms[0]["alarm"]
        metrics["alarm_steps"] = [record["step"] for record in alarms]
    return metrics
