"""The losses that the protocol names, each a plain sum over a micro-batch: no normalisation.

A loss gets log-probabilities of the targets and the request's own tensors, padded with zeros. All
are linear in ``weights`` or ``advantages``, so padding (zero there) adds nothing. Knows no model.

The formulas are those of Tinker's documentation. To add one: a function here, its input names
and options in ``training.engine.losses``.
"""

from collections.abc import Callable, Mapping

import torch

Inputs = Mapping[str, torch.Tensor]
Options = Mapping[str, float]


def cross_entropy(lp: torch.Tensor, x: Inputs, _: Options) -> torch.Tensor:
    """``-sum(weight * log p)``; weights carry any sign."""
    return -(lp * x["weights"]).sum()


def importance_sampling(lp: torch.Tensor, x: Inputs, _: Options) -> torch.Tensor:
    """``-sum(ratio * advantage)`` with ``ratio = p / q``, q the sampler's probability."""
    return -(torch.exp(lp - x["logprobs"]) * x["advantages"]).sum()


def ppo(lp: torch.Tensor, x: Inputs, o: Options) -> torch.Tensor:
    """``-sum(min(ratio * A, clip(ratio) * A))``."""
    ratio = torch.exp(lp - x["logprobs"])
    clipped = ratio.clamp(o["clip_low_threshold"], o["clip_high_threshold"])
    return -torch.minimum(ratio * x["advantages"], clipped * x["advantages"]).sum()


def cispo(lp: torch.Tensor, x: Inputs, o: Options) -> torch.Tensor:
    """``-sum(stop_gradient(clip(ratio)) * A * log p)``."""
    ratio = torch.exp(lp - x["logprobs"])
    clipped = ratio.clamp(o["clip_low_threshold"], o["clip_high_threshold"]).detach()
    return -(clipped * lp * x["advantages"]).sum()


def dro(lp: torch.Tensor, x: Inputs, o: Options) -> torch.Tensor:
    """``-sum(log p * A - beta / 2 * (log p - log q)^2)`` over the real positions."""
    quadratic = (lp - x["logprobs"]) ** 2 * x["real"]
    return -(lp * x["advantages"] - 0.5 * o["beta"] * quadratic).sum()


LOSSES: dict[str, Callable[[torch.Tensor, Inputs, Options], torch.Tensor]] = {
    "cross_entropy": cross_entropy,
    "importance_sampling": importance_sampling,
    "ppo": ppo,
    "cispo": cispo,
    "dro": dro,
}
