"""The engine's settings, and the name by which a base model folder is asked for.

Knows where things lie by default; starts nothing and imports neither torch nor tinker.
"""

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from db.settings import adapter_roots, base_model_dir, outputs_dir
from training.engine.errors import EngineError
from training.engine.protocol.limits import Limits


def _state_dir() -> Path:
    return outputs_dir() / "engine"


def _adapters() -> tuple[Path, ...]:
    return tuple(adapter_roots())


@dataclass(frozen=True)
class EngineSettings:
    """How the local engine is served.

    Attributes:
        base_model: Hugging Face folder of the base model.
        state_dir: where checkpoints, sessions, the log and ``engine.json`` lie.
        adapters: roots that hold ``<persona>/<adapter id>/`` folders, searched in order.
        host: address to bind; anything but the loopback puts the engine on the network.
        port: TCP port, 0 for a free one.
        key: the API key that clients send (``tml-...``); None makes one.
        device: torch device; None takes CUDA where there is one.
        threads: CPU threads of torch; None is one a core.
        idle_exit_s: seconds without any request after which the engine ends; None is never.
        parent: process id of a supervisor; the engine ends when that is no longer its parent.
        prefer_port: port to take where ``port`` is 0 and this one is free.
        start_timeout_s: seconds that ``connect`` waits for an engine to be ready.
        result_ttl_s: seconds that a finished request's result can be fetched again.
        model_ttl_s: seconds without heartbeat after which a training model leaves memory.
        max_body_bytes: largest request body.
        kv_budget_bytes: memory for keys and values of the sequences being sampled; None is
            128 MiB on CPU, a quarter of the free memory on CUDA.
        model_budget_bytes: memory for training models before the least used go to disk.
        limits: how much is held at once.
    """

    base_model: Path = field(default_factory=base_model_dir)
    state_dir: Path = field(default_factory=_state_dir)
    adapters: tuple[Path, ...] = field(default_factory=_adapters)
    host: str = "127.0.0.1"
    port: int = 0
    key: str | None = None
    device: str | None = None
    threads: int | None = None
    idle_exit_s: float | None = None
    parent: int | None = None
    prefer_port: int | None = None
    start_timeout_s: float = 180.0
    result_ttl_s: float = 1800.0
    model_ttl_s: float = 900.0
    max_body_bytes: int = 64 * 1024 * 1024
    kv_budget_bytes: int | None = None
    model_budget_bytes: int = 256 * 1024 * 1024
    limits: Limits = field(default_factory=Limits)

    @property
    def announcement(self) -> Path:
        """The file in which a running engine says where it is (mode 0600, it holds the key)."""
        return self.state_dir / "engine.json"

    @property
    def last_announcement(self) -> Path:
        """Where the announcement goes at a clean end, for the next engine to take its place."""
        return self.state_dir / "engine.last.json"

    @property
    def log_file(self) -> Path:
        """Where an engine started in the background writes."""
        return self.state_dir / "engine.log"


def check_base_folder(path: Path) -> None:
    """Refuse what cannot be a base model before anything slow is imported.

    Raises:
        EngineError: names the folder and what is missing.
    """
    if not path.is_dir():
        raise EngineError(f"base model {path}: no such folder; give one with --base-model DIR")
    if not (path / "config.json").is_file():
        raise EngineError(f"base model {path}: no config.json there; is it a Hugging Face model?")
    try:
        json.loads((path / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise EngineError(f"base model {path}: config.json cannot be read: {error}") from error
    if not any(path.glob("*.safetensors")):
        raise EngineError(f"base model {path}: no *.safetensors weights there")


def base_model_name(path: Path) -> str:
    """The name to ask for: the folder's absolute path, in a form that the SDK does not cut.

    The SDK takes a name with exactly two slashes for ``owner/model/variant`` and drops the last
    part when it looks for a tokenizer, so ``/models/tiny`` is named ``/models/./tiny``.
    """
    name = str(path.resolve())
    if name.count("/") == 2:
        parent, _, last = name.rpartition("/")
        return f"{parent}/./{last}"
    return name


def new_key() -> str:
    """A key as the SDK wants it."""
    return f"tml-{secrets.token_urlsafe(32)}"


def prepare_process() -> None:
    """Set what torch, tokenizers and the hub read from the environment; call before importing.

    Passive waiting took training on a busy two-core machine from 361 to 2,152 tokens/s.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
