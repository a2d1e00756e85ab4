"""The custom loss that one step hands to the Tinker SDK, and what it tells about the batch.

Knows pairs as tensors, the losses and the metrics of a batch. Does not know the loop. The
log-probabilities that the policy is held to ride in the Datums.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from training.datums import EncodedPair
from training.dpo_config import DPOConfig
from training.evaluation.pair_accuracy import implicit_accuracy
from training.losses import needs_lengths, nll_loss, preference_loss

if TYPE_CHECKING:
    from torch import Tensor

Told = dict[str, float | None]


class Batch:
    """Pairs and what they are held to, as tensors of shape (pairs,)."""

    def __init__(self, pairs: Sequence[EncodedPair], data: Sequence[Any], config: DPOConfig):
        """Gather.

        Args:
            pairs: the batch.
            data: its Datums in turns, chosen and rejected, as `HeldTo.data` makes them.
            config: names the loss and its numbers.
        """
        import torch

        def column(values: Sequence[float]) -> "Tensor":
            return torch.tensor(values, dtype=torch.float64)

        self.config = config
        self.tie = torch.tensor([pair.tie for pair in pairs], dtype=torch.bool)
        self.label = column([pair.label for pair in pairs])
        self.weight = column([pair.weight for pair in pairs])
        self.length_chosen = column([len(pair.chosen.completion) for pair in pairs])
        self.length_rejected = column([len(pair.rejected.completion) for pair in pairs])
        rode = column([_riding(datum, "reference") for datum in data])
        self.ref_chosen, self.ref_rejected = rode[0::2], rode[1::2]
        self.base = None
        if all("base" in datum.loss_fn_inputs for datum in data):
            self.base = column([_riding(datum, "base") for datum in data])

    def losses(self, chosen: "Tensor", rejected: "Tensor") -> "tuple[Tensor, Tensor, Tensor]":
        """Losses and rewards; ties by the tie loss where the run has them."""
        import torch

        options: dict[str, Any] = dict(self.config.loss_options())
        if needs_lengths(self.config.loss) or self.config.averages():
            options["length_chosen"] = self.length_chosen
            options["length_rejected"] = self.length_rejected

        def of(name: str) -> "tuple[Tensor, Tensor, Tensor]":
            return preference_loss(
                name,
                chosen,
                rejected,
                self.ref_chosen,
                self.ref_rejected,
                beta=self.config.beta,
                label=self.label,
                weight=self.weight,
                **options,
            )

        losses, good, bad = of(self.config.loss)
        if bool(self.tie.any()):
            losses = torch.where(self.tie, of("rao_kupper_tie")[0], losses)
        return losses, good, bad

    def nll(self, chosen: "Tensor") -> "Tensor":
        """Of what was chosen, nats a token; a tie has no chosen side."""
        return nll_loss(chosen, self.length_chosen, weight=self.weight * ~self.tie)

    def told(self, chosen: "Tensor", rejected: "Tensor") -> Told:
        """The batch in numbers, ties apart: accuracy, margin and rewards are of decided pairs.

        ``kl`` and ``kl_base`` are the plain (k1) estimate mean(log q − log π) in nats a completion
        over both sides, q the reference or the base model. It estimates KL(q ‖ π) as far as the
        completions are samples of q, and can be below zero.
        """
        import torch

        chosen, rejected = chosen.detach(), rejected.detach()
        losses, good, bad = self.losses(chosen, rejected)
        gain, other = chosen - self.ref_chosen, rejected - self.ref_rejected
        decided, margin = ~self.tie, gain - other
        accuracy = implicit_accuracy(margin[decided].tolist())
        drift = -torch.cat([gain, other])
        tokens = float(self.length_chosen.sum() + self.length_rejected.sum())
        told: Told = {
            "loss": float(losses.mean()),
            "accuracy": accuracy.value,
            "even": float(accuracy.ties),
            "ties": float(self.tie.sum()),
            "margin": _mean(self.config.beta * margin[decided]),
            "tie_margin": _mean(self.config.beta * margin[self.tie].abs()),
            "chosen_reward": _mean(good[decided]),
            "rejected_reward": _mean(bad[decided]),
            "chosen_gain": _mean(gain[decided]),
            "kl": float(drift.mean()),
            "kl_token": float(drift.sum()) / tokens,
            "chosen_nll": float(self.nll(chosen)) if bool(decided.any()) else None,
            "chosen_tokens": float(self.length_chosen.mean()),
            "rejected_tokens": float(self.length_rejected.mean()),
        }
        if self.base is not None:
            sides = torch.stack([chosen, rejected], dim=1).reshape(-1)
            told["kl_base"] = float((self.base - sides).mean())
            told["kl_base_token"] = float((self.base - sides).sum()) / tokens
        return told


def loss_of(
    pairs: Sequence[EncodedPair], data: Sequence[Any], config: DPOConfig, told: Told
) -> Callable[[list[Any], list[Any]], tuple[Any, dict[str, float]]]:
    """The custom loss of a batch.

    Args:
        pairs: the batch; everything is checked here, before anything is submitted, because a
            custom loss that fails poisons the client.
        data: its Datums, as `HeldTo.data` makes them.
        config: names the loss and its numbers.
        told: filled with the step's metrics when the loss runs.
    """
    import torch

    batch = Batch(pairs, data, config)
    batch.losses(batch.ref_chosen, batch.ref_rejected)

    def loss(data: list[Any], logprobs: list[Any]) -> tuple[Any, dict[str, float]]:
        sums = [
            (lp.reshape(-1).double() * datum.loss_fn_inputs["weights"].to_torch().double()).sum()
            for datum, lp in zip(data, logprobs, strict=True)
        ]
        chosen, rejected = torch.stack(sums[0::2]), torch.stack(sums[1::2])
        told.update(batch.told(chosen, rejected))
        losses, _, _ = batch.losses(chosen, rejected)
        return losses.mean() + config.nll_weight * batch.nll(chosen), {}

    return loss


def _riding(datum: Any, name: str) -> float:
    return float(datum.loss_fn_inputs[name].to_numpy().reshape(-1)[0])


def _mean(values: "Tensor") -> float | None:
    return float(values.mean()) if len(values) else None
