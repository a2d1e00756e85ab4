"""Makes the supervised adapters that the product ships, with the product's own training.

Knows where they live and how they are replaced. What a supervised run is, training/sft.py says.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from training.configs import load_config
from training.personas import PersonaError, load_personas

ROOT = Path(__file__).resolve().parents[1]
ADAPTERS = ROOT / "data" / "adapters"
ROWS = ROOT / "data" / "persona_training.jsonl"
CONFIG = ROOT / "configs" / "lora_persona.yaml"


def train_shipped(
    personas: Sequence[str] = (), config: Path = CONFIG, out: Path = ADAPTERS
) -> list[Path]:
    """Trains `<persona>-sft-v1` for each persona and puts each whole in place of the old one.

    Args:
        personas: slugs; none means all.
        config: the supervised run's configuration.
        out: folder of the adapters, one folder a persona in it.

    Returns:
        The adapter folders.
    """
    from training.runs import RunFolder
    from training.service import open_service
    from training.sft import SFTConfig, train_sft

    known = load_personas()
    unknown = sorted(set(personas) - set(known))
    if unknown:
        raise PersonaError(f"no persona {unknown[0]!r}; known: {', '.join(known)}")
    recipe = load_config(SFTConfig, config)
    service = open_service()
    folders: list[Path] = []
    for slug in personas or known:
        name = f"{slug}-sft-v1"
        folder = out / slug / name
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".adapters-") as temporary:
            run = RunFolder(Path(temporary) / "run")
            made = Path(temporary) / slug / name
            train_sft(service, known[slug], ROWS, recipe, run, made)
            folder.parent.mkdir(parents=True, exist_ok=True)
            old = Path(temporary) / "old"
            if folder.exists():
                folder.rename(old)
            made.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        folders.append(folder)
    return folders
