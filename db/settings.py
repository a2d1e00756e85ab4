"""Where things live: the outputs folder, the database, the base model.

Reads the environment at call time, so that a test or a command can move everything. Knows nothing
of what is stored there.
"""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def outputs_dir() -> Path:
    """The folder for all that is made here (``PERSONALOOP_OUTPUTS``, default ``outputs/``)."""
    return Path(os.environ.get("PERSONALOOP_OUTPUTS") or REPOSITORY / "outputs").resolve()


def database_url() -> str:
    """The ledger's SQLAlchemy URL (``DATABASE_URL``, default a SQLite file under the outputs)."""
    return os.environ.get("DATABASE_URL") or f"sqlite:///{outputs_dir() / 'personaloop.db'}"


def base_model_dir() -> Path:
    """The base model's folder (``PERSONALOOP_BASE_MODEL``, default the shipped one)."""
    default = REPOSITORY / "data" / "models" / "personaloop-base"
    return Path(os.environ.get("PERSONALOOP_BASE_MODEL") or default).resolve()


def adapter_roots() -> list[Path]:
    """Folders holding ``<persona>/<adapter id>/``: trained ones first, then the shipped ones."""
    return [outputs_dir() / "lora", REPOSITORY / "data" / "adapters"]
