"""Preference losses on summed log-probabilities: equations in, one loss a pair out.

Knows torch and the papers. Does not know tokens, batches, Tinker or where a reference comes from.

Notation, for one pair: π_c, π_r are the policy's summed log-probabilities (nats) of the chosen and
the rejected completion, ρ_c, ρ_r the reference's, |c|, |r| the completions' lengths in tokens, and

    Δ = (π_c − ρ_c) − (π_r − ρ_r)        the implicit reward margin, without β
    h = β·Δ

Every loss mixes both directions by the soft label p (``label``): p·L(chosen over rejected) +
(1 − p)·L(rejected over chosen). p = 1 is the plain loss; a constant p < 1 with ``sigmoid`` is
conservative DPO.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.errors import LossRefused

_CERTAIN = -1e-7
"""Average log-probability at which ORPO's odds are cut off: p = 1 has infinite odds."""


@dataclass(frozen=True)
class _Pair:
    """Inputs of one loss in the direction "first beats second"; tensors of shape (pairs,)."""

    first: Tensor
    second: Tensor
    ref_first: Tensor | None
    ref_second: Tensor | None
    length_first: Tensor | None
    length_second: Tensor | None
    beta: float
    options: dict[str, float]

    def margin(self) -> Tensor:
        """Δ, with average log-probabilities where lengths are given."""
        assert self.ref_first is not None and self.ref_second is not None
        one, other = self.first - self.ref_first, self.second - self.ref_second
        if self.length_first is not None and self.length_second is not None:
            one, other = one / self.length_first, other / self.length_second
        return one - other

    def averages(self) -> tuple[Tensor, Tensor]:
        """Log-probabilities a token."""
        assert self.length_first is not None and self.length_second is not None
        return self.first / self.length_first, self.second / self.length_second


def _sigmoid(pair: _Pair) -> Tensor:
    """DPO: −log σ(h). Rafailov et al. 2023 (arXiv:2305.18290), equation 7."""
    return -logsigmoid(pair.beta * pair.margin())


def _ipo(pair: _Pair) -> Tensor:
    """IPO: (Δ − 1/(2β))². Azar et al. 2023 (arXiv:2310.12036), equation 17 (τ there is β here).

    The paper sums over tokens. With ``length_chosen`` and ``length_rejected`` every
    log-probability in Δ is the average over its completion instead, as some trainers do always.
    """
    return (pair.margin() - 1.0 / (2.0 * pair.beta)) ** 2


def _hinge(pair: _Pair) -> Tensor:
    """Hinge: max(0, 1 − h). SLiC, Zhao et al. 2023 (arXiv:2305.10425), on DPO's margin."""
    return torch.relu(1.0 - pair.beta * pair.margin())


def _robust(pair: _Pair) -> Tensor:
    """Robust DPO: [(1 − ε)·(−log σ(h)) − ε·(−log σ(−h))] / (1 − 2ε).

    Chowdhury et al. 2024 (arXiv:2403.00409): the unbiased estimate of DPO's loss when
    each label was flipped with probability ε = ``label_smoothing``. It can be negative.
    """
    epsilon = pair.options["label_smoothing"]
    h = pair.beta * pair.margin()
    kept, flipped = -logsigmoid(h), -logsigmoid(-h)
    return ((1.0 - epsilon) * kept - epsilon * flipped) / (1.0 - 2.0 * epsilon)


def _simpo(pair: _Pair) -> Tensor:
    """SimPO: −log σ(β·π_c/|c| − β·π_r/|r| − γ). Meng et al. 2024 (arXiv:2405.14734), equation 6.

    No reference. γ = ``gamma`` is the target margin itself, not its ratio to β.
    """
    one, other = pair.averages()
    return -logsigmoid(pair.beta * (one - other) - pair.options["gamma"])


def _orpo(pair: _Pair) -> Tensor:
    """ORPO: −π_c/|c| + β·(−log σ(log odds_c − log odds_r)), odds = p/(1 − p), p = exp(π/|·|).

    Hong et al. 2024 (arXiv:2403.07691), equation 6: the negative log-likelihood a token of the
    chosen completion plus the odds-ratio term; λ there is β here. No reference. Average
    log-probabilities above −1e-7 count as −1e-7, where the odds are still finite.
    """
    one, other = (average.clamp(max=_CERTAIN) for average in pair.averages())
    log_odds = (one - _log1mexp(one)) - (other - _log1mexp(other))
    return -pair.averages()[0] - pair.beta * logsigmoid(log_odds)


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 − eˣ) for x < 0 without cancellation."""
    return torch.where(x > -0.6931472, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))


def _rao_kupper_win(pair: _Pair) -> Tensor:
    """A decided pair under ties: −log σ(h − α).

    Chen et al. 2024, "On Extending Direct Preference Optimization to Accommodate Ties"
    (arXiv:2409.17431), DPO-RK; α = log ν with Rao and Kupper's (1967) tie parameter ν > 1.
    """
    return -logsigmoid(pair.beta * pair.margin() - pair.options["alpha"])


def _rao_kupper_tie(pair: _Pair) -> Tensor:
    """A tie: −log σ(h − α) − log σ(−h − α) − log(e^{2α} − 1). Source as ``rao_kupper_win``.

    Together with the two wins the probabilities sum to one. Symmetric, so the label has no effect.
    """
    h, alpha = pair.beta * pair.margin(), pair.options["alpha"]
    constant = 2.0 * alpha + math.log(-math.expm1(-2.0 * alpha))
    return -logsigmoid(h - alpha) - logsigmoid(-h - alpha) - constant


@dataclass(frozen=True)
class _Loss:
    """What a loss is and what it needs."""

    equation: Callable[[_Pair], Tensor]
    reference: bool = True
    lengths: str = "no"
    """``no``, ``may`` or ``must``."""
    option: str | None = None
    valid: Callable[[float], bool] = lambda value: True
    range: str = ""


_LOSSES = {
    "sigmoid": _Loss(_sigmoid),
    "ipo": _Loss(_ipo, lengths="may"),
    "hinge": _Loss(_hinge),
    "robust": _Loss(
        _robust, option="label_smoothing", valid=lambda e: 0.0 <= e < 0.5, range="0 to below 0.5"
    ),
    "simpo": _Loss(
        _simpo,
        reference=False,
        lengths="must",
        option="gamma",
        valid=lambda g: 0.0 <= g < float("inf"),
        range="0 or more",
    ),
    "orpo": _Loss(_orpo, reference=False, lengths="must"),
    "rao_kupper_win": _Loss(
        _rao_kupper_win,
        option="alpha",
        valid=lambda a: 0.0 < a < float("inf"),
        range="above 0 (the paper uses log 3)",
    ),
    "rao_kupper_tie": _Loss(
        _rao_kupper_tie,
        option="alpha",
        valid=lambda a: 0.0 < a < float("inf"),
        range="above 0 (the paper uses log 3)",
    ),
}

LOSS_NAMES = tuple(_LOSSES)


def needs_reference(name: str) -> bool:
    """Whether a loss reads the reference's log-probabilities."""
    return _loss(name).reference


def needs_lengths(name: str) -> bool:
    """Whether a loss must be given the completions' lengths."""
    return _loss(name).lengths == "must"


def required_option(name: str) -> str | None:
    """The option that a loss must be given, or None."""
    return _loss(name).option


def preference_loss(
    name: str,
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    ref_chosen: Tensor | None,
    ref_rejected: Tensor | None,
    *,
    beta: float,
    label: float | Tensor = 1.0,
    weight: float | Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """One loss a pair, with the implicit rewards of both completions.

    Args:
        name: ``sigmoid``, ``ipo``, ``hinge``, ``robust``, ``simpo``, ``orpo``,
            ``rao_kupper_win`` or ``rao_kupper_tie``; each equation is in this module.
        policy_chosen: summed log-probabilities in nats under the policy, shape (pairs,).
        policy_rejected: as ``policy_chosen``, of the rejected completions.
        ref_chosen: as ``policy_chosen``, under the reference; None for ``simpo`` and ``orpo``.
        ref_rejected: as ``ref_chosen``, of the rejected completions.
        beta: strength of the hold to the reference (ORPO: weight of the odds-ratio term), above 0.
        label: probability p that chosen is better, 0 to 1; a number or shape (pairs,).
        weight: factor of each pair's loss, 0 or more; a number or shape (pairs,).
        **options: ``length_chosen`` and ``length_rejected`` in tokens, shape (pairs,) (``simpo``
            and ``orpo`` must have them, ``ipo`` may); ``label_smoothing`` (``robust``);
            ``gamma`` (``simpo``); ``alpha`` (``rao_kupper_*``).

    Returns:
        (losses, chosen rewards, rejected rewards), each of shape (pairs,). Rewards are detached:
        β·(π − ρ), or β·π/length for the losses without a reference.

    Raises:
        LossRefused: unknown name, missing or unknown option, or a tensor of the wrong shape or
            with values that are not finite.
    """
    loss = _loss(name)
    strength = _number("beta", beta)
    if not 0.0 < strength < float("inf"):
        raise LossRefused(f"beta must be above 0 and finite, got {beta}")
    lengths, numbers = _checked_options(name, loss, options)
    shape = _checked(name, "policy_chosen", policy_chosen).shape
    tensors = {"policy_rejected": policy_rejected}
    if loss.reference:
        if ref_chosen is None or ref_rejected is None:
            raise LossRefused(f"the {name} loss needs ref_chosen and ref_rejected")
        tensors |= {"ref_chosen": ref_chosen, "ref_rejected": ref_rejected}
    for field, value in {**tensors, **lengths}.items():
        if _checked(name, field, value, integers=field in lengths).shape != shape:
            raise LossRefused(
                f"{field} has shape {tuple(value.shape)}, policy_chosen has {tuple(shape)}"
            )
    p = _per_pair("label", label, policy_chosen)
    if bool(((p < 0) | (p > 1)).any()):
        raise LossRefused("label must lie between 0 and 1")
    one = _Pair(
        policy_chosen,
        policy_rejected,
        ref_chosen if loss.reference else None,
        ref_rejected if loss.reference else None,
        lengths.get("length_chosen"),
        lengths.get("length_rejected"),
        strength,
        numbers,
    )
    losses = loss.equation(one)
    if not bool((p == 1).all()):
        other = _Pair(
            one.second,
            one.first,
            one.ref_second,
            one.ref_first,
            one.length_second,
            one.length_first,
            one.beta,
            numbers,
        )
        losses = p * losses + (1 - p) * loss.equation(other)
    if weight is not None:
        w = _per_pair("weight", weight, policy_chosen)
        if bool((w < 0).any()):
            raise LossRefused("weight must be 0 or more")
        losses = w * losses
    if ref_chosen is not None and ref_rejected is not None and loss.reference:
        rewards = (policy_chosen - ref_chosen, policy_rejected - ref_rejected)
    else:
        rewards = one.averages()
    return losses, one.beta * rewards[0].detach(), one.beta * rewards[1].detach()


def _loss(name: str) -> _Loss:
    if name not in _LOSSES:
        raise LossRefused(f"no loss named {name!r}; there are {', '.join(_LOSSES)}")
    return _LOSSES[name]


def _checked_options(
    name: str, loss: _Loss, options: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Lengths and numbers apart; every missing or unknown option is an error that names it."""
    length_names = ("length_chosen", "length_rejected")
    known = [
        *(length_names if loss.lengths != "no" else ()),
        *([loss.option] if loss.option else []),
    ]
    for option in options:
        if option not in known:
            takes = ", ".join(known) or "no options"
            raise LossRefused(f"the {name} loss has no option {option!r}; it takes {takes}")
    lengths = {n: options[n] for n in length_names if options.get(n) is not None}
    if len(lengths) == 1 or (loss.lengths == "must" and not lengths):
        missing = next(n for n in length_names if n not in lengths)
        raise LossRefused(f"the {name} loss needs {missing}")
    for field, value in lengths.items():
        if not isinstance(value, Tensor) or bool((value <= 0).any()):
            raise LossRefused(f"{field} must be a tensor of token counts above 0")
    if loss.option is None:
        return lengths, {}
    if options.get(loss.option) is None:
        raise LossRefused(f"the {name} loss needs {loss.option} ({loss.range})")
    number = _number(loss.option, options[loss.option])
    if not loss.valid(number):
        raise LossRefused(f"{loss.option} must be {loss.range}, got {number}")
    return lengths, {loss.option: number}


def _number(field: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise LossRefused(f"{field} must be a number, got {value!r:.80}") from error


def _checked(name: str, field: str, value: Any, integers: bool = False) -> Tensor:
    if not isinstance(value, Tensor) or value.dim() != 1:
        raise LossRefused(f"{field} must be a tensor of shape (pairs,)")
    if not (integers or value.is_floating_point()):
        raise LossRefused(f"{field} must be a tensor of floats, got {value.dtype}")
    if not bool(torch.isfinite(value).all()):
        raise LossRefused(f"{field} has values that are not finite; the {name} loss is undefined")
    return value


def _per_pair(field: str, value: float | Tensor, like: Tensor) -> Tensor:
    number = value if isinstance(value, Tensor) else _number(field, value)
    tensor = torch.as_tensor(number, dtype=like.dtype, device=like.device)
    if tensor.dim() > 1 or (tensor.dim() == 1 and tensor.shape != like.shape):
        raise LossRefused(f"{field} must be a number or have shape {tuple(like.shape)}")
    if not bool(torch.isfinite(tensor).all()):
        raise LossRefused(f"{field} has values that are not finite")
    return tensor.expand(like.shape)
