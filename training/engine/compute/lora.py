"""LoRA on the linear layers of any causal language model, many adapters on one base.

A wrapped layer adds whatever delta is switched on at the moment: trainable factors, or, for fast
decoding, a merged weight. Knows nothing of optimisers, files or requests.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from training.engine.errors import BadRequest
from training.engine.messages import LoraChoice

Factors = tuple[torch.Tensor, torch.Tensor, float]
"""A of shape (rank, in), B of shape (out, rank), and the scale of their product."""

ATTENTION_WORDS = ("attn", "attention")


class LoraLinear(nn.Module):
    """A linear layer plus the delta that is switched on; exactly the base when none is."""

    def __init__(self, base: nn.Module):
        super().__init__()
        self.base = base
        transposed = not isinstance(base, nn.Linear)  # transformers' Conv1D keeps (in, out)
        weight: torch.Tensor = base.weight  # type: ignore[assignment]
        self.transposed = transposed
        self.out_features, self.in_features = (
            (weight.shape[1], weight.shape[0]) if transposed else tuple(weight.shape)
        )
        self.factors: Factors | None = None
        self.merged: torch.Tensor | None = None

    @property
    def weight(self) -> torch.Tensor:
        """The base layer's own weight (some models look at its dtype or device)."""
        return self.base.weight  # type: ignore[return-value]

    @property
    def bias(self) -> torch.Tensor | None:
        """The base layer's own bias."""
        return self.base.bias  # type: ignore[return-value]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in) to (..., out)."""
        if self.merged is not None:
            return functional.linear(x, self.merged, self.bias)
        y = self.base(x)
        if self.factors is not None:
            # In place and scaled while it is small: one pass over y instead of three.
            a, b, scale = self.factors
            inner = functional.linear(x, a).flatten(0, -2) * scale
            y.view(-1, self.out_features).addmm_(inner, b.T)
        return y

    def merge(self, factors: Factors) -> torch.Tensor:
        """The weight (out, in) with the delta added."""
        a, b, scale = factors
        weight = self.weight.T if self.transposed else self.weight
        return torch.addmm(weight, b, a, alpha=scale).contiguous()


def wrap_linears(model: nn.Module, head: nn.Module | None, tied: bool) -> dict[str, LoraLinear]:
    """Replace every linear layer inside the model's blocks by a ``LoraLinear``, in place.

    Blocks are the layers whose path has a number (``model.layers.3.mlp.up_proj``). The output head
    is taken too unless it shares its weight with the embeddings.

    Returns:
        The wrapped layers by their path, in the model's order.
    """
    found: dict[str, nn.Module] = {}
    for path, module in model.named_modules():
        is_linear = isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
        in_block = any(part.isdigit() for part in path.split("."))
        if is_linear and (in_block or (module is head and not tied)):
            found[path] = module
    wrapped = {}
    for path, module in found.items():
        parent_path, _, name = path.rpartition(".")
        wrapped[path] = LoraLinear(module)
        setattr(model.get_submodule(parent_path), name, wrapped[path])
    return wrapped


def kind_of(path: str) -> str:
    """``attn``, ``mlp`` or ``unembed``: which of LoRA's switches a layer belongs to."""
    parts = path.split(".")
    if not any(part.isdigit() for part in parts):
        return "unembed"
    return "attn" if any(word in part for part in parts for word in ATTENTION_WORDS) else "mlp"


def chosen_layers(layers: Mapping[str, LoraLinear], choice: LoraChoice) -> list[str]:
    """The paths that a choice adapts.

    Raises:
        BadRequest: nothing is left to train.
    """
    wanted = {
        "attn": choice.train_attn,
        "mlp": choice.train_mlp,
        "unembed": choice.train_unembed,
    }
    paths = [path for path in layers if wanted[kind_of(path)]]
    if not paths:
        raise BadRequest(
            "nothing to train: train_attn and train_mlp are off, and the output head cannot be "
            "adapted because it shares its weights with the embeddings (tied); turn one on"
        )
    return paths


@dataclass(frozen=True)
class Shape:
    """One adapted layer: sizes of its factors and the scale of their product."""

    rank: int
    in_features: int
    out_features: int
    scale: float


class LoraSet:
    """The factors of one adapter, all in one flat float32 tensor.

    One flat tensor makes clipping, AdamW and saving one operation each, and equals the same
    operations on the separate factors, because they are element-wise.
    """

    def __init__(self, shapes: Mapping[str, Shape], device: torch.device, trainable: bool):
        self.shapes = dict(shapes)
        size = sum(s.rank * (s.in_features + s.out_features) for s in self.shapes.values())
        self.flat = torch.zeros(size, device=device)
        self.grad = torch.zeros(size if trainable else 0, device=device)
        self.factors: dict[str, Factors] = {}
        offset = 0
        for path, s in self.shapes.items():
            pair = []
            for shape in ((s.rank, s.in_features), (s.out_features, s.rank)):
                end = offset + shape[0] * shape[1]
                part = self.flat[offset:end].view(shape)
                if trainable:
                    part = nn.Parameter(part)
                    part.grad = self.grad[offset:end].view(shape)
                pair.append(part)
                offset = end
            self.factors[path] = (pair[0], pair[1], s.scale)

    def initialise(self, seed: int | None) -> None:
        """Kaiming-uniform A and zero B, as PEFT starts, so that training starts at the base."""
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        with torch.no_grad():
            for path, (a, b, _) in self.factors.items():
                bound = math.sqrt(1 / self.shapes[path].in_features)
                draw = torch.rand(a.shape, generator=generator) * (2 * bound) - bound
                a.copy_(draw)
                b.zero_()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Copies of all factors under the names that PEFT gives them."""
        named = {}
        for path, (a, b, _) in self.factors.items():
            named[f"base_model.model.{path}.lora_A.weight"] = a.detach().cpu().clone()
            named[f"base_model.model.{path}.lora_B.weight"] = b.detach().cpu().clone()
        return named

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take the values of ``tensors`` (as :meth:`tensors` names them)."""
        with torch.no_grad():
            for path, (a, b, _) in self.factors.items():
                a.copy_(tensors[f"base_model.model.{path}.lora_A.weight"])
                b.copy_(tensors[f"base_model.model.{path}.lora_B.weight"])

    @property
    def nbytes(self) -> int:
        """Bytes held by factors and gradients."""
        return self.flat.nbytes + self.grad.nbytes


@contextmanager
def switched_on(layers: Mapping[str, LoraLinear], lora: LoraSet | None) -> Iterator[None]:
    """Run the model with an adapter's factors added (None: the bare base)."""
    try:
        for path, factors in (lora.factors if lora else {}).items():
            layers[path].factors = factors
        yield
    finally:
        for layer in layers.values():
            layer.factors = None


@contextmanager
def merged_in(
    layers: Mapping[str, LoraLinear], weights: Mapping[str, torch.Tensor]
) -> Iterator[None]:
    """Run the model with merged weights in place of the base's, switched by reference."""
    try:
        for path, weight in weights.items():
            layers[path].merged = weight
        yield
    finally:
        for path in weights:
            layers[path].merged = None
