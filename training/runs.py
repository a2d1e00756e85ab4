"""A run's folder: what the run is, how far it is, and its curve. Survives a kill at any moment.

Knows files. Does not know what is trained. ``run.json`` holds what makes the run what it is and
never changes; ``checkpoint.json`` names the last saved state, written only after the service has
it (training/saving.py writes the intent before); ``metrics.jsonl`` has one line a step and is cut
back to the checkpoint on resuming.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import RunLost


@dataclass(frozen=True)
class Checkpoint:
    """A saved state: steps done, and where the service keeps weights and optimizer."""

    step: int
    path: str


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_stored(identity: Mapping[str, Any]) -> Any:
    """As it reads after a round trip through JSON."""
    return json.loads(json.dumps(identity, default=str))


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path):
        """Nothing is written yet."""
        self.path = path

    @property
    def metrics_file(self) -> Path:
        """One JSON object a step."""
        return self.path / "metrics.jsonl"

    def begin(self, identity: Mapping[str, Any]) -> Checkpoint | None:
        """Start the run, or take it up where it stopped.

        Args:
            identity: everything that decides the outcome: configuration, reference, data hashes.

        Returns:
            The last checkpoint, or None for a run at its beginning.

        Raises:
            RunLost: the folder belongs to another run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        wanted = _as_stored(identity)
        there = self.read("run.json")
        if there is None:
            self.write("run.json", wanted)
        elif there != wanted:
            names = [n for n in {*there, *wanted} if there.get(n) != wanted.get(n)]
            raise RunLost(
                f"{self.path}: was started with another {', '.join(sorted(names))}; a run keeps "
                "what it began with, delete this folder to begin anew"
            )
        checkpoint = self.checkpoint()
        self._cut_metrics(checkpoint.step if checkpoint else 0)
        return checkpoint

    def began_with(self, identity: Mapping[str, Any]) -> bool:
        """Whether this is the run that was started with just this."""
        return self.read("run.json") == _as_stored(identity)

    def restart(self) -> None:
        """Forget the saved state: the next step is the first again."""
        (self.path / "checkpoint.json").unlink(missing_ok=True)
        if self.path.is_dir():
            self._cut_metrics(0)

    def checkpoint(self) -> Checkpoint | None:
        """The last saved state."""
        told = self.read("checkpoint.json")
        return None if told is None else Checkpoint(int(told["step"]), str(told["path"]))

    def put_checkpoint(self, step: int, path: str) -> None:
        """Remember a state that the service has saved."""
        self.write("checkpoint.json", {"step": step, "path": path})

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the folder, or None.

        Raises:
            RunLost: it is damaged.
        """
        path = self.path / name
        if not path.is_file():
            return None
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunLost(
                f"{path}: damaged ({error}); delete the folder {self.path} to begin anew"
            ) from error
        if not isinstance(value, dict):
            raise RunLost(f"{path}: damaged; delete the folder {self.path} to begin anew")
        return value

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file of the folder, whole or not at all."""
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=str)
        write_atomically(self.path / name, text + "\n")

    def remove(self, name: str) -> None:
        """Delete a file of the folder, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def log(self, record: Mapping[str, Any]) -> None:
        """Append a line to the metrics."""
        line = json.dumps({**record, "time": round(time.time(), 3)}, ensure_ascii=False)
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Every whole line of the metrics; a line torn by a kill is passed over."""
        if not self.metrics_file.is_file():
            return []
        records = []
        for line in self.metrics_file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                records.append(record)
        return records

    def _cut_metrics(self, step: int) -> None:
        kept = [record for record in self.metrics() if record.get("step", 0) <= step]
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept)
        write_atomically(self.metrics_file, text)
