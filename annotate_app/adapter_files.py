"""Whether an adapter's files are those that were written, by their checksums.

Knows the adapter folder's card (``adapter.json``) and hashing; needs no torch and no ledger.
"""

import hashlib
import json
from pathlib import Path

from db.settings import adapter_roots

CARD = "adapter.json"
NEEDED = ("adapter_model.safetensors", "adapter_config.json")


def folder_of(persona: str | None, adapter_id: str) -> Path | None:
    """The adapter's folder under the roots; None where there is none."""
    for root in adapter_roots():
        folder = root / (persona or "") / adapter_id
        if ".." not in adapter_id and "/" not in adapter_id and (folder / CARD).is_file():
            return folder
    return None


def damage(persona: str | None, adapter_id: str, sha256: str = "") -> str:
    """What is wrong with an adapter's files, in a sentence; empty when all is as written.

    Args:
        persona: slug.
        adapter_id: its id.
        sha256: of the weights as the ledger has it; empty where it does not say.
    """
    folder = folder_of(persona, adapter_id)
    if folder is None:
        return "its folder is not on this machine"
    try:
        said = json.loads((folder / CARD).read_text(encoding="utf-8"))["files"]
        for name in NEEDED:
            found = _sha256(folder / name)
            if found != said[name]:
                return f"{name} was altered after it was written"
            if sha256 and name == NEEDED[0] and found != sha256:
                return f"{name} is not the one that the ledger knows"
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is missing"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{CARD} cannot be read ({type(error).__name__})"
    return ""


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
