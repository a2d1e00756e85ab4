"""The custom loss that one step hands to the Tinker SDK.

Knows datums, reference log-probabilities and the metrics of a batch. Does not know the loop.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training.datums import EncodedPair
from training.dpo_config import DPOConfig
from training.evaluation.pair_accuracy import implicit_accuracy
from training.losses import needs_lengths, preference_loss


def loss_of(
    pairs: Sequence[EncodedPair],
    held_to: Mapping[str, Any],
    config: DPOConfig,
    told: dict[str, float],
) -> Callable[[list[Any], list[Any]], tuple[Any, dict[str, float]]]:
    """The custom loss of a batch: datums come in turns, chosen and rejected.

    Args:
        pairs: the batch; everything is checked here, before anything is submitted, because a
            custom loss that fails poisons the client.
        held_to: reference log-probabilities (chosen, rejected) by pair key.
        config: names the loss and its numbers.
        told: filled with the step's metrics when the loss runs.
    """
    import torch

    double = torch.float64
    ref_chosen = torch.tensor([held_to[pair.key][0] for pair in pairs], dtype=double)
    ref_rejected = torch.tensor([held_to[pair.key][1] for pair in pairs], dtype=double)
    label = torch.tensor([pair.label for pair in pairs], dtype=double)
    weight = torch.tensor([pair.weight for pair in pairs], dtype=double)
    options = dict(config.loss_options())
    length_chosen = torch.tensor([len(p.chosen.completion) for p in pairs], dtype=double)
    length_rejected = torch.tensor([len(p.rejected.completion) for p in pairs], dtype=double)
    if needs_lengths(config.loss) or config.length_average:
        options |= {"length_chosen": length_chosen, "length_rejected": length_rejected}

    def of(chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
        return preference_loss(
            config.loss,
            chosen,
            rejected,
            ref_chosen,
            ref_rejected,
            beta=config.beta,
            label=label,
            weight=weight,
            **options,
        )

    of(ref_chosen, ref_rejected)

    def loss(data: list[Any], logprobs: list[Any]) -> tuple[Any, dict[str, float]]:
        sums = [
            (lp.reshape(-1).double() * datum.loss_fn_inputs["weights"].to_torch().double()).sum()
            for datum, lp in zip(data, logprobs, strict=True)
        ]
        chosen, rejected = torch.stack(sums[0::2]), torch.stack(sums[1::2])
        losses, good, bad = of(chosen, rejected)
        margin = ((chosen - ref_chosen) - (rejected - ref_rejected)).detach()
        told["loss"] = float(losses.detach().mean())
        told["accuracy"] = implicit_accuracy(margin.tolist()).value or 0.0
        told["margin"] = config.beta * float(margin.mean())
        told["chosen_reward"], told["rejected_reward"] = float(good.mean()), float(bad.mean())
        drift = torch.cat([ref_chosen - chosen.detach(), ref_rejected - rejected.detach()])
        told["kl"] = float(drift.mean())
        told["kl_token"] = float(drift.sum() / (length_chosen.sum() + length_rejected.sum()))
        nll = -(weight * chosen).sum() / (weight * length_chosen).sum()
        told["chosen_nll"] = float(nll.detach())
        return losses.mean() + config.nll_weight * nll, {}

    return loss
