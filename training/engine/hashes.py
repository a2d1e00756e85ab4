"""Which base model an adapter belongs to, told by SHA-256. No torch.

``adapter.json`` in an adapter folder names its base model's hash as ``base_model_sha256`` (or
``base_model: {"sha256": ...}``); what the engine saves has it in the metadata of the weights file.
The engine refuses to load either on another base.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from training.engine.errors import BadRequest

BASE_SHA256 = "base_model_sha256"
MAX_HEADER_BYTES = 16 * 1024 * 1024
_NAMES = (BASE_SHA256, "base_model_hash", "base_sha256", "base_hash")


def base_model_sha256(path: Path) -> str:
    """SHA-256 of the base model's weights: of the file, or of the files' digests in name order.

    Args:
        path: the model folder; its ``*.safetensors`` are read.
    """
    digests = []
    for file in sorted(path.glob("*.safetensors")):
        with file.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def declared_base_hash(folder: Path) -> str | None:
    """The base model's SHA-256 that ``adapter.json``, or else the weights file, names, if any."""
    for facts in (_card(folder), _metadata(folder / "adapter_model.safetensors")):
        for name in _NAMES:
            if isinstance(facts.get(name), str) and facts[name]:
                return str(facts[name]).removeprefix("sha256:")
    return None


def _card(folder: Path) -> dict[str, Any]:
    """The folder's ``adapter.json`` with a nested base model flattened; empty without one."""
    try:
        facts = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(facts, dict):
        return {}
    nested = facts.get("base_model")
    if isinstance(nested, dict):
        return {**facts, **{f"base_model_{k}": v for k, v in nested.items()}}
    return facts


def _metadata(weights: Path) -> dict[str, Any]:
    """A safetensors file's own metadata; empty where it cannot be read."""
    try:
        with weights.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size)) if size <= MAX_HEADER_BYTES else {}
    except (OSError, ValueError):
        return {}
    found = header.get("__metadata__") if isinstance(header, dict) else None
    return found if isinstance(found, dict) else {}


def in_order(content: bytes) -> bytes:
    """A safetensors file with its header's metadata in order of their names.

    safetensors writes them in an order of the moment, and equal weights must be equal files.
    """
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    told = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    told += b" " * (-len(told) % 8)
    return len(told).to_bytes(8, "little") + told + content[8 + size :]


def check_base_hash(folder: Path, sha256: str, name: str | None = None) -> None:
    """Refuse an adapter that says it belongs to another base.

    Args:
        folder: the adapter's.
        sha256: of the base model that is served.
        name: what the message calls the adapter; its folder's name by default.

    Raises:
        BadRequest: it names another base model's hash.
    """
    declared = declared_base_hash(folder)
    if declared is not None and declared != sha256:
        raise BadRequest(
            f"{name or folder.name} was made for the base model with SHA-256 {declared[:12]}…, "
            f"this engine serves {sha256[:12]}…; train it again on this base or serve the other one"
        )
