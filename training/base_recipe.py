"""The base model's recipe: what decides it, stage by stage. Knows YAML and ranges only."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from training.errors import ConfigRefused

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "base_model.yaml"
CHOICES = {
    "lesson": ("words", "questions", "conversations"),
    "hidden_optimizer": ("adamw", "muon"),
}


@dataclass(frozen=True)
class BaseModelConfig:
    """One stage of the base model's training: everything that decides it.

    `lesson` is what the stage teaches: `words`, embeddings whose mean over a question names its
    intent (Joulin et al. 2016, "Bag of Tricks"); `questions`, the model reads a first turn and
    names its intent; `conversations`, it answers. Words first is what lets a model this small
    understand wording that it never saw.

    `tokens` counts all tokens seen in the stage, over which the rate's cosine runs;
    `tokens_per_batch` is the size of one optimizer step in one process; `user_weight` is the loss
    weight of customers' tokens, `name_weight` that of product names in answers; `intent_weight`
    that of an auxiliary head that names the intent at each assistant mark after `reading_layer`
    layers, thrown away after training; `hidden_optimizer` is adamw or muon, for the matrices of
    the layers (embeddings and norms always have AdamW); `noise` is how much customers' wording is
    varied, 0 to 1, and `dropping` how often a question loses a quarter of its words; `sharpness`
    multiplies the final norm's gain when the model is published, which divides every sampling
    temperature by it: a model this small derails at the temperatures that large ones are used
    with. `publish_minutes` is how often an early model is written.
    """

    lesson: str = "conversations"
    seed: int = 2025
    vocabulary: int = 2560
    width: int = 192
    layers: int = 5
    heads: int = 6
    feed_forward: int = 512
    context: int = 1024
    tokens: int = 6_500_000
    tokens_per_batch: int = 3072
    learning_rate: float = 3e-3
    warmup_steps: int = 40
    final_rate: float = 0.05
    weight_decay: float = 0.1
    clip: float = 1.0
    user_weight: float = 0.0
    name_weight: float = 1.0
    intent_weight: float = 0.3
    reading_layer: int = 3
    hidden_optimizer: str = "adamw"
    noise: float = 1.0
    dropping: float = 0.0
    sharpness: float = 1.0
    tokenizer_conversations: int = 25_000
    publish_minutes: float = 10.0

    @classmethod
    def load(cls, path: Path) -> tuple[BaseModelConfig, ...]:
        """Reads a YAML recipe: one stage, and under `then` what each further stage changes.

        Raises:
            ConfigRefused: an unknown field, or a value of the wrong kind, by name.
        """
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        changes = raw.pop("then", [])
        stages = [_changed(cls(), raw, path)]
        for change in changes:
            stages.append(_changed(stages[-1], change, path))
        return tuple(stages)


def _changed(stage: BaseModelConfig, change: dict[str, Any], path: Path) -> BaseModelConfig:
    known = [field.name for field in fields(BaseModelConfig)]
    unknown = sorted(set(change) - set(known))
    if unknown:
        raise ConfigRefused(f"{path}: unknown field {unknown[0]!r}; known: {', '.join(known)}")
    for name, value in change.items():
        if name in CHOICES:
            if value not in CHOICES[name]:
                wanted = " or ".join(CHOICES[name])
                raise ConfigRefused(f"{path}: {name} is {value!r}; use {wanted}")
            continue
        kind = type(getattr(stage, name))
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else int):
            raise ConfigRefused(f"{path}: {name} is {value!r}; use a number such as {kind(1)}")
    return replace(stage, **change)
