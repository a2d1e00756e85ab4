"""The values that pass between the protocol and the compute: numpy and plain Python only.

Knows neither HTTP nor torch, so each of the two rooms can be used and tested without the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Datum:
    """One training sequence.

    Attributes:
        tokens: input token ids, int64, shape (n,).
        inputs: what the loss reads, each of shape (n,) or, for several targets a position,
            (n, k). ``target_tokens`` int64, everything else float32.
    """

    tokens: np.ndarray
    inputs: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class LoraChoice:
    """How a new adapter is made.

    Attributes:
        rank: inner dimension of the low-rank product.
        alpha: the delta is ``alpha / rank * B @ A``.
        seed: seed of A's initial values; None takes one from the operating system.
        train_attn: adapt the attention's linear layers.
        train_mlp: adapt the feed-forward linear layers.
        train_unembed: adapt the output head; has no effect where it is tied to the embeddings.
    """

    rank: int
    alpha: float
    seed: int | None = None
    train_attn: bool = True
    train_mlp: bool = True
    train_unembed: bool = True


@dataclass(frozen=True)
class AdamParams:
    """One AdamW step; ``grad_clip_norm`` is the largest global L2 norm, 0 for no clipping."""

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0


@dataclass(frozen=True)
class ForwardResult:
    """What a forward (and backward) pass gives.

    Attributes:
        logprobs: one float32 array a datum, shaped as its ``target_tokens``.
        metrics: sums over the request, keys such as ``loss:sum``.
    """

    logprobs: list[np.ndarray]
    metrics: dict[str, float]


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are drawn.

    Attributes:
        max_tokens: most new tokens; None means until the context is full.
        temperature: 0 (and below a millionth) is greedy.
        top_p: smallest set of tokens whose probability reaches this; 1 keeps all.
        top_k: keep this many of the likeliest tokens; -1 keeps all.
        seed: sequence i of the request draws from ``seed + i``; None is unrepeatable.
        stop_tokens: token ids that end a sequence, kept as its last token.
        stop_texts: texts that end a sequence once its decoded tail contains one.
        stop_at_eos: whether the model's own end tokens end a sequence.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    seed: int | None = None
    stop_tokens: tuple[int, ...] = ()
    stop_texts: tuple[str, ...] = ()
    stop_at_eos: bool = True


@dataclass(frozen=True)
class SampleRequest:
    """Sequences wanted from one prompt.

    Attributes:
        weights: which weights to sample from: a key that the compute's loader understands,
            or the empty string for the base model.
        prompt: token ids, int64, shape (n,), n >= 1.
        prompt_logprobs: whether the prompt's own log-probabilities are wanted.
        last_n: of these only the last n (None for all).
        topk_prompt: how many alternatives a prompt position.
        topk_sample: how many alternatives a sampled token.
        owner: whose request it is; owners share the engine fairly.
    """

    weights: str
    prompt: np.ndarray
    num_samples: int
    params: SamplingParams
    prompt_logprobs: bool = False
    last_n: int | None = None
    topk_prompt: int = 0
    topk_sample: int = 0
    owner: str = ""


@dataclass(frozen=True)
class TopK:
    """Ids (int32) and log-probabilities (float32) of the likeliest tokens, shape (n, k)."""

    ids: np.ndarray
    logprobs: np.ndarray


@dataclass(frozen=True)
class SampledSequence:
    """One completion: int32 tokens and float32 log-probabilities (temperature 1), equal length."""

    tokens: np.ndarray
    logprobs: np.ndarray
    stopped: bool
    topk: TopK | None = None


@dataclass(frozen=True)
class SampleResult:
    """All sequences of a request; ``prompt_logprobs`` has the prompt's length, NaN for none."""

    sequences: list[SampledSequence]
    prompt_logprobs: np.ndarray | None = None
    topk_prompt: TopK | None = None


@dataclass(frozen=True)
class ModelFacts:
    """What the protocol tells clients about the base model."""

    name: str
    architecture: str
    context_length: int
    vocab_size: int
    eos_ids: tuple[int, ...] = ()
    sha256: str = ""
