"""Exact weighted sums of LoRA adapters, as one LoRA adapter.

Knows PEFT's file format and linear algebra in numpy. Does not know torch, models or the ledger.

The delta of adapter i in one module is s_i·B_i·A_i with s_i = alpha_i/r_i. The weighted sum over i
is again a product of two factors: with c_i = w_i·s_i,

    A = vstack(√|c_i|·A_i),   B = hstack(sign(c_i)·√|c_i|·B_i),   rank = alpha = Σ r_i

so nothing is approximated. Factors are computed in float64 and rounded once, at the end.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from training.adapters import AdapterCard, portable, safe_id, write_adapter
from training.engine.hashes import declared_base_hash
from training.errors import FusionRefused
from training.peft_files import LoraFactors, read_lora

_WRITABLE = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class ModuleError:
    """Relative Frobenius error of one module's stored product against the exact sum."""

    module: str
    rank: int
    relative_error: float


@dataclass(frozen=True)
class FusionReport:
    """What was fused and how exact it is on disk.

    Attributes:
        out: the adapter folder that was written.
        parents: (folder, weight) as asked.
        dtype: of the stored factors.
        modules: every module with its rank and error.
    """

    out: Path
    parents: tuple[tuple[Path, float], ...]
    dtype: str
    modules: tuple[ModuleError, ...]

    @property
    def worst(self) -> ModuleError:
        """The module with the largest relative error."""
        return max(self.modules, key=lambda module: module.relative_error)

    @property
    def rank(self) -> int:
        """The largest rank of any module."""
        return max(module.rank for module in self.modules)


def fuse(
    adapters: Sequence[tuple[Path, float]],
    out: Path,
    *,
    dtype: str = "float32",
    persona: str | None = None,
) -> FusionReport:
    """Write the exact weighted sum of adapters' deltas as an adapter folder.

    Args:
        adapters: (PEFT or adapter folder, weight) each; weights may be negative or zero.
        out: folder to make, its last part the new adapter's id.
        dtype: of the stored factors: ``float32``, ``float16`` or ``bfloat16``.
        persona: slug for the new adapter; None takes the parents' where they agree.

    Returns:
        The report, with each module's error on disk against the exact sum.

    Raises:
        FusionRefused: bases or shapes differ, a setting makes the delta something else than
            scale·B·A, or a number is not finite; the message names adapter and remedy.
        AdapterMissing: a folder is not an adapter's.
        AdapterDamaged: a file is malformed.
    """
    if dtype not in _WRITABLE:
        raise FusionRefused(f"dtype {dtype!r} is none of {', '.join(_WRITABLE)}")
    if not adapters:
        raise FusionRefused("nothing to fuse: give at least one adapter and its weight")
    out = Path(out)
    safe_id(out.name)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FusionRefused(f"{out}: already exists; adapters are never replaced, choose another")
    sources = [read_lora(Path(folder), weight) for folder, weight in adapters]
    _check_alike(sources)
    stored: dict[str, np.ndarray] = {}
    report: list[ModuleError] = []
    for module in sorted({module for source in sources for module in source.factors}):
        a, b = _sum(sources, module)
        a, b = _rounded(a, dtype), _rounded(b, dtype)
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise FusionRefused(f"{module}: the sum does not fit into {dtype}; use float32")
        stored[f"{module}.lora_A.weight"], stored[f"{module}.lora_B.weight"] = a, b
        report.append(ModuleError(module, a.shape[0], _relative_error(sources, module, a, b)))
    config = _fused_config(sources, {m.module: m.rank for m in report})
    card = AdapterCard(
        id=out.name,
        persona=persona or _agreed(sources, "persona"),
        base_model=_agreed(sources, "base_model") or _base_name(sources[0]),
        base_model_sha256=next(filter(None, map(_base_hash, sources)), ""),
        kind="fused",
        parents=tuple(
            {"id": s.folder.name, "sha256": s.sha256, "weight": s.weight} for s in sources
        ),
        config={"fusion": "exact weighted sum of deltas", "dtype": dtype},
        metrics={"worst_relative_error": max(m.relative_error for m in report)},
    )
    write_adapter(out, _serialized(stored, dtype), config, card)
    return FusionReport(out, tuple((s.folder, s.weight) for s in sources), dtype, tuple(report))


def _check_alike(sources: Sequence[LoraFactors]) -> None:
    """Same base and layout, same shapes where both adapt a module, or a refusal that says what."""
    for first, other in combinations(sources, 2):
        where = f"{first.folder} and {other.folder}"
        bases = (_base_hash(first), _base_hash(other))
        if not all(bases):
            bases = (_base_name(first), _base_name(other))
        if all(bases) and bases[0] != bases[1]:
            raise FusionRefused(
                f"{where}: different base models ({bases[0][:60]} and {bases[1][:60]}); "
                "deltas add up only on one base"
            )
        if bool(first.config.get("fan_in_fan_out")) != bool(other.config.get("fan_in_fan_out")):
            raise FusionRefused(f"{where}: fan_in_fan_out differs")
        for module in sorted(first.factors.keys() & other.factors.keys()):
            (a, b), (other_a, other_b) = first.factors[module], other.factors[module]
            if a.shape[1] != other_a.shape[1] or b.shape[0] != other_b.shape[0]:
                raise FusionRefused(
                    f"{where}: {module} maps {a.shape[1]} to {b.shape[0]} features in one and "
                    f"{other_a.shape[1]} to {other_b.shape[0]} in the other"
                )


def _base_hash(source: LoraFactors) -> str:
    """The hash of the base's weights, empty where the adapter does not tell."""
    return declared_base_hash(source.folder) or ""


def _base_name(source: LoraFactors) -> str:
    """The base's name, one for all spellings of a path in this repository."""
    return portable(str(source.config.get("base_model_name_or_path") or ""))


def _sum(sources: Sequence[LoraFactors], module: str) -> tuple[np.ndarray, np.ndarray]:
    """The stacked factors of one module, float64; who does not adapt it adds nothing."""
    rows, columns = [], []
    for source in (s for s in sources if module in s.factors):
        c = source.weight * source.scales[module]
        a, b = source.factors[module]
        rows.append(math.sqrt(abs(c)) * a)
        columns.append(math.copysign(math.sqrt(abs(c)), c) * b)
    return np.vstack(rows), np.hstack(columns)


def _rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    """X rounded to ``dtype``, ties to even; bfloat16 values are held in float32."""
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return x.astype(np.float16)
    x = x.astype(np.float32)
    if dtype == "bfloat16":
        bits = x.view(np.uint32)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        return bits.view(np.float32)
    return x


def _relative_error(
    sources: Sequence[LoraFactors], module: str, a: np.ndarray, b: np.ndarray, block: int = 512
) -> float:
    """‖stored − exact‖ / ‖exact‖ (Frobenius), in blocks of output rows to bound memory.

    Where the weighted deltas cancel, the error is relative to the sum of their norms instead.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    off = norm = 0.0
    apart = [0.0] * len(sources)
    for start in range(0, b.shape[0], block):
        rows = slice(start, start + block)
        exact = np.zeros((min(block, b.shape[0] - start), a.shape[1]))
        for number, source in enumerate(sources):
            if module not in source.factors:
                continue
            one_a, one_b = source.factors[module]
            delta = source.weight * source.scales[module] * (one_b[rows] @ one_a)
            apart[number] += float(np.square(delta).sum())
            exact += delta
        off += float(np.square(b[rows] @ a - exact).sum())
        norm += float(np.square(exact).sum())
    terms = sum(math.sqrt(square) for square in apart)
    if terms == 0.0:
        return math.sqrt(off)
    return math.sqrt(off) / (math.sqrt(norm) if math.sqrt(norm) > 1e-9 * terms else terms)


def _fused_config(sources: Sequence[LoraFactors], ranks: Mapping[str, int]) -> dict[str, Any]:
    """The first parent's configuration with the sum's ranks; alpha = rank, so the scale is 1.

    Where the parents adapt different modules, the sum's are listed one by one.
    """
    counts = list(ranks.values())
    common = max(set(counts), key=counts.count)
    odd = {
        re.escape(module.removeprefix("base_model.model.")): rank
        for module, rank in ranks.items()
        if rank != common
    }
    targets: dict[str, Any] = {}
    if any(source.factors.keys() != ranks.keys() for source in sources):
        targets = dict.fromkeys(("exclude_modules", "layers_to_transform", "layers_pattern"))
        targets["target_modules"] = [m.removeprefix("base_model.model.") for m in ranks]
    return {
        **sources[0].config,
        **targets,
        "peft_type": "LORA",
        "r": common,
        "lora_alpha": common,
        "rank_pattern": odd,
        "alpha_pattern": dict(odd),
        "use_rslora": False,
        "init_lora_weights": True,
        "inference_mode": True,
    }


def _agreed(sources: Sequence[LoraFactors], name: str) -> str | None:
    values = {getattr(source.card, name) if source.card else None for source in sources}
    return values.pop() if len(values) == 1 else None


def _serialized(tensors: Mapping[str, np.ndarray], dtype: str) -> bytes:
    """The safetensors file; the arrays stay alive while their addresses are read."""
    kept, specs = [], {}
    for name, tensor in tensors.items():
        if dtype == "bfloat16":
            tensor = (tensor.view(np.uint32) >> 16).astype("<u2")
        tensor = np.ascontiguousarray(tensor)
        kept.append(tensor)
        specs[name] = safetensors.TensorSpec(
            dtype=dtype,
            shape=tensor.shape,
            data_ptr=tensor.ctypes.data,
            data_len=tensor.nbytes,
        )
    return bytes(safetensors.serialize(specs, metadata={"format": "pt"}))
