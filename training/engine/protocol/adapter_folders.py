"""Adapter folders (``<root>/<persona>/<adapter id>/``) seen as checkpoints. Only reads them."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from training.engine.protocol.checkpoint import ADAPTER_PREFIX, Checkpoint
from training.engine.protocol.files import read_json

_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


class AdapterFolders:
    """The roots in which shipped, trained and exported adapters lie."""

    def __init__(self, roots: Sequence[Path], base_model: str):
        self._roots = tuple(roots)
        self._base_model = base_model

    def find(self, persona: str, kind: str, name: str) -> Checkpoint | None:
        """The adapter folder of this persona and id in the first root that has it."""
        if kind == "external_weights" or not (
            _FOLDER.fullmatch(persona) and _FOLDER.fullmatch(name)
        ):
            return None
        for root in self._roots:
            found = self._at(root / persona / name, persona, kind)
            if found is not None:
                return found
        return None

    def _at(self, folder: Path, persona: str, kind: str) -> Checkpoint | None:
        weights = folder / "adapter_model.safetensors"
        config = read_json(folder / "adapter_config.json")
        if not isinstance(config, dict) or not weights.is_file():
            return None
        stat = weights.stat()
        targets = config.get("target_modules")
        return Checkpoint(
            run=f"{ADAPTER_PREFIX}{persona}",
            kind=kind,
            name=folder.name,
            folder=folder,
            created=datetime.fromtimestamp(stat.st_mtime, tz=UTC),
            size=stat.st_size,
            facts={
                "base_model": self._base_model,
                "rank": config.get("r"),
                "alpha": config.get("lora_alpha"),
                "targets": targets if isinstance(targets, list) else None,
                "run_metadata": {"persona": persona},
            },
            read_only=True,
        )

    def listing(self, run: str | None) -> Iterator[Checkpoint]:
        """All adapter folders, or one persona's (run ``adapter-<persona>``)."""
        if run is not None and not run.startswith(ADAPTER_PREFIX):
            return
        seen: set[tuple[str, str]] = set()
        for root in self._roots:
            for config in root.glob("*/*/adapter_config.json"):
                folder, persona = config.parent, config.parent.parent.name
                wanted = run is None or run == f"{ADAPTER_PREFIX}{persona}"
                legal = _FOLDER.fullmatch(persona) and _FOLDER.fullmatch(folder.name)
                if not wanted or not legal or (persona, folder.name) in seen:
                    continue
                seen.add((persona, folder.name))
                checkpoint = self._at(folder, persona, "weights")
                if checkpoint is not None:
                    yield checkpoint
