"""Adapters as PEFT folders, read and written; and an optimiser's state next to them.

Knows file formats and the base's layers. Atomicity is the caller's: it gives a folder that nobody
else looks at yet.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file

from training.engine.compute.base import BaseModel
from training.engine.compute.lora import Shape
from training.engine.errors import BadRequest, NotFound
from training.engine.hashes import BASE_SHA256, check_base_hash, in_order
from training.peft_files import rank_and_scale, why_not_plain

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
OPTIMIZER = "optimizer.safetensors"
_KEY = re.compile(r"^base_model\.model\.(.+)\.lora_([AB])(?:\.[^.]+)?\.weight$")


@dataclass(frozen=True)
class AdapterFiles:
    """A copy of an adapter's state, ready to be written off the compute's thread.

    Attributes:
        tensors: factors under PEFT's names.
        config: what goes into ``adapter_config.json``.
        base_sha256: of the base model that the adapter belongs to.
        optimizer: AdamW's moments, or None to leave them out.
    """

    tensors: Mapping[str, torch.Tensor]
    config: Mapping[str, Any]
    base_sha256: str
    optimizer: Mapping[str, torch.Tensor] | None = None

    def write(self, folder: Path) -> None:
        """Write all files into an existing folder and flush them to the disk."""
        metadata = {"format": "pt", BASE_SHA256: self.base_sha256}
        (folder / WEIGHTS).write_bytes(in_order(save(dict(self.tensors), metadata=metadata)))
        if self.optimizer is not None:
            save_file(dict(self.optimizer), folder / OPTIMIZER)
        text = json.dumps(self.config, indent=2, sort_keys=True)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
        for file in folder.iterdir():
            file.chmod(0o644)
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def peft_config(base: BaseModel, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """The ``adapter_config.json`` with which PEFT rebuilds exactly these layers."""
    first = next(iter(shapes.values()))
    alphas = {path: _tidy(s.scale * s.rank) for path, s in shapes.items()}
    alpha = alphas[next(iter(shapes))]
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.facts.name,
        "r": first.rank,
        "lora_alpha": alpha,
        "target_modules": _target_modules(base, shapes),
        "rank_pattern": {p: s.rank for p, s in shapes.items() if s.rank != first.rank},
        "alpha_pattern": {p: a for p, a in alphas.items() if a != alpha},
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(base.layers[path].transposed for path in shapes),
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "inference_mode": True,
    }


def _target_modules(base: BaseModel, shapes: Mapping[str, Shape]) -> list[str]:
    """Last names where they mean exactly the adapted layers, else whole paths."""
    targets: set[str] = set()
    for path in shapes:
        name = path.rpartition(".")[2]
        alike = [p for p in base.layers if p == name or p.endswith(f".{name}")]
        targets.add(name if all(p in shapes for p in alike) else path)
    return sorted(targets)


def _tidy(value: float) -> float | int:
    rounded = round(value)
    return rounded if math.isclose(value, rounded, rel_tol=1e-9) else value


@dataclass(frozen=True)
class StoredAdapter:
    """An adapter as read from a folder and checked against the base.

    Attributes:
        shapes: its layers with rank and scale.
        tensors: the factors, float32, under PEFT's plain names.
        rank: the largest rank.
        alpha: the alpha that gives the largest rank's scale.
    """

    shapes: dict[str, Shape]
    tensors: dict[str, torch.Tensor]
    rank: int
    alpha: float


def read_adapter(base: BaseModel, folder: Path) -> StoredAdapter:
    """Read a PEFT LoRA folder.

    Raises:
        NotFound: the folder or one of its two files is gone.
        BadRequest: it is no plain LoRA, or was made for another base model.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        raw = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise NotFound(
            f"{error.filename}: no such file; the adapter was deleted or is not complete"
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise BadRequest(f"{folder.name}: the adapter's files cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise BadRequest(f"{folder.name}/{CONFIG}: must be a JSON object")
    reason = why_not_plain(config)
    if reason is not None:
        raise BadRequest(f"{folder.name}/{CONFIG}: {reason}; the engine takes plain LoRA only")
    check_base_hash(folder, base.facts.sha256)
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in raw.items():
        match = _KEY.match(key)
        if not match or match.group(1) not in base.layers:
            raise BadRequest(
                f"{folder.name}/{WEIGHTS}: {key} fits no linear layer of {base.facts.name}; "
                "the adapter was made for another model"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise BadRequest(f"{folder.name}/{WEIGHTS}: {key} holds inf or NaN")
        pairs.setdefault(match.group(1), {})[match.group(2)] = tensor.float()
    shapes, tensors = {}, {}
    for path in (p for p in base.layers if p in pairs):
        shapes[path] = _shape(folder, base, path, pairs[path], config)
        for letter in "AB":
            tensors[f"base_model.model.{path}.lora_{letter}.weight"] = pairs[path][letter]
    if not shapes:
        raise BadRequest(f"{folder.name}/{WEIGHTS}: holds no LoRA factors")
    widest = max(shapes.values(), key=lambda s: s.rank)
    return StoredAdapter(shapes, tensors, widest.rank, widest.scale * widest.rank)


def _shape(
    folder: Path,
    base: BaseModel,
    path: str,
    pair: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
) -> Shape:
    layer = base.layers[path]
    if set(pair) != {"A", "B"}:
        raise BadRequest(f"{folder.name}/{WEIGHTS}: {path} has only one of lora_A and lora_B")
    rank = pair["A"].shape[0]
    wanted = ((rank, layer.in_features), (layer.out_features, rank))
    found = (tuple(pair["A"].shape), tuple(pair["B"].shape))
    if found != wanted:
        raise BadRequest(
            f"{folder.name}/{WEIGHTS}: {path} has factors of shape {found}, the base model needs "
            f"{wanted}; the adapter was made for another model"
        )
    try:
        declared, scale = rank_and_scale(config, path)
    except ValueError as error:
        raise BadRequest(f"{folder.name}/{CONFIG}: {error}") from error
    if declared != rank:
        raise BadRequest(f"{folder.name}/{CONFIG}: r is {declared}, but {path} has rank {rank}")
    return Shape(rank, layer.in_features, layer.out_features, scale)


def read_optimizer(folder: Path) -> dict[str, torch.Tensor]:
    """AdamW's moments as :class:`AdapterFiles` wrote them (empty: saved before the first step).

    Raises:
        BadRequest: the folder has none (an exported or shipped adapter).
    """
    if not (folder / OPTIMIZER).is_file():
        raise BadRequest(
            f"{folder.name} has no optimizer state; create the training client with "
            "create_training_client_from_state instead (weights only)"
        )
    return load_file(folder / OPTIMIZER)
