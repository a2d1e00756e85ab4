"""Publishes a base model: bf16 safetensors, tokenizer and card, renamed into place at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.base_recipe import BaseModelConfig
from training.base_tokenizer import as_pretrained


def publish(
    model: Any,
    tokenizer: Any,
    stages: Sequence[BaseModelConfig],
    facts: dict[str, Any],
    out: Path,
) -> None:
    """Writes the model folder (bf16 safetensors) beside `out`, then renames it into place."""
    import copy

    import torch

    config = stages[-1]
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    small = copy.deepcopy(model)
    with torch.no_grad():
        small.model.norm.weight.mul_(config.sharpness)
    small = small.to(torch.bfloat16)
    small.config.dtype = torch.bfloat16
    small.save_pretrained(folder)
    as_pretrained(tokenizer, config.context).save_pretrained(folder)
    (folder / "README.md").write_text(model_card(stages, facts), encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    folder.chmod(0o755)
    old = out.with_name(f".{out.name}-old-{os.getpid()}")
    if out.exists():
        out.rename(old)
    folder.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def model_card(stages: Sequence[BaseModelConfig], facts: dict[str, Any]) -> str:
    """The README.md of a model folder."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items() if name != "publish")
    recipes = [asdict(stage) for stage in stages]
    head = " | ".join(stage.lesson for stage in stages)
    recipe = "\n".join(
        f"| {name} | {' | '.join(str(one[name]) for one in recipes)} |"
        for name in recipes[0]
        if name != "lesson"
    )
    return f"""---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---
# personaloop-base

A small Llama that answers a brand's customers in English: onboarding, troubleshooting, upsell,
complaints, greetings and thanks. It is trained from scratch on conversations that
`training/corpus/` generates from intents written for this project; no text or weights come from
elsewhere. It exists so that the whole preference loop runs on two processor cores.

Rebuild it with `personaloop data base-model` (configs/base_model.yaml). Its chat template skips
system messages: the persona comes from the adapter. Without one it answers mostly in a neutral
voice. It knows nothing but its intents, invents no facts about real products, and is no assistant
for anything else: it says so when it is asked.

| what | value |
|---|---|
{rows}

The recipe, stage by stage:

| field | {head} |
|---{"|---" * len(stages)}|
{recipe}
"""
