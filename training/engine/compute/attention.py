"""Attention for decoding one token a row: two batched products over the cache, grouped heads kept.

For a single query token PyTorch's fused kernel on CPU is slower than this, the more so with a mask
or grouped key-value heads. Everything else (prefill, training) goes to the fused kernel. Registered
with transformers under ``NAME``. Knows no cache and no model.
"""

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "personaloop_decode"


def decode_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend from ``query`` (rows, heads, n, size) to keys and values (rows, kv heads, m, size).

    Returns:
        (rows, n, heads, size), and None for the weights.
    """
    if query.shape[2] != 1 or query.requires_grad or query.device.type != "cpu":
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
    rows, heads, _, size = query.shape
    kv_heads, length = key.shape[1], key.shape[2]
    group = heads // kv_heads
    scale = size**-0.5 if scaling is None else scaling
    keys = key.flatten(0, 1)
    values = value.flatten(0, 1)
    queries = query.reshape(rows * kv_heads, group, size)
    scores = torch.bmm(queries, keys.transpose(1, 2)).mul_(scale)
    if attention_mask is not None:
        scores.view(rows, kv_heads * group, 1, length).add_(attention_mask)
    out = torch.bmm(torch.softmax(scores, -1), values)
    return out.view(rows, 1, heads, value.shape[3]), None


def register() -> str:
    """Make the name known to transformers and return it."""
    AttentionInterface.register(NAME, decode_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME
