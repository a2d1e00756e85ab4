"""JSON on the disk that a crash cannot tear: temporary file, flush, rename.

Knows nothing of what is stored.
"""

import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def flush_folder(folder: Path) -> None:
    """Make renames and deletions in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(file: Path, value: Any, *, mode: int = 0o644, flush: bool = True) -> None:
    """Replace ``file`` atomically."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1)
        stream.flush()
        if flush:
            os.fsync(stream.fileno())
    temporary.replace(file)
    if flush:
        flush_folder(file.parent)


def read_json(file: Path) -> Any:
    """The file's value, None when it is missing or not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def now() -> datetime:
    """The present, UTC."""
    return datetime.now(UTC)
