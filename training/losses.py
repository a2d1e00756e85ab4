"""Preference losses on summed log-probabilities: what to call and how labels and weights enter.

Knows which loss takes what; the equations with their papers are in training/loss_equations.py. Does
not know tokens, batches, Tinker or where a reference comes from.

Every loss mixes both directions by the soft label p (``label``): p·L(chosen over rejected) +
(1 − p)·L(rejected over chosen). p = 1 is the plain loss; a constant p < 1 with ``sigmoid`` is
conservative DPO (Mitchell 2023). ORPO's likelihood term is no preference: it is taken whole, for
the completion that the label calls better (chosen from p = ½ on), so that doubt about a label never
makes the worse completion more likely.
"""

from typing import Any

import torch
from torch import Tensor

from training.errors import LossRefused
from training.loss_checks import (
    lengths,
    log_probabilities,
    number,
    per_pair,
    positive,
    share,
    weights,
)
from training.loss_equations import LOSSES, Loss, Pairs

LOSS_NAMES = tuple(LOSSES)
LENGTHS = ("length_chosen", "length_rejected")


def needs_reference(name: str) -> bool:
    """Whether a loss reads the reference's log-probabilities."""
    return _loss(name).reference


def needs_lengths(name: str) -> bool:
    """Whether a loss must be given the completions' lengths."""
    return _loss(name).lengths == "must"


def required_option(name: str) -> str | None:
    """The name of a loss's own number, or None; a run's configuration must give it."""
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
            ``rao_kupper_win`` or ``rao_kupper_tie``; each equation is in
            training/loss_equations.py.
        policy_chosen: summed log-probabilities in nats under the policy, shape (pairs,).
        policy_rejected: as ``policy_chosen``, of the rejected completions.
        ref_chosen: as ``policy_chosen``, under the reference; None for ``simpo`` and ``orpo``.
        ref_rejected: as ``ref_chosen``, of the rejected completions.
        beta: strength of the hold to the reference (ORPO: weight of the odds-ratio term), above 0.
        label: probability p that chosen is better, 0 to 1; a number or shape (pairs,).
        weight: factor of each pair's loss, 0 or more; a number or shape (pairs,).
        **options: ``length_chosen`` and ``length_rejected`` in tokens, a number or shape (pairs,):
            ``simpo`` and ``orpo`` must have them, ``ipo`` averages where it has them, the others
            do not read them; ``label_smoothing`` (``robust``; 0, which is DPO, as in TRL);
            ``gamma`` (``simpo``; 0.5, as in TRL); ``alpha`` (``rao_kupper_*``; log 3, as in the
            paper). None is the same as left out.

    Returns:
        (losses, chosen rewards, rejected rewards), each of shape (pairs,). Rewards are detached:
        β·(π − ρ), or β·π/length for the losses without a reference.

    Raises:
        LossRefused: unknown name, an option that the loss does not have, a missing length, or a
            tensor of the wrong shape or with values that are not finite.
    """
    loss = _loss(name)
    strength = positive("beta", beta)
    options = {option: value for option, value in options.items() if value is not None}
    own = _own_number(name, loss, options)
    fields: dict[str, Any] = {"policy_chosen": policy_chosen, "policy_rejected": policy_rejected}
    if loss.reference:
        if ref_chosen is None or ref_rejected is None:
            raise LossRefused(f"the {name} loss needs ref_chosen and ref_rejected")
        fields |= {"ref_chosen": ref_chosen, "ref_rejected": ref_rejected}
    given = log_probabilities(name, fields)
    like = given["policy_chosen"]
    p = share("label", label, like)
    long = {field: lengths(field, options[field], like) for field in LENGTHS if field in options}
    pairs = Pairs(
        like,
        given["policy_rejected"],
        given.get("ref_chosen"),
        given.get("ref_rejected"),
        long.get("length_chosen"),
        long.get("length_rejected"),
        strength,
        own,
    )
    losses = _mixed(loss, pairs, p)
    if weight is not None:
        losses = weights("weight", weight, like) * losses
    rewards = pairs.gains() if loss.reference else pairs.averages()
    return losses, strength * rewards[0].detach(), strength * rewards[1].detach()


def _mixed(loss: Loss, pairs: Pairs, p: Tensor) -> Tensor:
    """Both directions by the soft label, and the likelihood of the better completion."""
    losses = loss.equation(pairs)
    certain = bool((p == 1).all())
    if not certain:
        losses = p * losses + (1 - p) * loss.equation(pairs.swapped())
    if loss.likelihood is not None:
        better = loss.likelihood(pairs)
        if not certain:
            better = torch.where(p >= 0.5, better, loss.likelihood(pairs.swapped()))
        losses = better + losses
    return losses


def kto_loss(
    policy: Tensor,
    ref: Tensor,
    policy_mismatched: Tensor,
    ref_mismatched: Tensor,
    *,
    beta: float,
    label: float | Tensor = 1.0,
    weight: float | Tensor | None = None,
    desirable: float = 1.0,
    undesirable: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """KTO for completions with a thumb up or down and no partner.

    Ethayarajh et al. 2024 (arXiv:2402.01306), equations 7 and 8, with r = π − ρ and z₀ the KL of
    the policy from the reference:

        up:    λ_D·(1 − σ(β·(r − z₀)))        down:    λ_U·(1 − σ(β·(z₀ − r)))

    z₀ = max(0, mean of π − ρ over mismatched pairs), a prompt with a completion of another
    prompt of the batch; no gradient flows through it. A soft label p mixes up and down.

    Args:
        policy: summed log-probabilities in nats under the policy, shape (completions,).
        ref: as ``policy``, under the reference.
        policy_mismatched: as ``policy``, of the mismatched pairs, shape (any,), not empty.
        ref_mismatched: as ``policy_mismatched``, under the reference.
        beta: strength of the hold to the reference, above 0.
        label: 1 for a thumb up, 0 for down, or between; a number or shape (completions,).
        weight: factor of each completion's loss, 0 or more.
        desirable: λ_D, above 0.
        undesirable: λ_U, above 0; the paper wants λ_D·n_D / (λ_U·n_U) between 1 and 3/2.

    Returns:
        (losses, rewards β·r, z₀): shapes (completions,), (completions,) and (); the last two
        detached.

    Raises:
        LossRefused: as `preference_loss`.
    """
    strength = positive("beta", beta)
    up, down = positive("desirable", desirable), positive("undesirable", undesirable)
    given = log_probabilities("kto", {"policy": policy, "ref": ref})
    apart = log_probabilities(
        "kto", {"policy_mismatched": policy_mismatched, "ref_mismatched": ref_mismatched}
    )
    if not len(apart["policy_mismatched"]):
        raise LossRefused("policy_mismatched is empty; the KL needs at least one mismatched pair")
    r = given["policy"] - given["ref"]
    kl = (apart["policy_mismatched"] - apart["ref_mismatched"]).detach().mean().clamp(min=0.0)
    p = share("label", label, r)
    # 1 − σ(x) = σ(−x), without the cancellation.
    losses = p * up * torch.sigmoid(strength * (kl - r))
    losses = losses + (1 - p) * down * torch.sigmoid(strength * (r - kl))
    if weight is not None:
        losses = weights("weight", weight, r) * losses
    return losses, strength * r.detach(), kl


def nll_loss(
    policy_chosen: Tensor, length_chosen: Any, *, weight: float | Tensor | None = None
) -> Tensor:
    """Mean negative log-likelihood a token of what was chosen: −Σ w·π_c / Σ w·|c|.

    Added to a preference loss it keeps what is preferred likely: Pang et al. 2024
    (arXiv:2404.19733), equation 1, there averaged pair by pair.

    Args:
        policy_chosen: summed log-probabilities in nats, shape (pairs,).
        length_chosen: tokens of each, a number or shape (pairs,).
        weight: of each pair, 0 or more; all 0 gives a loss of 0.

    Returns:
        Shape (), nats a token.
    """
    chosen = log_probabilities("nll", {"policy_chosen": policy_chosen})["policy_chosen"]
    tokens = lengths("length_chosen", length_chosen, chosen)
    w = per_pair("weight", 1.0, chosen) if weight is None else weights("weight", weight, chosen)
    total = (w * tokens).sum()
    return -(w * chosen).sum() / torch.where(total > 0, total, torch.ones_like(total))


def _loss(name: str) -> Loss:
    if name not in LOSSES:
        raise LossRefused(f"no loss named {name!r}; there are {', '.join(LOSSES)}")
    return LOSSES[name]


def _own_number(name: str, loss: Loss, options: dict[str, Any]) -> float:
    """The loss's own number or its default; a missing length or a foreign option is an error."""
    for option in options:
        if option not in (*LENGTHS, loss.option):
            takes = ", ".join([*([loss.option] if loss.option else []), *LENGTHS])
            cautious = "; conservative DPO is label = 1 − label_smoothing"
            raise LossRefused(
                f"the {name} loss has no option {option!r}; it takes {takes}"
                + (cautious if option == "label_smoothing" else "")
            )
    missing = [field for field in LENGTHS if field not in options]
    if len(missing) == 1 or (missing and loss.lengths == "must"):
        raise LossRefused(f"the {name} loss needs {missing[0]}")
    if loss.option is None:
        return 0.0
    found = number(loss.option, options.get(loss.option, loss.default))
    if not loss.low <= found <= loss.high or found == float("inf"):
        raise LossRefused(f"{loss.option} must be {loss.range}, got {found}")
    return found
