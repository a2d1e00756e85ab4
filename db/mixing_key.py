"""The key by which gold and repeats fall among the pairs: random, of this machine, in no browser.

A file of 32 random bytes under the outputs folder, mode 0600, made where there is none. Deleting it
only deals the days to come anew. Knows nothing of what is keyed by it.
"""

import os
import secrets
from functools import lru_cache
from pathlib import Path

from db.settings import outputs_dir


def path() -> Path:
    """Where the key is kept."""
    return outputs_dir() / "mixing.key"


def mixing_key() -> str:
    """The key, in hexadecimal."""
    return _read(path())


@lru_cache(maxsize=8)
def _read(file: Path) -> str:
    """The key in a file; of several processes that find none, one makes it."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        mine = file.with_name(f"{file.name}.{os.getpid()}-{secrets.token_hex(4)}")
        with os.fdopen(os.open(mine, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as new:
            new.write(secrets.token_hex(32))
        try:
            os.link(mine, file)  # whole or not at all, and never over another's
        except FileExistsError:
            pass
        finally:
            mine.unlink()
    return file.read_text(encoding="ascii")
