"""Makes the supervised adapters that the product ships, with the product's own training.

Knows where they live and how they are replaced, and that the shipped base was sharpened when it
was published: its final norm's gain was multiplied, and with it every logit. Trained on it, an
adapter would learn to undo that, because cross-entropy is least where temperature 1 gives the
rows' own variety. So they are trained on the base as it was before, and belong to the published
one. What a supervised run is, training/sft.py says.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from db.settings import base_model_dir
from training.adapters import (
    PEFT_CONFIG,
    WEIGHTS,
    AdapterCard,
    base_model_sha256,
    portable,
    write_adapter,
)
from training.base_recipe import BaseModelConfig
from training.configs import load_config
from training.engine import EngineSettings, EngineSupervisor
from training.engine.hashes import in_order
from training.personas import PersonaError, load_personas

ROOT = Path(__file__).resolve().parents[1]
ADAPTERS = ROOT / "data" / "adapters"
ROWS = ROOT / "data" / "persona_training.jsonl"
CONFIG = ROOT / "configs" / "lora_persona.yaml"
BASE = ROOT / "configs" / "base_model.yaml"


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
    base = base_model_dir()
    folders: list[Path] = []
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".adapters-") as temporary:
        here = Path(temporary)
        sha256 = base_model_sha256(base)
        blunt = blunted(base, here / "base" / base.name, BaseModelConfig.load(BASE)[-1].sharpness)
        settings = EngineSettings(base_model=blunt, state_dir=here / "engine")
        with EngineSupervisor(settings):  # it ends before its folder goes
            service = open_service(settings)
            for slug in personas or known:
                name = f"{slug}-sft-v1"
                trained, made = here / "trained" / name, here / "made" / name
                run = RunFolder(here / slug)
                card = train_sft(service, known[slug], ROWS, recipe, run, trained)
                _given_to(trained, made, replace(card, base_model=portable(base)), sha256)
                folder = out / slug / name
                folder.parent.mkdir(parents=True, exist_ok=True)
                if folder.exists():
                    folder.rename(here / f"old-{slug}")
                made.rename(folder)
                folders.append(folder)
    return folders


def _given_to(trained: Path, made: Path, card: AdapterCard, base_sha256: str) -> None:
    """Writes a trained adapter again as one that belongs to the base with this hash."""
    from safetensors.torch import load_file, save

    belongs = {"base_model_sha256": base_sha256}
    write_adapter(
        made,
        in_order(save(load_file(trained / WEIGHTS), metadata={"format": "pt", **belongs})),
        json.loads((trained / PEFT_CONFIG).read_text(encoding="utf-8")),
        replace(card, **belongs, files={}),
    )


def blunted(base: Path, out: Path, sharpness: float) -> Path:
    """A copy of a published base whose logits are divided by its sharpness."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, out)
    tensors = load_file(out / "model.safetensors")
    gain = tensors["model.norm.weight"]
    tensors["model.norm.weight"] = (gain.float() / sharpness).to(gain.dtype)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return out
