"""Reads PEFT LoRA folders as plain factors: what the file must be for its delta to be scale·B·A.

Knows PEFT's file format in numpy. Does not know torch, nor what the factors are read for.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from training.adapters import CARD, PEFT_CONFIG, WEIGHTS, AdapterCard, file_sha256, read_card
from training.errors import AdapterDamaged, AdapterMissing, FusionRefused

_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<factor>[AB])\.weight")
_READABLE = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_NEUTRAL = frozenset(
    (
        *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path"),
        *("revision", "inference_mode", "r", "target_modules", "exclude_modules", "lora_alpha"),
        *("lora_dropout", "fan_in_fan_out", "bias", "use_rslora", "init_lora_weights"),
        *("layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern"),
        *("megatron_core", "qalora_group_size", "runtime_config"),
    )
)
"""Settings of a PEFT configuration under which the delta is still s·B·A on an unchanged base."""


@dataclass(frozen=True)
class LoraFactors:
    """One adapter as read.

    Attributes:
        folder: where it was read.
        weight: its factor in the sum that it is read for.
        config: PEFT's configuration.
        factors: A (rank, in) and B (out, rank) of each module, float64.
        scales: the scale of each module's product.
        sha256: of the weights file.
        card: adapter.json, where there is one.
    """

    folder: Path
    weight: float
    config: dict[str, Any]
    factors: dict[str, tuple[np.ndarray, np.ndarray]]
    scales: dict[str, float]
    sha256: str
    card: AdapterCard | None = field(default=None)


def read_lora(folder: Path, weight: float) -> LoraFactors:
    """Read one adapter, every fact checked under which its delta is scale·B·A.

    Args:
        folder: a PEFT or adapter folder.
        weight: its factor, finite.

    Raises:
        FusionRefused: a setting, tensor or weight makes the delta something else.
        AdapterMissing: no adapter there.
        AdapterDamaged: a file is malformed or was altered.
    """
    if isinstance(weight, bool) or not isinstance(weight, int | float | np.number):
        raise FusionRefused(f"{folder}: the weight must be a number, got {weight!r}")
    if not math.isfinite(float(weight)):
        raise FusionRefused(f"{folder}: the weight must be finite, got {weight}")
    config = _read_config(folder)
    factors = _read_factors(folder / WEIGHTS)
    scales = {}
    for module, (a, b) in factors.items():
        try:
            rank, scales[module] = rank_and_scale(config, module.removeprefix("base_model.model."))
        except ValueError as error:
            raise AdapterDamaged(f"{folder / PEFT_CONFIG}: {error}") from error
        if a.shape[0] != rank or b.shape[1] != rank:
            raise FusionRefused(
                f"{folder}: {module} has rank {a.shape[0]} in A and {b.shape[1]} in B, but "
                f"{PEFT_CONFIG} says r={rank}"
            )
    sha256 = file_sha256(folder / WEIGHTS)
    card = read_card(folder) if (folder / CARD).is_file() else None
    if card is not None and card.sha256 != sha256:
        raise AdapterDamaged(f"{folder / WEIGHTS}: was altered after it was written")
    return LoraFactors(folder, float(weight), config, factors, scales, sha256, card)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / PEFT_CONFIG
    if not path.is_file():
        raise AdapterMissing(f"{folder}: no adapter there (no {PEFT_CONFIG})")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AdapterDamaged(f"{path}: not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise AdapterDamaged(f"{path}: must be a JSON object")
    reason = why_not_plain(config)
    if reason is not None:
        raise FusionRefused(f"{path}: {reason}; such adapters cannot be summed exactly")
    return config


def why_not_plain(config: Mapping[str, Any]) -> str | None:
    """What in a PEFT configuration makes the delta something else than scale·B·A; None if nothing.

    A setting that this module does not know counts, so that a later PEFT's invention is refused
    instead of misread.
    """
    if str(config.get("peft_type", "LORA")).upper() != "LORA":
        return f"peft_type is {config['peft_type']!r}, only LORA is supported"
    if config.get("bias", "none") != "none":
        return f"bias is {config['bias']!r}, only 'none' is supported"
    if config.get("init_lora_weights", True) not in (True, False, None, "gaussian", "orthogonal"):
        return f"init_lora_weights {config['init_lora_weights']!r} changes the base model"
    for name, value in config.items():
        if name not in _NEUTRAL and value:
            return f"{name} is set, so the adapter is not only scale·B·A on its base"
    return None


def rank_and_scale(config: Mapping[str, Any], module: str) -> tuple[int, float]:
    """The rank and the scale of B·A that a PEFT configuration gives a module.

    Args:
        config: of ``adapter_config.json``.
        module: path in the base model.

    Raises:
        ValueError: a field that decides them is missing or malformed; the message names it.
    """
    field, rank = _matched(config, "rank_pattern", "r", module)
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"{field} must be a whole number above 0, got {rank!r}")
    field, alpha = _matched(config, "alpha_pattern", "lora_alpha", module)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise ValueError(f"{field} must be a finite number, got {alpha!r}")
    return rank, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _matched(config: Mapping[str, Any], name: str, default: str, module: str) -> tuple[str, Any]:
    """Field and value: the first pattern that matches the module's end, as PEFT chooses."""
    patterns = config.get(name) or {}
    if not isinstance(patterns, dict):
        raise ValueError(f"{name} must be an object")
    for pattern, value in patterns.items():
        try:
            if re.match(rf"(.*\.)?({pattern})$", module):
                return f"{name} {pattern!r}", value
        except re.error as error:
            raise ValueError(f"{name}: {pattern!r}: {error}") from error
    return default, config.get(default)


def _read_factors(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs of (A, B) by module in float64."""
    if not path.is_file():
        raise AdapterMissing(f"{path.parent}: no adapter there (no {WEIGHTS})")
    try:
        tensors = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise AdapterDamaged(f"{path}: not a safetensors file ({error})") from error
    halves: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tensors:
        match = _FACTOR.fullmatch(name)
        if match is None:
            raise FusionRefused(
                f"{path}: tensor {name!r} is no LoRA factor of a linear layer; "
                "only lora_A.weight and lora_B.weight can be fused"
            )
        if tensor["dtype"] not in _READABLE:
            raise FusionRefused(f"{path}: {name} has dtype {tensor['dtype']}; wanted a float")
        raw = np.frombuffer(bytes(tensor["data"]), dtype=_READABLE[tensor["dtype"]])
        if tensor["dtype"] == "BF16":
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        value = raw.astype(np.float64).reshape(tensor["shape"])
        if value.ndim != 2:
            raise FusionRefused(f"{path}: {name} has {value.ndim} dimensions; only linear layers")
        if not np.isfinite(value).all():
            raise FusionRefused(f"{path}: {name} holds values that are not finite")
        halves.setdefault(match["module"], {})[match["factor"]] = value
    if not halves:
        raise AdapterDamaged(f"{path}: holds no tensors")
    for module, pair in halves.items():
        if len(pair) != 2:
            missing = "B" if "A" in pair else "A"
            raise AdapterDamaged(f"{path}: {module} has no lora_{missing}.weight")
    return {module: (halves[module]["A"], halves[module]["B"]) for module in sorted(halves)}
