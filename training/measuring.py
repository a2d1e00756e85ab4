"""Held-out pairs, measured while a run goes on: preference accuracy and likelihood.

Knows pairs, what they are held to, and a client. Does not know steps. A forward pass changes
neither weights nor optimizer, so how often it is done changes nothing of what is trained.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from training.datums import EncodedPair, sides_of, summed
from training.dpo_config import DPOConfig
from training.dpo_loss import Batch
from training.reference import HeldTo
from training.service import Service

if TYPE_CHECKING:
    import tinker

SHOWN = ("accuracy", "even", "loss", "margin", "chosen_nll", "chosen_gain", "kl")


class HeldOut:
    """The held-out pairs of a run."""

    def __init__(self, pairs: Sequence[EncodedPair], known: HeldTo, config: DPOConfig):
        """Bind; nothing is sent."""
        self.pairs = pairs
        self.known = known
        self.config = config
        self.data = known.data(pairs)

    def sent(self, client: "tinker.TrainingClient") -> Any:
        """Ask for a measurement; the future of its answer, or None where no pair is held out."""
        if not self.pairs:
            return None
        data = [side.datum() for side in sides_of(self.pairs)]
        return client.forward(data, "cross_entropy")

    def received(self, service: Service, future: Any) -> dict[str, Any]:
        """Wait for it: ``heldout_accuracy``, ``heldout_loss``, ``heldout_nll`` and so on.

        Accuracy and margin are of decided pairs; the negative log-likelihood is that of what was
        chosen, in nats a token. All None where no pair is held out.
        """
        if future is None:
            return self._named({})
        return self._named(self._told(summed(sides_of(self.pairs), service.wait(future))))

    def at_start(self) -> dict[str, Any]:
        """The same of the reference, from what is known of it."""
        if not self.pairs:
            return self._named({})
        return self._named(
            self._told([self.known.reference[s.sha256] for s in sides_of(self.pairs)])
        )

    def _told(self, sums: Sequence[float]) -> dict[str, Any]:
        import torch

        both = torch.tensor(sums, dtype=torch.float64)
        return dict(Batch(self.pairs, self.data, self.config).told(both[0::2], both[1::2]))

    @staticmethod
    def _named(told: dict[str, Any]) -> dict[str, Any]:
        return {f"heldout_{name.removeprefix('chosen_')}": told.get(name) for name in SHOWN}
