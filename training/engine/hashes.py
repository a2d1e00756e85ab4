"""Which base model an adapter belongs to, told by SHA-256. No torch.

``adapter.json`` in an adapter folder names its base model's hash as ``base_model_sha256`` (or
``base_model: {"sha256": ...}``); the engine refuses to load it on another base.
"""

import hashlib
import json
from pathlib import Path

from training.engine.errors import BadRequest

_NAMES = ("base_model_sha256", "base_model_hash", "base_sha256", "base_hash")


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
    """The base model's SHA-256 that the folder's ``adapter.json`` names, if it has one."""
    try:
        facts = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(facts, dict):
        return None
    nested = facts.get("base_model")
    if isinstance(nested, dict):
        facts = {**facts, **{f"base_model_{k}": v for k, v in nested.items()}}
    for name in _NAMES:
        if isinstance(facts.get(name), str) and facts[name]:
            return str(facts[name]).removeprefix("sha256:")
    return None


def check_base_hash(folder: Path, sha256: str) -> None:
    """Refuse an adapter that says it belongs to another base.

    Raises:
        BadRequest: ``adapter.json`` names another base model's hash.
    """
    declared = declared_base_hash(folder)
    if declared is not None and declared != sha256:
        raise BadRequest(
            f"adapter {folder.name} was made for the base model with SHA-256 {declared[:12]}…, "
            f"this engine serves {sha256[:12]}…; train it again on this base or serve the other one"
        )
