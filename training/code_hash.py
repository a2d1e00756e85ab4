"""A hash of the code and the guide that decide what a preference run learns.

Knows which files those are: every module of this room that ``dpo_run`` reaches by its imports, the
local engine's arithmetic, the rows that are replayed, and the persona's guide. Does not know runs.
Plumbing decides whether a run ends, not how, and is left out by name, so that an update of a
command trains nothing again; a module that is new counts until somebody says otherwise.
"""

import ast
import functools
import hashlib
from pathlib import Path

from db.settings import REPOSITORY
from training.personas import PERSONAS_DIR

ROOM = Path(__file__).resolve().parent
REPLAYED = REPOSITORY / "data" / "persona_training.jsonl"
BEGINS = ("dpo_run", "unjudged", "rounds", "pairs", "reliability")
PLUMBING = frozenset(
    {
        "adapters",
        "configs",
        "downloads",
        "errors",
        "exporting",
        "hosted",
        "keeping",
        "opening",
        "responses",
        "registering",
        "runs",
        "saving",
        "service",
        "waiting",
    }
)
"""Modules of this room that files, queues, services and words are the business of."""


def code_sha256(persona: str) -> str:
    """SHA-256 of the deciding files, names and contents, and nothing else."""
    files = deciding_files(persona)
    return _hashed(tuple((str(path), path.stat().st_mtime_ns) for path in files))


def deciding_files(persona: str) -> list[Path]:
    """Every file whose content is part of the hash, in its order."""
    arithmetic = sorted((ROOM / "engine" / "compute").glob("*.py"))
    guide = PERSONAS_DIR / f"{persona}.md"
    return [
        *(ROOM / f"{name.replace('.', '/')}.py" for name in _reached()),
        *arithmetic,
        *(path for path in (REPLAYED, guide) if path.is_file()),
    ]


@functools.lru_cache(maxsize=1)
def _reached() -> tuple[str, ...]:
    """Modules of this room behind the first ones, themselves included, without plumbing."""
    waiting, found = list(BEGINS), set[str]()
    while waiting:
        name = waiting.pop()
        path = ROOM / f"{name.replace('.', '/')}.py"
        if name in found or name in PLUMBING or name.startswith("engine.") or not path.is_file():
            continue
        found.add(name)
        waiting += _imports(path)
    return tuple(sorted(found))


def _imports(path: Path) -> list[str]:
    """Modules of this room that a file imports, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == ROOM.name:
            inside = ".".join((node.module or "").split(".")[1:])
            names += [inside] if inside else []
            names += [f"{inside}.{each.name}".lstrip(".") for each in node.names]
        elif isinstance(node, ast.Import):
            parts = [each.name.split(".") for each in node.names]
            names += [".".join(p[1:]) for p in parts if p[0] == ROOM.name and len(p) > 1]
    return names


@functools.lru_cache(maxsize=32)
def _hashed(stamps: tuple[tuple[str, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _ in stamps:
        content = Path(path).read_bytes()
        name = Path(path).name
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
