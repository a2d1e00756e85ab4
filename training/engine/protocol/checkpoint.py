"""What a checkpoint is and how it is named. Knows no disk."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from training.engine.errors import BadRequest
from training.engine.protocol.files import now

KINDS = {"weights": "training", "sampler_weights": "sampler", "external_weights": "external"}
ADAPTER_PREFIX = "adapter-"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+=,-]{0,199}")


@dataclass(frozen=True)
class Checkpoint:
    """A saved adapter and what is known of it.

    Attributes:
        run: the training run (the model id), or ``adapter-<persona>``.
        kind: a key of ``KINDS``.
        name: last part of the tinker path.
        folder: where its files are.
        created: UTC.
        size: bytes.
        facts: base model, rank, switches and the run's own metadata.
        user_metadata: what the client attached.
        expires: UTC, None for never.
        public: whether it was published.
        read_only: an adapter folder, which only its owner changes.
    """

    run: str
    kind: str
    name: str
    folder: Path
    created: datetime
    size: int
    facts: Mapping[str, Any]
    user_metadata: Mapping[str, str] | None = None
    expires: datetime | None = None
    public: bool = False
    read_only: bool = False

    @property
    def path(self) -> str:
        """The ``tinker://`` path."""
        return f"tinker://{self.run}/{self.kind}/{self.name}"

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= now()

    @property
    def key(self) -> str:
        """Identifies the very weights: changes when they do."""
        return f"{self.folder}#{self.created.timestamp()}"

    def wire(self) -> dict[str, Any]:
        """As listings show it."""
        return {
            "checkpoint_id": f"{self.kind}/{self.name}",
            "checkpoint_type": KINDS[self.kind],
            "time": self.created.isoformat(),
            "tinker_path": self.path,
            "size_bytes": self.size,
            "public": self.public,
            "user_metadata": self.user_metadata,
            "expires_at": self.expires.isoformat() if self.expires else None,
        }


def parse_path(path: str) -> tuple[str, str, str]:
    """Run, kind and name of a tinker path.

    Raises:
        BadRequest: it is none.
    """
    run, kind, name = ([*path.removeprefix("tinker://").split("/"), "", ""])[:3]
    whole = f"tinker://{run}/{kind}/{name}"
    if path != whole or kind not in KINDS or not _NAME.fullmatch(name) or not run_ok(run):
        raise BadRequest(
            f"{path!r} is no checkpoint path; expected tinker://<run>/<{'|'.join(KINDS)}>/<name>"
        )
    return run, kind, name


def check_name(name: str) -> str:
    """A name fit for a folder and a path.

    Raises:
        BadRequest: it is not.
    """
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"checkpoint name {name!r}: use 1 to 200 letters, digits or _ . : @ + = , - and begin "
            "with a letter, digit or _"
        )
    return name


def run_ok(run: str) -> bool:
    """Whether a training run may be called so."""
    return bool(_NAME.fullmatch(run))
