"""Saved checkpoints on disk, and adapter folders seen as checkpoints.

A checkpoint is ``<run>/<kind>/<name>/`` with one small file, ``checkpoint.json``, that names the
folder of its weights next to it. Publishing or overwriting is the atomic replacement of that one
file, so a crash at any moment leaves the old checkpoint or the new one, whole. Knows paths and
metadata; what the weights are is the compute's business.
"""

import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from training.engine.errors import BadRequest, Forbidden, NotFound
from training.engine.protocol.adapter_folders import AdapterFolders
from training.engine.protocol.checkpoint import (
    ADAPTER_PREFIX,
    Checkpoint,
    check_name,
    parse_path,
    run_ok,
)
from training.engine.protocol.files import flush_folder, now, read_json, write_json

POINTER = "checkpoint.json"


class Store:
    """All checkpoints under one folder, and the adapter roots next to it. Safe for threads."""

    def __init__(self, root: Path, adapters: Sequence[Path], base_model: str):
        self._root = root
        self._adapters = AdapterFolders(adapters, base_model)
        self._lock = threading.RLock()
        self._temporary = root / ".tmp"
        self._sweep_leftovers()

    def _sweep_leftovers(self) -> None:
        """Remove what a crash left behind: half-written folders that no pointer names."""
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)
        for folder in self._root.glob("*/*/*"):
            pointer = read_json(folder / POINTER) or {}
            for part in folder.glob("v-*"):
                if part.name != pointer.get("folder"):
                    shutil.rmtree(part, ignore_errors=True)
            for stray in folder.glob(".*.tmp"):
                stray.unlink(missing_ok=True)

    def _place(self, run: str, kind: str, name: str) -> Path:
        return self._root / run.replace(":", "~") / kind / name

    # Saving

    def begin(self) -> Path:
        """A fresh folder to write weights into, to be given to :meth:`publish`."""
        folder = self._temporary / secrets.token_hex(8)
        folder.mkdir(parents=True)
        return folder

    def check_free(self, run: str, kind: str, name: str, overwrite: bool) -> None:
        """Refuse a name that is taken.

        Raises:
            BadRequest: it is, and ``overwrite`` is false.
        """
        if not overwrite and self._read(self._place(run, kind, check_name(name))) is not None:
            raise BadRequest(
                f"checkpoint tinker://{run}/{kind}/{name} exists; choose another name, delete it, "
                "or save with overwrite=True"
            )

    def publish(
        self,
        written: Path,
        run: str,
        kind: str,
        name: str,
        *,
        facts: Mapping[str, Any],
        user_metadata: Mapping[str, str] | None,
        ttl_seconds: int | None,
        overwrite: bool,
    ) -> Checkpoint:
        """Make a written folder a checkpoint, atomically.

        Raises:
            BadRequest: the name is taken and ``overwrite`` is false.
        """
        with self._lock:
            self.check_free(run, kind, name, overwrite)
            place = self._place(run, kind, name)
            place.mkdir(parents=True, exist_ok=True)
            folder = place / f"v-{secrets.token_hex(8)}"
            flush_folder(written)
            written.rename(folder)
            created = now()
            checkpoint = Checkpoint(
                run=run,
                kind=kind,
                name=name,
                folder=folder,
                created=created,
                size=sum(f.stat().st_size for f in folder.iterdir()),
                facts=facts,
                user_metadata=user_metadata,
                expires=created + timedelta(seconds=ttl_seconds) if ttl_seconds else None,
            )
            self._write(place, checkpoint)
            for parent in (place.parent, place.parent.parent, self._root):
                flush_folder(parent)
            for old in place.glob("v-*"):
                if old != folder:
                    shutil.rmtree(old, ignore_errors=True)
            return checkpoint

    def _write(self, place: Path, checkpoint: Checkpoint) -> None:
        value = asdict(checkpoint)
        value["folder"] = checkpoint.folder.name
        value["created"] = checkpoint.created.isoformat()
        value["expires"] = checkpoint.expires.isoformat() if checkpoint.expires else None
        del value["read_only"]
        write_json(place / POINTER, value)

    def _read(self, place: Path) -> Checkpoint | None:
        """The checkpoint at a place; one past its time is removed and not there."""
        checkpoint = self._load(place)
        if checkpoint is None or not checkpoint.expired:
            return checkpoint
        with self._lock:
            checkpoint = self._load(place)  # by now another thread may have saved a new one
            if checkpoint is not None and checkpoint.expired:
                self._remove(place)
                return None
            return checkpoint

    def _load(self, place: Path) -> Checkpoint | None:
        value = read_json(place / POINTER)
        if value is None:
            return None
        return Checkpoint(
            **{
                **value,
                "folder": place / value["folder"],
                "created": datetime.fromisoformat(value["created"]),
                "expires": datetime.fromisoformat(value["expires"]) if value["expires"] else None,
            }
        )

    # Finding

    def get(self, path: str) -> Checkpoint:
        """The checkpoint at a tinker path.

        Raises:
            BadRequest: not a path.
            NotFound: nothing there (any more).
        """
        run, kind, name = parse_path(path)
        found = self._read(self._place(run, kind, name))
        if found is None and run.startswith(ADAPTER_PREFIX):
            found = self._adapters.find(run.removeprefix(ADAPTER_PREFIX), kind, name)
        if found is None:
            raise NotFound(f"no checkpoint {path} here: never saved, deleted, or expired")
        return found

    def listing(self, run: str | None = None) -> list[Checkpoint]:
        """All checkpoints, or one run's, the newest first."""
        found = [*self._saved(run), *self._adapters.listing(run)]
        return sorted(found, key=lambda c: c.created, reverse=True)

    def _saved(self, run: str | None) -> Iterator[Checkpoint]:
        pattern = "*" if run is None else run.replace(":", "~")
        if run is not None and not run_ok(run):
            return
        for pointer in self._root.glob(f"{pattern}/*/*/{POINTER}"):
            checkpoint = self._read(pointer.parent)
            if checkpoint is not None:
                yield checkpoint

    # Changing

    def delete(self, path: str) -> Checkpoint:
        """Remove a checkpoint; returns what it was."""
        with self._lock:
            checkpoint = self._own(path)
            self._remove(self._place(checkpoint.run, checkpoint.kind, checkpoint.name))
        return checkpoint

    def set_ttl(self, path: str, ttl_seconds: int | None) -> None:
        """Let it expire so many seconds from now; None for never."""
        with self._lock:
            checkpoint = self._own(path)
            expires = now() + timedelta(seconds=ttl_seconds) if ttl_seconds else None
            self._rewrite(replace(checkpoint, expires=expires))

    def set_public(self, path: str, public: bool) -> None:
        """Publish or withdraw (kept for clients that ask; the engine has one key and one owner)."""
        with self._lock:
            self._rewrite(replace(self._own(path), public=public))

    def _rewrite(self, checkpoint: Checkpoint) -> None:
        self._write(self._place(checkpoint.run, checkpoint.kind, checkpoint.name), checkpoint)

    def _own(self, path: str) -> Checkpoint:
        checkpoint = self.get(path)
        if checkpoint.read_only:
            raise Forbidden(f"{path} is an adapter folder; the engine only reads it")
        return checkpoint

    def _remove(self, place: Path) -> None:
        (place / POINTER).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
