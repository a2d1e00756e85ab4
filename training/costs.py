"""What a retraining asks of a model service, in tokens and in money.

Knows how often the run reads, writes and trains each token, and a price list. Does not know the
ledger. Starts no service: tokens are counted with the base model's own tokenizer.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from db.settings import base_model_dir
from training.candidates import CandidateConfig
from training.configs import CONFIGS
from training.dpo_config import DPOConfig
from training.errors import ConfigRefused
from training.pairs import PreferencePair

PRICES = CONFIGS / "prices.yaml"
KINDS = ("prefill", "sample", "train")
Length = Callable[[str], int]


@dataclass(frozen=True)
class Tokens:
    """Tokens of one retraining with its blind comparison.

    Attributes:
        prefill: only read: the reference once, each step once before its backward pass, held-out
            pairs twice, the prompts of the blind comparison.
        sample: written: the blind comparison, at most.
        train: forward and backward: every pair in every epoch, and replayed rows.
    """

    prefill: int
    sample: int
    train: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.prefill + self.sample + self.train


@dataclass(frozen=True)
class Price:
    """Of a million tokens."""

    prefill: float
    sample: float
    train: float

    def of(self, tokens: Tokens) -> float:
        """What so many tokens cost."""
        return sum(getattr(self, kind) * getattr(tokens, kind) for kind in KINDS) / 1e6


@dataclass(frozen=True)
class Prices:
    """A price list."""

    currency: str
    models: Mapping[str, Price]


def load_prices(path: Path = PRICES) -> Prices:
    """Read a price list.

    Raises:
        ConfigRefused: it cannot be read, or a price is missing or no number; names file and model.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigRefused(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict) or set(raw) - {"currency", "models"}:
        raise ConfigRefused(f"{path}: must have currency and models, nothing else")
    models = {}
    for name, told in (raw.get("models") or {}).items():
        if not isinstance(told, dict) or set(told) != set(KINDS):
            raise ConfigRefused(f"{path}: {name} must have {', '.join(KINDS)}")
        for kind, price in told.items():
            if isinstance(price, bool) or not isinstance(price, int | float) or not price >= 0:
                raise ConfigRefused(f"{path}: {name}.{kind} must be a number, got {price!r}")
        models[str(name)] = Price(**{kind: float(told[kind]) for kind in KINDS})
    return Prices(str(raw.get("currency") or "USD"), models)


def model_name() -> str:
    """The base model that a retraining started here would ask for."""
    if os.environ.get("TINKER_API_KEY"):
        return os.environ.get("PERSONALOOP_HOSTED_MODEL") or "the hosted model"
    return base_model_dir().name


def count_tokens(
    training: Sequence[PreferencePair],
    heldout: Sequence[PreferencePair],
    *,
    unjudged: int,
    steps: int,
    replayed: Sequence[tuple[Sequence[Mapping[str, str]], str]],
    config: DPOConfig,
    candidates: CandidateConfig,
    prompt: Callable[[Sequence[Mapping[str, str]]], int],
    completion: Length,
) -> Tokens:
    """Tokens of a run.

    Args:
        training: judged pairs to train on.
        heldout: pairs to measure with.
        unjudged: pairs that nobody judged, at most; as long as the judged ones are on average.
        steps: optimizer steps.
        replayed: conversation and response of every row that may be replayed.
        config: the run.
        candidates: of the blind comparison.
        prompt: tokens of a conversation, rendered for the model.
        completion: tokens of a response, its end included.
    """
    prompts = [prompt(pair.messages) for pair in training]
    sides = [
        2 * tokens + completion(pair.chosen) + completion(pair.rejected)
        for tokens, pair in zip(prompts, training, strict=True)
    ]
    seen = sum(sides) + round(unjudged * sum(sides) / max(1, len(sides)))
    measured = sum(
        2 * prompt(pair.messages) + completion(pair.chosen) + completion(pair.rejected)
        for pair in heldout
    )
    rows = sum(prompt(messages) + completion(text) for messages, text in replayed)
    again = steps * config.replay_rows * rows / max(1, len(replayed)) if replayed else 0.0
    asked = 2 * candidates.blind_comparisons
    mean = sum(prompts) / max(1, len(prompts))
    return Tokens(
        prefill=round(seen + config.epochs * seen + 2 * measured + asked * mean),
        sample=asked * candidates.max_tokens,
        train=round(config.epochs * seen + again),
    )


def in_words(tokens: Tokens, prices: Prices, model: str) -> list[str]:
    """Tokens and cost in lines."""
    lines = [
        f"tokens: at most {tokens.total:,} ({tokens.train:,} to train, {tokens.prefill:,} to read, "
        f"{tokens.sample:,} to write)"
    ]
    price = prices.models.get(model)
    if price is None:
        lines.append(f"cost: no price is set for {model} (configs/prices.yaml)")
    else:
        lines.append(f"cost: at most {price.of(tokens):,.2f} {prices.currency} on {model}")
    return lines
