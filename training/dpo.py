"""Preference optimization through the Tinker SDK: a DPO step that is right, and that resumes.

Knows the loop: what one step sends, when a state is saved, what is measured. Does not know the
ledger, rounds or promotion. The reference is the adapter that the run starts from, pinned for good:
its log-probabilities are computed once and kept in the run folder.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from training.datums import EncodedPair, TokenSequence, completion_logprobs, spread
from training.dpo_config import DPOConfig, planned_batch, planned_steps
from training.dpo_loss import loss_of
from training.errors import RunLost
from training.evaluation.pair_accuracy import PairAccuracy, implicit_accuracy
from training.runs import RunFolder, digest
from training.saving import clear_intent, save_checkpoint
from training.schedules import batch_of, rate, stream_of
from training.service import Service

if TYPE_CHECKING:
    import tinker

log = logging.getLogger(__name__)
Progress = Callable[[str, float], None]
LogProbs = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Reference:
    """The pinned start of a run.

    Attributes:
        id: adapter id.
        sha256: of its weights.
        path: tinker:// path to train from.
    """

    id: str
    sha256: str
    path: str


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
    steps, batch = planned_steps(len(data.training), config), planned_batch(data.training, config)
    checkpoint = run.begin(identity_of(service, data, config, reference))
    clear_intent(service, run)
    progress("reference", 0.0)
    resumed = None if checkpoint is None else service.resumed(checkpoint.path)
    if checkpoint is not None and resumed is None:
        run.restart()
        checkpoint = None
    fresh = None
    if run.read("reference.json") is None or resumed is None:
        fresh = service.started_from(reference.path)
    held_to = _reference_logprobs(service, fresh, data, reference, run)
    client = fresh if resumed is None else resumed
    assert client is not None
    first = 0 if checkpoint is None else checkpoint.step
    pending: deque[_Sent] = deque()
    for step in range(first, steps):
        progress("training", step / steps)
        pending.append(_send(client, data, held_to, config, step, steps, batch))
        saving = (step + 1) % config.save_every == 0 or step + 1 == steps
        while pending and (saving or len(pending) > 1):
            run.log(pending.popleft().received(service))
        if saving:
            checkpoint = save_checkpoint(service, client, run, step + 1, checkpoint)
    progress("measuring", 1.0)
    return DPOResult(client, _final_metrics(service, client, data, held_to, config, run, steps))


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
    reference: Reference,
    run: RunFolder,
) -> LogProbs:
    """The reference's log-probabilities of every pair, computed once in a run's life."""
    stored = run.read("reference.json")
    if stored is not None:
        if stored.get("sha256") != reference.sha256:
            raise RunLost(
                f"{run.path}: its reference is another adapter; delete the folder to begin anew"
            )
        return {key: (float(c), float(r)) for key, (c, r) in stored["logprobs"].items()}
    assert client is not None
    pairs = [*data.training, *data.heldout]
    sides = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    sums = completion_logprobs(service, client, sides)
    known = {
        pair.key: (sums[2 * number], sums[2 * number + 1]) for number, pair in enumerate(pairs)
    }
    run.write("reference.json", {**asdict(reference), "logprobs": known})
    return known


@dataclass
class _Sent:
    """A step on its way: its futures, and what is known before they answer."""

    record: dict[str, Any]
    preference: Any
    replay: Any
    stepped: Any
    told: dict[str, float]
    began: float

    def received(self, service: Service) -> dict[str, Any]:
        """Wait for the step; the record for the metrics file."""
        service.wait(self.preference)
        replay_loss = None
        if self.replay is not None:
            replay_loss = float(service.wait(self.replay).metrics["loss:sum"])
            replay_loss /= self.record["replay"]
        service.wait(self.stepped)
        record = {**self.record, **self.told, "replay_loss": replay_loss}
        record["seconds"] = round(time.monotonic() - self.began, 3)
        return record


def _send(
    client: "tinker.TrainingClient",
    data: DPOData,
    held_to: LogProbs,
    config: DPOConfig,
    step: int,
    steps: int,
    batch: int,
) -> _Sent:
    """Submit one step whole: preference loss, replay, optimizer. Nothing is waited for."""
    import tinker

    pairs = batch_of(data.training, step, batch, config.seed)
    told: dict[str, float] = {}
    datums = [side.datum() for pair in pairs for side in (pair.chosen, pair.rejected)]
    learning_rate = rate(step, steps, config.learning_rate, config.schedule, config.warmup)
    tokens = sum(pair.tokens for pair in pairs)
    began = time.monotonic()
    preference = client.forward_backward_custom(datums, loss_of(pairs, held_to, config, told))
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
    record = {
        "step": step + 1,
        "steps": steps,
        "pairs": len(pairs),
        "learning_rate": learning_rate,
        "tokens": tokens,
        "replay": config.replay_weight,
    }
    return _Sent(record, preference, replay, stepped, told, began)


def heldout_accuracy(
    service: Service,
    client: "tinker.TrainingClient",
    pairs: Sequence[EncodedPair],
    held_to: Mapping[str, Any],
) -> PairAccuracy:
    """How often the trained policy's implicit reward agrees with held-out judgments."""
    sides = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    sums = completion_logprobs(service, client, sides)
    margins = [
        (sums[2 * number] - held_to[pair.key][0]) - (sums[2 * number + 1] - held_to[pair.key][1])
        for number, pair in enumerate(pairs)
    ]
    return implicit_accuracy(margins)


def _final_metrics(
    service: Service,
    client: "tinker.TrainingClient",
    data: DPOData,
    held_to: LogProbs,
    config: DPOConfig,
    run: RunFolder,
    steps: int,
) -> dict[str, Any]:
    records = [record for record in run.metrics() if "loss" in record]
    tail = records[-max(1, len(records) // 4) :]
    accuracy = heldout_accuracy(service, client, data.heldout, held_to)
    metrics: dict[str, Any] = {
        name: sum(record[name] for record in tail) / len(tail)
        for name in ("loss", "accuracy", "margin", "chosen_reward", "kl", "kl_token")
        if tail
    }
    metrics |= {
        "steps": steps,
        "pairs": len(data.training),
        "tokens": sum(record["tokens"] for record in records),
        "seconds": round(sum(record["seconds"] for record in records), 1),
        "heldout_accuracy": accuracy.value,
        "heldout_pairs": accuracy.pairs,
    }
    if records and tail[-1]["chosen_reward"] < -1.0 and tail[-1]["margin"] > 0:
        metrics["alarm"] = "the chosen responses became less likely while the margin grew"
        log.warning("%s (chosen reward %.2f)", metrics["alarm"], tail[-1]["chosen_reward"])
    return metrics
