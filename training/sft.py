"""Supervised adapters: LoRA on a persona's written responses, through the Tinker SDK.

Knows cross-entropy steps and the run folder. Does not know preferences or the ledger.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.adapters import AdapterCard
from training.configs import in_range, one_of
from training.datums import Encoder, TokenSequence, persona_rows, spread
from training.errors import TooLittleData
from training.exporting import export_adapter, made_already
from training.keeping import tell_hosted
from training.personas import Persona
from training.runs import RunFolder, digest
from training.saving import clear_intent, save_checkpoint
from training.schedules import SCHEDULES, batch_of, rate
from training.service import Service

if TYPE_CHECKING:
    import tinker

log = logging.getLogger(__name__)
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class SFTConfig:
    """A supervised run.

    Attributes:
        rank: inner dimension of the LoRA factors.
        alpha: the delta is alpha/rank·B·A. Hosted Tinker sets its own: None there.
        learning_rate: peak, of AdamW.
        steps: optimizer steps.
        batch: conversations a step.
        seed: of the initial factors and the order of rows.
        schedule: ``constant``, ``linear`` or ``cosine``.
        warmup: share of the steps with a rising rate, 0 to 1.
        beta1: AdamW's.
        beta2: AdamW's.
        weight_decay: AdamW's.
        clip: largest global gradient norm; 0 is no clipping.
        train_attention: adapt the attention layers.
        train_mlp: adapt the feed-forward layers.
        train_output: adapt the output head too, where it is not tied to the embeddings.
        save_every: steps between saved states.
    """

    rank: int = 8
    alpha: float | None = 16.0
    learning_rate: float = 0.004
    steps: int = 60
    batch: int = 32
    seed: int = 7
    schedule: str = "linear"
    warmup: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.0
    clip: float = 1.0
    train_attention: bool = True
    train_mlp: bool = True
    train_output: bool = True
    save_every: int = 20

    def __post_init__(self) -> None:
        """Refuse values out of range, by name."""
        in_range(self, "rank", 1, 1024)
        if self.alpha is not None:
            in_range(self, "alpha", 1e-6)
        in_range(self, "learning_rate", 1e-9, 1.0)
        for name in ("steps", "batch", "save_every"):
            in_range(self, name, 1)
        in_range(self, "seed", 0)
        one_of(self, "schedule", SCHEDULES)
        for name in ("warmup", "beta1", "beta2"):
            in_range(self, name, 0.0, 1.0)
        in_range(self, "weight_decay", 0.0)
        in_range(self, "clip", 0.0)


def train_sft(
    service: Service,
    persona: Persona,
    rows_file: Path,
    config: SFTConfig,
    run: RunFolder,
    out: Path,
    progress: Progress = lambda stage, share: None,
) -> AdapterCard:
    """Train an adapter on a persona's rows and write its folder. Killed, it resumes exactly.

    Args:
        service: where to train.
        persona: who speaks.
        rows_file: JSONL with persona, response and prompt or messages.
        config: the run.
        run: its folder.
        out: the adapter folder, its last part the adapter's id.
        progress: told the stage and the share done, 0 to 1.

    Returns:
        The card of the written adapter.

    Raises:
        ConfigRefused: hosted Tinker cannot do what the configuration asks.
        TooLittleData: no usable row.
        RunLost: the run folder belongs to another run.
        AdapterDamaged: another run's adapter has this id.
    """
    tell_hosted(service, config, run)
    encoder = Encoder(service, persona)
    rows = persona_rows(rows_file, persona.slug)
    encoded = [encoder.sequence(row["messages"], row["response"]) for row in rows]
    sequences = [sequence for sequence in encoded if sequence is not None]
    if not sequences:
        raise TooLittleData(f"{rows_file}: no row of {persona.slug} fits into the model's context")
    if encoder.refused:
        log.warning("%s: left out %s", rows_file.name, dict(encoder.refused))
    identity = {
        "kind": "sft",
        "adapter": out.name,
        "persona": persona.slug,
        "config": asdict(config),
        "rows_sha256": digest([[s.prompt, s.completion] for s in sequences]),
        "base_model_sha256": service.base_sha256,
    }
    made = made_already(service, out, run, identity)
    if made is not None:
        return made
    checkpoint = run.begin(identity)
    clear_intent(service, run)
    client = None if checkpoint is None else service.resumed(checkpoint.path)
    if client is None:
        run.restart()
        client, checkpoint = _new_client(service, config), None
    last: dict[str, Any] = {}
    first = checkpoint.step if checkpoint else 0
    for step in range(first, config.steps):
        progress("training", step / config.steps)
        last = _step(service, client, sequences, config, step)
        run.log(last)
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            checkpoint = save_checkpoint(
                service, client, run, step + 1, checkpoint, prefix=f"{out.name}-"
            )
    progress("exporting", 1.0)
    card = export_adapter(
        service,
        client,
        out,
        AdapterCard(
            id=out.name,
            persona=persona.slug,
            base_model=service.stored_base,
            base_model_sha256=service.base_sha256,
            kind="sft",
            run=digest(identity)[:16],
            config=asdict(config),
            metrics={
                "loss": last.get("loss") or next((m["loss"] for m in run.metrics()[::-1]), None),
                "rows": len(sequences),
                "refused": dict(encoder.refused),
            },
        ),
    )
    service.forget(checkpoint.path if checkpoint else None)
    return card


def _new_client(service: Service, config: SFTConfig) -> "tinker.TrainingClient":
    metadata = {} if config.alpha is None else {"lora_alpha": str(config.alpha)}
    return service.wait(
        service.client.create_lora_training_client(
            service.base_model,
            rank=config.rank,
            seed=config.seed,
            train_attn=config.train_attention,
            train_mlp=config.train_mlp,
            train_unembed=config.train_output,
            user_metadata=metadata,
        )
    )


def _step(
    service: Service,
    client: "tinker.TrainingClient",
    sequences: list[TokenSequence],
    config: SFTConfig,
    step: int,
) -> dict[str, Any]:
    """One optimizer step on the mean loss a completion token."""
    import tinker

    began = time.monotonic()
    batch = batch_of(sequences, step, config.batch, config.seed)
    learning_rate = rate(step, config.steps, config.learning_rate, config.schedule, config.warmup)
    backward = client.forward_backward(spread(batch, 1.0), "cross_entropy")
    stepped = client.optim_step(
        tinker.AdamParams(
            learning_rate=learning_rate,
            beta1=config.beta1,
            beta2=config.beta2,
            weight_decay=config.weight_decay,
            grad_clip_norm=config.clip,
        )
    )
    loss = float(service.wait(backward).metrics["loss:sum"])
    service.wait(stepped)
    return {
        "step": step + 1,
        "loss": loss,
        "learning_rate": learning_rate,
        "tokens": int(np.sum([len(sequence) for sequence in batch])),
        "seconds": round(time.monotonic() - began, 3),
    }
