"""What a run is held to: log-probabilities of its pairs under the pinned reference and the base.

Knows when they are computed and where they are kept. Does not know steps or losses. The run's own
file ``reference.json`` holds the values that it trains with, for good; what it has to compute goes
into training/logprob_cache.py too, for other runs.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.datums import EncodedPair, TokenSequence, completion_logprobs, sides_of
from training.errors import RunLost
from training.logprob_cache import LogProbCache
from training.runs import RunFolder
from training.service import Service

if TYPE_CHECKING:
    import tinker

FILE = "reference.json"
BASE_RANK = 8
"""Rank of the untrained adapter through which the bare base model is read: its B is zero."""


@dataclass(frozen=True)
class Reference:
    """The pinned start of a run.

    Attributes:
        id: adapter id.
        sha256: of its weights.
        path: tinker:// path to train from.
    """

    id: str
    sha256: str
    path: str


@dataclass(frozen=True)
class HeldTo:
    """Summed log-probabilities (nats) of completions, by the hash of their tokens.

    Attributes:
        reference: under the reference.
        base: under the bare base model; empty where the run does not ask.
    """

    reference: Mapping[str, float]
    base: Mapping[str, float]

    def datum(self, side: TokenSequence) -> "tinker.Datum":
        """A sequence with its log-probabilities riding in it."""
        riding = {"reference": self.reference[side.sha256]}
        if self.base:
            riding["base"] = self.base[side.sha256]
        return side.datum(riding=riding)

    def data(self, pairs: Sequence[EncodedPair]) -> "list[tinker.Datum]":
        """Datums of pairs in turns, chosen and rejected."""
        return [self.datum(side) for side in sides_of(pairs)]


def held_to(
    service: Service,
    client: "tinker.TrainingClient | None",
    pairs: Sequence[EncodedPair],
    reference: Reference,
    run: RunFolder,
    with_base: bool,
) -> HeldTo:
    """The log-probabilities that a run is held to, each computed once.

    Args:
        service: where models are.
        client: holds the reference's weights; None where the run's own file is there.
        pairs: all that is trained on or measured with.
        reference: the pinned start.
        run: keeps what the run uses.
        with_base: whether the base model is asked too.

    Raises:
        RunLost: the run began with another reference.
    """
    stored = run.read(FILE)
    if stored is not None:
        if stored.get("sha256") != reference.sha256:
            raise RunLost(
                f"{run.path}: its reference is another adapter; delete the folder to begin anew"
            )
        return HeldTo(stored["logprobs"], stored["base"])
    sides = list({side.sha256: side for side in sides_of(pairs)}.values())

    def of_reference() -> "tinker.TrainingClient":
        assert client is not None
        return client

    def of_base() -> "tinker.TrainingClient":
        create = service.client.create_lora_training_client
        return service.wait(create(service.base_model, rank=BASE_RANK))

    both = HeldTo(
        _known(service, _weights(service, reference.sha256), sides, of_reference),
        _known(service, _weights(service, ""), sides, of_base) if with_base else {},
    )
    told = {"logprobs": dict(both.reference), "base": dict(both.base)}
    run.write(FILE, {**asdict(reference), **told})
    return both


def _weights(service: Service, adapter: str) -> str:
    """One hash for base model and adapter."""
    return hashlib.sha256(f"{service.base_sha256}:{adapter}".encode()).hexdigest()


def _known(
    service: Service,
    weights: str,
    sides: Sequence[TokenSequence],
    client: "Callable[[], tinker.TrainingClient]",
) -> dict[str, float]:
    """What the cache has, and what it has not, computed and added."""
    cache = LogProbCache(weights)
    missing = [side for side in sides if side.sha256 not in cache.known]
    if missing:
        sums = completion_logprobs(service, client(), missing)
        # As 32 bits, because so they ride in a Datum.
        values = [float(np.float32(each)) for each in sums]
        cache.add({side.sha256: value for side, value in zip(missing, values, strict=True)})
    return {side.sha256: cache.known[side.sha256] for side in sides}
