"""Where things live: the outputs folder, the database, the base model.

Reads the environment at call time, so that a test or a command can move everything. Knows nothing
of what is stored there.
"""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DEFAULT_URL = "http://127.0.0.1:8501"


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


def app_url_file() -> Path:
    """Where ``personaloop serve`` notes the address that it last answered on."""
    return outputs_dir() / "app-url"


def app_url() -> str:
    """Where the app answers (``PERSONALOOP_URL``, else where it was last served)."""
    if told := os.environ.get("PERSONALOOP_URL"):
        return told
    try:
        return app_url_file().read_text(encoding="utf-8").strip() or DEFAULT_URL
    except FileNotFoundError:
        return DEFAULT_URL
