"""What a forward pass leaves for the backward pass that comes next on the same sequences.

A custom loss (DPO, say) asks for log-probabilities first and for gradients with weights made of
them second, which would run the model forward twice. Knows graphs and how much they hold; knows no
requests. A model that has not stepped yet keeps nothing: as a reference it is only asked.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from training.engine.messages import Datum

MOST_BYTES = 1 << 30
"""Of activations kept for one training model, as estimated."""
COPIES = 4
"""Tensors that a layer's output leaves in a graph, about: input, product, activation, norm."""


class Kept:
    """The graphs of one forward request, by micro-batch; each is used once."""

    def __init__(self, data: Sequence[Datum]):
        self._data = data
        self._graphs: dict[tuple[int, ...], torch.Tensor] = {}

    def put(self, indices: Sequence[int], logprobs: torch.Tensor) -> None:
        """Keep the log-probabilities of a micro-batch with what they came from."""
        self._graphs[tuple(indices)] = logprobs

    def take(self, data: Sequence[Datum], indices: Sequence[int]) -> torch.Tensor | None:
        """Those of the same micro-batch of the same sequences, once; None where there are none."""
        if len(data) != len(self._data) or not all(_same(data[i], self._data[i]) for i in indices):
            return None
        return self._graphs.pop(tuple(indices), None)


def fits(data: Sequence[Datum], widths: Mapping[str, int], vocabulary: int) -> bool:
    """Whether the graphs of these sequences may be kept.

    Args:
        data: a whole forward request.
        widths: outputs of each layer of the model.
        vocabulary: its size.
    """
    tokens = sum(len(each.tokens) for each in data)
    each = 4 * (COPIES * sum(widths.values()) + 2 * vocabulary)
    return tokens * each <= MOST_BYTES


def _same(one: Datum, other: Datum) -> bool:
    return np.array_equal(one.tokens, other.tokens) and np.array_equal(
        one.inputs["target_tokens"], other.inputs["target_tokens"]
    )
