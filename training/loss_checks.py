"""What the losses are given, checked: tensors of shape (pairs,), numbers, shares and weights.

Knows torch and shapes. Does not know a loss. Every refusal names the argument.
"""

from typing import Any

import torch
from torch import Tensor

from training.errors import LossRefused


def number(field: str, value: Any) -> float:
    """A plain number.

    Raises:
        LossRefused: it is none.
    """
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise LossRefused(f"{field} must be a number, got {value!r:.80}") from error


def log_probabilities(loss: str, fields: dict[str, Any]) -> dict[str, Tensor]:
    """Floats of one shape (pairs,), all finite; halves are widened to 32 bits.

    Args:
        loss: whose they are, for the message.
        fields: by the argument's name; the first decides the shape.

    Raises:
        LossRefused: one of them is something else.
    """
    found: dict[str, Tensor] = {}
    first = next(iter(fields))
    for field, value in fields.items():
        if not isinstance(value, Tensor) or value.dim() != 1:
            raise LossRefused(f"{field} must be a tensor of shape (pairs,)")
        if not value.is_floating_point():
            raise LossRefused(f"{field} must be a tensor of floats, got {value.dtype}")
        if not bool(torch.isfinite(value).all()):
            raise LossRefused(
                f"{field} has values that are not finite; the {loss} loss is undefined"
            )
        if found and value.shape != found[first].shape:
            raise LossRefused(
                f"{field} has shape {tuple(value.shape)}, {first} has {tuple(found[first].shape)}"
            )
        found[field] = value.to(torch.promote_types(value.dtype, torch.float32))
    return found


def per_pair(field: str, value: Any, like: Tensor) -> Tensor:
    """A number, or one number a pair, as a tensor of the shape of ``like``.

    Raises:
        LossRefused: wrong shape, no numbers, or not finite.
    """
    if not isinstance(value, Tensor) and not hasattr(value, "__len__"):
        value = number(field, value)
    try:
        tensor = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise LossRefused(f"{field} must be a number or numbers, got {value!r:.80}") from error
    if tensor.dim() > 1 or (tensor.dim() == 1 and tensor.shape != like.shape):
        raise LossRefused(f"{field} must be a number or have shape {tuple(like.shape)}")
    if not bool(torch.isfinite(tensor).all()):
        raise LossRefused(f"{field} has values that are not finite")
    return tensor.expand(like.shape)


def share(field: str, value: Any, like: Tensor) -> Tensor:
    """As `per_pair`, between 0 and 1."""
    tensor = per_pair(field, value, like)
    if bool(((tensor < 0) | (tensor > 1)).any()):
        raise LossRefused(f"{field} must lie between 0 and 1")
    return tensor


def weights(field: str, value: Any, like: Tensor) -> Tensor:
    """As `per_pair`, 0 or more."""
    tensor = per_pair(field, value, like)
    if bool((tensor < 0).any()):
        raise LossRefused(f"{field} must be 0 or more")
    return tensor


def lengths(field: str, value: Any, like: Tensor) -> Tensor:
    """As `per_pair`, token counts above 0."""
    tensor = per_pair(field, value, like)
    if bool((tensor <= 0).any()):
        raise LossRefused(f"{field} must be token counts above 0")
    return tensor


def positive(field: str, value: Any) -> float:
    """A number above 0 and finite."""
    found = number(field, value)
    if not 0.0 < found < float("inf"):
        raise LossRefused(f"{field} must be above 0 and finite, got {value}")
    return found
