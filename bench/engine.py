"""The local engine: decoding against `transformers.generate`, and what a training step costs.

Everything runs on the base model of the settings (the shipped one) and on the project's own prompts
and rows. The floor of each row is the base's matrix products alone, on as many tokens.
"""

from collections.abc import Callable
from typing import Any

from bench.measure import Measured, Side, interleave
from bench.rows import Row, compared

Work = Callable[[], dict[str, Any] | None]
BATCH = 64
PAIRS = 16
STEPS = 4
SIZES = {
    "small": {"new_tokens": 32, "rounds": 3},
    "full": {"new_tokens": 96, "rounds": 5},
}
DPO_BETA = 0.1


def rows(size: str) -> list[Row]:
    """Every measurement of this subject."""
    choice = SIZES[size]
    new_tokens, rounds = choice["new_tokens"], choice["rounds"]
    return [greedy(new_tokens, rounds), sampled(new_tokens, rounds), step(rounds), dpo(rounds)]


def greedy(new_tokens: int, rounds: int) -> Row:
    """As many tokens a prompt for both, so that outputs can be compared."""
    params = {"new_tokens": new_tokens, "temperature": 0.0}
    ours, theirs, floor = interleave(
        [
            Side("ours", "bench.engine_decoding:ours_decoding", params),
            Side("transformers.generate", "bench.engine_decoding:generate", params),
            Side("floor", "bench.engine_decoding:decoding_products", {"new_tokens": new_tokens}),
        ],
        rounds,
    )
    amount = float(BATCH * new_tokens)
    row = compared(
        "engine",
        f"{BATCH} prompts, {new_tokens} greedy tokens each",
        ours,
        theirs,
        unit="tokens/s",
        amount=amount,
        floor=amount / floor.median if floor.median else None,
        floor_is="the base's matrix products alone, same batch and steps",
    )
    if ours.values and theirs.values:
        pairs = list(zip(ours.last("tokens"), theirs.last("tokens"), strict=True))
        same = sum(one == other for one, other in pairs)
        row.notes.append(f"greedy outputs that are equal to the last token: {same} of {len(pairs)}")
    return row


def sampled(new_tokens: int, rounds: int) -> Row:
    """As candidates are made: temperature 0.9, until the model ends; tokens made a second."""
    params = {"new_tokens": new_tokens, "temperature": 0.9}
    ours, theirs = interleave(
        [
            Side("ours", "bench.engine_decoding:ours_decoding", params),
            Side("transformers.generate", "bench.engine_decoding:generate", params),
        ],
        rounds,
    )
    row = compared(
        "engine",
        f"{BATCH} prompts at T 0.9 until <|end|>, at most {new_tokens} tokens",
        ours,
        theirs,
        unit="tokens/s",
        inside=False,
    )
    row.ours, row.theirs = _rate(ours), _rate(theirs)  # each run makes another number of tokens
    return row


def step(rounds: int) -> Row:
    """forward_backward and optim_step, through SDK and HTTP against a direct call."""
    ours, direct, floor = interleave(
        [
            Side("ours", "bench.engine_training:sdk_steps"),
            Side("same compute, called directly", "bench.engine_training:direct_steps"),
            Side("floor", "bench.engine_training:training_products", {"sides": 1}),
        ],
        rounds,
    )
    row = compared(
        "engine",
        f"{STEPS} training steps of {PAIRS} sequences through the SDK",
        ours,
        direct,
        unit="ms",
        inside=False,
        floor=floor.median,
        floor_is="the base's matrix products alone, forward and backward to the activations",
    )
    if ours.values:
        row.notes.append(f"tokens a step: {ours.last('tokens'):,.0f}")
        peak = ours.last("engine_bytes") / 1e6
        row.notes.append(f"the engine's process: {peak:,.0f} MB at its peak")
    return row


def dpo(rounds: int) -> Row:
    """The DPO step as `training.dpo` sends it, against one autograd pass with peft."""
    ours, theirs, floor = interleave(
        [
            Side("ours", "bench.engine_training:sdk_dpo"),
            Side("plain torch + peft autograd", "bench.engine_training:peft_dpo"),
            Side("floor", "bench.engine_training:training_products", {"sides": 2}),
        ],
        rounds,
    )
    row = compared(
        "engine",
        f"{STEPS} DPO steps of {PAIRS} pairs, reference cached",
        ours,
        theirs,
        unit="ms",
        inside=False,
        floor=floor.median,
        floor_is="the base's matrix products alone, forward and backward to the activations",
    )
    if ours.values and theirs.values:
        row.notes.append(
            f"loss of the first step: ours {ours.values[0]['first_loss']:.5f}, "
            f"theirs {theirs.values[0]['first_loss']:.5f} (log 2 is 0.69315); "
            "forward_backward_custom runs the forward twice by the protocol"
        )
    return row


def _rate(side: Measured) -> float | None:
    rates = [v["made"] / s for v, s in zip(side.values, side.seconds, strict=True)]
    return sorted(rates)[len(rates) // 2] if rates else None
