"""Keys and values of the sequences being decoded, in buffers that grow in steps.

Appending a step writes in place instead of copying everything, rows can be dropped, and two caches
can be put together. Columns that hold nothing for a row (its prompt was shorter) are holes that
the caller masks. Knows positions in the buffer, not tokens.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

ROOM = 32
"""Columns to spare in a fresh buffer."""


class BufferLayer(CacheLayerMixin):
    """One layer's buffers, (rows, heads, capacity, size), filled up to ``length``."""

    def __init__(self) -> None:
        super().__init__()
        self.length = 0

    is_sliding = False
    keys: torch.Tensor
    values: torch.Tensor

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make buffers for the first keys, with room to decode."""
        capacity = key_states.shape[2] + ROOM
        self.keys = key_states.new_empty((*key_states.shape[:2], capacity, key_states.shape[3]))
        self.values = value_states.new_empty(
            (*value_states.shape[:2], capacity, value_states.shape[3])
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append columns and return views of all that is filled."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        if end > self.keys.shape[2]:
            self._resize(end + max(ROOM, end // 4))
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def _resize(self, capacity: int) -> None:
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_empty((*old.shape[:2], capacity, old.shape[3]))
            new[:, :, : self.length] = old[:, :, : self.length]
            setattr(self, name, new)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys once ``query_length`` more are there."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Columns filled."""
        return self.length

    def get_max_cache_shape(self) -> int:
        """No limit."""
        return -1

    def take(self, rows: torch.Tensor, columns: torch.Tensor | None) -> None:
        """Keep these rows and, where given, these columns a row (rows, new length)."""
        for name in ("keys", "values"):
            old = getattr(self, name)[:, :, : self.length].index_select(0, rows)
            if columns is not None:
                index = columns[:, None, :, None].expand(-1, old.shape[1], -1, old.shape[3])
                old = old.gather(2, index)
            setattr(self, name, old)
        if columns is not None:
            self.length = columns.shape[1]

    def join(self, other: "BufferLayer") -> None:
        """Add the other's rows; the shorter one gets holes at its end."""
        length = max(self.length, other.length)
        for name in ("keys", "values"):
            mine, theirs = getattr(self, name), getattr(other, name)
            both = mine.new_zeros(
                (mine.shape[0] + theirs.shape[0], mine.shape[1], length + ROOM, mine.shape[3])
            )
            both[: mine.shape[0], :, : self.length] = mine[:, :, : self.length]
            both[mine.shape[0] :, :, : other.length] = theirs[:, :, : other.length]
            setattr(self, name, both)
        self.length = length


def new_cache(n_layers: int) -> Cache:
    """An empty cache of as many layers as the model has."""
    return Cache(layers=[BufferLayer() for _ in range(n_layers)])


def layers_of(cache: Cache) -> list[BufferLayer]:
    """The cache's layers, as what they are."""
    return [layer for layer in cache.layers if isinstance(layer, BufferLayer)]
