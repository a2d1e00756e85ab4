"""The adapter folder: written at once or not at all, checked, listed, found by id.

Knows DESIGN.md's folder (PEFT's two files plus ``adapter.json``) and where folders lie. Does not
know torch, the ledger or what an adapter is good for.
"""

import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db.settings import REPOSITORY, adapter_roots, outputs_dir
from training.errors import AdapterDamaged, AdapterMissing

if TYPE_CHECKING:
    from db.models import Adapter

WEIGHTS, PEFT_CONFIG, CARD = "adapter_model.safetensors", "adapter_config.json", "adapter.json"
_SAFE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,118}[A-Za-z0-9])?")


@dataclass(frozen=True)
class AdapterCard:
    """What ``adapter.json`` says.

    Attributes:
        id: unique name of the adapter; also its folder's name.
        persona: slug, or None for one that belongs to no persona.
        kind: ``sft``, ``dpo`` or ``fused``.
        base_model: name or path of the base model, relative to the repository where it lies there.
        base_model_sha256: of the base model's weights; empty where not known.
        parents: ``{"id", "sha256", "weight"?}`` each; the reference of a DPO run comes first.
        run: the run that made it, or None.
        snapshot: SHA-256 of the judgments that it was trained on, or None.
        config: the full configuration of the run.
        metrics: final numbers of the run.
        created: UTC, ISO 8601.
        service: the paths under which hosted Tinker keeps it: ``state`` and ``sampler``.
        files: SHA-256 of each other file in the folder.
    """

    id: str
    persona: str | None
    base_model: str
    base_model_sha256: str
    kind: str = "sft"
    parents: tuple[dict[str, Any], ...] = ()
    run: str | None = None
    snapshot: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    service: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """SHA-256 of the adapter's weights, the name that lineage uses."""
        return self.files.get(WEIGHTS, "")


def safe_id(text: str) -> str:
    """The id itself, if it is safe as a folder name and as one segment of a tinker:// path.

    Raises:
        AdapterMissing: it has other characters than letters, digits, ``.``, ``_`` and ``-``, or
            two dots in a row, or is longer than 120.
    """
    if not _SAFE.fullmatch(text) or ".." in text:
        raise AdapterMissing(
            f"{text[:80]!r} is no adapter id: use letters, digits, '.', '_' and '-', at most 120"
        )
    return text


def checkpoint_path(persona: str, adapter_id: str) -> str:
    """The tinker:// path under which the local engine knows an adapter folder."""
    return f"tinker://adapter-{safe_id(persona)}/weights/{safe_id(adapter_id)}"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def base_model_sha256(folder: Path) -> str:
    """SHA-256 of a base model's weights, computed once for each state of the folder."""
    stamp = tuple((p.name, p.stat().st_mtime_ns) for p in sorted(folder.glob("*.safetensors")))
    if not stamp:
        raise AdapterMissing(f"{folder}: no base model there (no *.safetensors file)")
    return _base_model_sha256(folder, stamp)


@functools.lru_cache(maxsize=8)
def _base_model_sha256(folder: Path, stamp: tuple[Any, ...]) -> str:
    from training.engine.hashes import base_model_sha256 as digest

    return digest(folder)


def portable(path: str | Path) -> str:
    """A path as it is stored: relative to the outputs or the repository where it lies there."""
    if isinstance(path, str) and not path.startswith(("/", ".")):
        return path
    resolved = Path(path).resolve()
    for root, prefix in ((outputs_dir(), Path("outputs")), (REPOSITORY, Path())):
        if resolved.is_relative_to(root):
            return str(prefix / resolved.relative_to(root))
    return str(resolved)


def write_adapter(
    folder: Path, weights: bytes | Path, peft_config: Mapping[str, Any], card: AdapterCard
) -> AdapterCard:
    """Write an adapter folder: temporary folder, fsync, checksums, rename.

    Asking again for what is already there with the same weights changes nothing, so an
    interrupted export can simply be repeated.

    Args:
        folder: ``…/<persona>/<adapter id>``; its last part is the adapter's id.
        weights: the content of ``adapter_model.safetensors``, or a file with it.
        peft_config: the content of ``adapter_config.json``.
        card: everything but ``files`` and ``created``, which are set here.

    Returns:
        The card as written.

    Raises:
        AdapterDamaged: the folder exists with other weights; adapters are never replaced.
    """
    if safe_id(folder.name) != card.id:
        raise AdapterDamaged(f"{folder}: the folder must be named as the adapter's id, {card.id}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{card.id}-", dir=folder.parent))
    try:
        target = temporary / WEIGHTS
        if isinstance(weights, Path):
            shutil.copyfile(weights, target)
        else:
            target.write_bytes(weights)
        config = dict(peft_config)
        if card.base_model:
            config["base_model_name_or_path"] = card.base_model
        _write_json(temporary / PEFT_CONFIG, config)
        files = {name: file_sha256(temporary / name) for name in (WEIGHTS, PEFT_CONFIG)}
        if folder.exists() and any(folder.iterdir()):
            there = verify_adapter(folder)
            if there.sha256 == files[WEIGHTS]:
                return there
            raise AdapterDamaged(
                f"{folder}: an adapter with this id and other weights is already there; "
                "adapters are never replaced, choose another id"
            )
        created = card.created or datetime.now(UTC).isoformat(timespec="seconds")
        written = AdapterCard(**{**_plain(card), "created": created, "files": files})
        told = {name: value for name, value in asdict(written).items() if value != ""}
        _write_json(temporary / CARD, {"format": 1, **told})
        for path in temporary.iterdir():
            path.chmod(0o644)
            _sync(path)
        temporary.chmod(0o755)
        _sync(temporary)
        temporary.rename(folder)
        _sync(folder.parent)
        return written
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_card(folder: Path) -> AdapterCard:
    """The card of an adapter folder, without looking at the other files.

    Raises:
        AdapterMissing: no such folder or no adapter.json in it.
        AdapterDamaged: adapter.json is malformed; the message names file and field.
    """
    path = folder / CARD
    if not path.is_file():
        raise AdapterMissing(f"{folder}: no adapter there (no {CARD})")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AdapterDamaged(f"{path}: not valid JSON ({error})") from error
    if not isinstance(raw, dict):
        raise AdapterDamaged(f"{path}: must be a JSON object")
    names = AdapterCard.__dataclass_fields__
    for name in ("id", "files"):
        if name not in raw:
            raise AdapterDamaged(f"{path}: field {name!r} is missing")
    kinds = {"id": str, "files": dict, "parents": list, "config": dict, "service": dict}
    for name, kind in kinds.items():
        if name in raw and not isinstance(raw[name], kind):
            raise AdapterDamaged(f"{path}: field {name!r} must be a {kind.__name__}")
    known = {name: value for name, value in raw.items() if name in names}
    known = {"persona": None, "base_model": "", "base_model_sha256": "", **known}
    known["parents"] = tuple(known.get("parents", ()))
    card = AdapterCard(**known)
    if card.id != folder.name:
        raise AdapterDamaged(f"{path}: says id {card.id!r}, but the folder is {folder.name!r}")
    return card


def verify_adapter(folder: Path, base_sha256: str | None = None) -> AdapterCard:
    """Check every file against the card's checksums.

    Args:
        folder: the adapter folder.
        base_sha256: the base model it is to run on; None skips that check.

    Raises:
        AdapterMissing: no adapter there.
        AdapterDamaged: a file is missing or altered, or the base model is another one.
    """
    card = read_card(folder)
    for name in (WEIGHTS, PEFT_CONFIG):
        path, said = folder / name, card.files.get(name)
        if not path.is_file():
            raise AdapterDamaged(f"{path}: missing; restore it or retrain the adapter")
        if said is None:
            raise AdapterDamaged(f"{folder / CARD}: files has no checksum of {name}")
        if file_sha256(path) != said:
            raise AdapterDamaged(f"{path}: was altered after it was written (checksum differs)")
    if base_sha256 is not None and card.base_model_sha256 != base_sha256:
        raise AdapterDamaged(
            f"{folder}: was trained on another base model "
            f"({card.base_model_sha256[:12]}…, here is {base_sha256[:12]}…)"
        )
    return card


def find_adapter(persona: str, adapter_id: str, roots: Sequence[Path] | None = None) -> Path:
    """The folder of an adapter: trained ones first, then the shipped ones.

    Raises:
        AdapterMissing: it is in none of the roots.
    """
    searched = list(adapter_roots() if roots is None else roots)
    for root in searched:
        folder = root / safe_id(persona) / safe_id(adapter_id)
        if (folder / CARD).is_file():
            return folder
    places = ", ".join(str(root) for root in searched)
    raise AdapterMissing(f"no adapter {adapter_id} of {persona} in {places}")


def list_adapters(roots: Iterable[Path] | None = None) -> list[tuple[Path, AdapterCard]]:
    """Every readable adapter folder with its card, by persona and then age; damaged cards raise."""
    found: dict[tuple[str, str], tuple[Path, AdapterCard]] = {}
    for root in adapter_roots() if roots is None else roots:
        for card_file in sorted(root.glob(f"*/*/{CARD}")):
            folder = card_file.parent
            if not folder.name.startswith("."):
                found.setdefault((folder.parent.name, folder.name), (folder, read_card(folder)))
    return sorted(
        found.values(), key=lambda item: (item[0].parent.name, item[1].created, item[1].id)
    )


def _plain(card: AdapterCard) -> dict[str, Any]:
    return {name: getattr(card, name) for name in AdapterCard.__dataclass_fields__}


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str)
    path.write_text(text + "\n", encoding="utf-8")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def card_of(adapter: "Adapter") -> AdapterCard:
    """The card of an adapter that the ledger knows, from its folder."""
    return read_card(find_adapter(adapter.persona_slug or "", adapter.id))
