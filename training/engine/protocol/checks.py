"""Whether a request can succeed at all, decided before it is queued, so that mistakes fail at once.

Knows the model's limits and the losses' inputs as plain numbers; no torch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from training.engine.errors import BadRequest
from training.engine.losses import LOSS_INPUTS, LOSS_OPTIONS
from training.engine.messages import (
    AdamParams,
    Datum,
    LoraChoice,
    ModelFacts,
    SampleRequest,
    SamplingParams,
)
from training.engine.protocol.fields import Fields, integers

MAX_RANK = 512
MAX_SAMPLES = 1024
MAX_TOPK = 100


def check_options(loss: str, options: Mapping[str, Any]) -> dict[str, float]:
    """The loss's options as numbers.

    Raises:
        BadRequest: unknown loss or option.
    """
    if loss not in LOSS_OPTIONS:
        raise BadRequest(
            f"loss_fn {loss!r} is not supported; this engine has {', '.join(LOSS_OPTIONS)} "
            "(and any loss of your own through forward_backward_custom)"
        )
    unknown = sorted(set(options) - set(LOSS_OPTIONS[loss]))
    if unknown:
        known = ", ".join(LOSS_OPTIONS[loss]) or "none"
        raise BadRequest(f"loss_fn_config: {loss} has no option {unknown[0]!r} (it has: {known})")
    for name, value in options.items():
        if isinstance(value, str) or not np.isfinite(value):
            raise BadRequest(f"loss_fn_config.{name}: expected a finite number, got {value!r}")
    return {name: float(value) for name, value in options.items()}


def check_data(facts: ModelFacts, loss: str, data: list[Datum]) -> list[Datum]:
    """The data with missing weights filled in as 1.

    Raises:
        BadRequest: names the datum and what is wrong with it.
    """
    if not data:
        raise BadRequest("data is empty")
    return [_check_datum(facts, loss, f"data[{i}]", datum) for i, datum in enumerate(data)]


def _check_datum(facts: ModelFacts, loss: str, where: str, datum: Datum) -> Datum:
    check_tokens(facts, f"{where}.model_input", datum.tokens)
    inputs = dict(datum.inputs)
    targets = inputs.get("target_tokens")
    if targets is None:
        raise BadRequest(f"{where}.loss_fn_inputs: target_tokens is missing")
    n = len(datum.tokens)
    if targets.ndim not in (1, 2) or targets.shape[0] != n or targets.size == 0:
        raise BadRequest(
            f"{where}: target_tokens has shape {targets.shape}, model_input has {n} tokens; give "
            "one target (or k targets) for each input token, shifted by you"
        )
    _check_range(facts, f"{where}.target_tokens", targets)
    names = LOSS_INPUTS[loss]
    if "weights" in names and "weights" not in inputs:
        inputs["weights"] = np.ones(targets.shape, np.float32)
    for name in names:
        if name not in inputs:
            raise BadRequest(f"{where}.loss_fn_inputs: {name} is missing, which {loss} needs")
        if inputs[name].shape != targets.shape:
            raise BadRequest(
                f"{where}: {name} has shape {inputs[name].shape}, target_tokens {targets.shape}"
            )
        if not np.isfinite(inputs[name]).all():
            raise BadRequest(f"{where}: {name} holds inf or NaN")
    unknown = sorted(set(inputs) - {"target_tokens", *names})
    if unknown:
        raise BadRequest(
            f"{where}.loss_fn_inputs: {loss} does not read {unknown[0]!r} "
            f"(it reads target_tokens, {', '.join(names)})"
        )
    return Datum(datum.tokens, inputs)


def check_tokens(facts: ModelFacts, where: str, tokens: np.ndarray) -> None:
    """Refuse an empty, too long or out-of-vocabulary sequence.

    Raises:
        BadRequest: it is one of these.
    """
    if len(tokens) == 0:
        raise BadRequest(f"{where}: no tokens")
    if len(tokens) > facts.context_length:
        raise BadRequest(
            f"{where}: {len(tokens)} tokens, the model's context holds {facts.context_length}"
        )
    _check_range(facts, where, tokens)


def _check_range(facts: ModelFacts, where: str, tokens: np.ndarray) -> None:
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= facts.vocab_size:
        bad = low if low < 0 else high
        raise BadRequest(f"{where}: token {bad} is not in the vocabulary of {facts.vocab_size}")


def adam_params(fields: Fields) -> AdamParams:
    """The optimiser's settings of one step.

    Raises:
        BadRequest: another optimiser, or a value out of range.
    """
    if fields.has("optimizer_params"):
        name = fields.object("optimizer_params").text("type", "another optimizer")
        raise BadRequest(f"optim_params: {name} is not supported; this engine has AdamW only")
    adam = fields.object("adam_params")
    return AdamParams(
        learning_rate=adam.number("learning_rate", 1e-4, low=0),
        beta1=adam.number("beta1", 0.9, low=0, high=1 - 1e-9),
        beta2=adam.number("beta2", 0.95, low=0, high=1 - 1e-9),
        eps=adam.number("eps", 1e-12, low=0),
        weight_decay=adam.number("weight_decay", 0.0, low=0),
        grad_clip_norm=adam.number("grad_clip_norm", 0.0, low=0),
    )


def check_optimizer(fields: Fields) -> None:
    """Refuse an optimiser other than AdamW at creation.

    Raises:
        BadRequest: another was asked for.
    """
    if fields.has("optimizer_config"):
        name = fields.object("optimizer_config").text("type", "adamw")
        if name != "adamw":
            raise BadRequest(f"optimizer_config: {name} is not supported; this engine has adamw")


def lora_choice(fields: Fields) -> LoraChoice:
    """How the new adapter is to be made; alpha from ``user_metadata.lora_alpha`` or twice the rank.

    Raises:
        BadRequest: a value out of range.
    """
    lora = fields.object("lora_config") if fields.has("lora_config") else Fields({"rank": 32})
    rank = lora.integer("rank", low=1, high=MAX_RANK)
    alpha = 2.0 * rank
    told = (fields.strings("user_metadata") or {}).get("lora_alpha")
    if told is not None:
        try:
            alpha = float(told)
        except ValueError:
            alpha = -1.0
        if not 0 < alpha < 1e6:
            raise BadRequest(f"user_metadata.lora_alpha: {told!r} is not a number above 0")
    return LoraChoice(
        rank=rank,
        alpha=alpha,
        seed=lora.integer("seed", None, low=0, high=2**63 - 1),
        train_attn=lora.flag("train_attn", True),
        train_mlp=lora.flag("train_mlp", True),
        train_unembed=lora.flag("train_unembed", True),
    )


def sample_request(
    facts: ModelFacts, fields: Fields, weights: str, owner: str = ""
) -> SampleRequest:
    """A checked sampling request.

    Raises:
        BadRequest: names the field and the bound.
    """
    for name in ("target_prompt_logprobs", "prompt_alt_tokens_k", "record_stability_info"):
        if fields.has(name) and fields.raw(name) not in (0, False):
            raise BadRequest(f"{name} is not supported by this engine")
    prompt = _prompt(fields)
    check_tokens(facts, "prompt", prompt)
    if len(prompt) >= facts.context_length:
        raise BadRequest(
            f"prompt: {len(prompt)} tokens leave no room to answer in a context of "
            f"{facts.context_length}"
        )
    last_n = fields.integer("prompt_logprobs_last_n", None, low=1)
    if last_n is not None and last_n > len(prompt) - 1:
        raise BadRequest(f"prompt_logprobs_last_n: must be from 1 to {len(prompt) - 1}")
    return SampleRequest(
        weights=weights,
        prompt=prompt,
        num_samples=fields.integer("num_samples", 1, low=1, high=MAX_SAMPLES),
        params=_sampling_params(facts, fields.object("sampling_params")),
        prompt_logprobs=fields.flag("prompt_logprobs", False),
        last_n=last_n,
        topk_prompt=fields.integer("topk_prompt_logprobs", 0, low=0, high=MAX_TOPK),
        topk_sample=fields.integer("topk_sample_logprobs", 0, low=0, high=MAX_TOPK),
        owner=owner,
    )


def _prompt(fields: Fields) -> np.ndarray:
    tokens: list[int] = []
    for i, chunk in enumerate(fields.object("prompt").items("chunks")):
        part = Fields(chunk, f"prompt.chunks[{i}]")
        if part.text("type", "encoded_text") != "encoded_text":
            raise BadRequest(f"prompt.chunks[{i}]: only text is supported, got {part.text('type')}")
        tokens.extend(integers(f"prompt.chunks[{i}].tokens", part.items("tokens")))
    if any(abs(token) > 2**31 for token in tokens):
        raise BadRequest("prompt: a token is not in the vocabulary")
    return np.array(tokens, np.int64)


def _sampling_params(facts: ModelFacts, fields: Fields) -> SamplingParams:
    tokens, texts, at_eos = _stop(facts, fields)
    top_k = fields.integer("top_k", -1, low=-1)
    return SamplingParams(
        max_tokens=fields.integer("max_tokens", None, low=1),
        temperature=fields.number("temperature", 1.0, low=0, high=100),
        top_p=fields.number("top_p", 1.0, low=1e-6, high=1),
        top_k=top_k if top_k > 0 else -1,
        seed=fields.integer("seed", None, low=-(2**63), high=2**64 - 1),
        stop_tokens=tokens,
        stop_texts=texts,
        stop_at_eos=at_eos,
    )


def _stop(facts: ModelFacts, fields: Fields) -> tuple[tuple[int, ...], tuple[str, ...], bool]:
    """Stop tokens, stop texts, and whether the end token stops too (not when stop is ``[]``)."""
    stop = fields.raw("stop")
    if stop is None:
        return (), (), True
    values = [stop] if isinstance(stop, str) else stop
    if not isinstance(values, list):
        raise BadRequest("sampling_params.stop: expected a string, a list of strings or of tokens")
    if all(isinstance(v, str) for v in values):
        if "" in values:
            raise BadRequest("sampling_params.stop: an empty text would stop everywhere")
        return (), tuple(values), bool(values)
    tokens = tuple(integers("sampling_params.stop", values))
    for token in tokens:
        if not 0 <= token < facts.vocab_size:
            raise BadRequest(
                f"sampling_params.stop: token {token} is not in the vocabulary of "
                f"{facts.vocab_size}"
            )
    return tokens, (), True
