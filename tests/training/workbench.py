"""What the training tests share: a tiny model's workshop and small configurations."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from training.engine.settings import EngineSettings, base_model_name

PERSONA = "playful_sidekick"
STARTER = f"{PERSONA}-sft-tiny"


@dataclass
class Workshop:
    """Where a test's model, engine and outputs are."""

    outputs: Path
    settings: EngineSettings
    address: str

    def service(self):
        """A newly connected service."""
        import tinker
        from serving import KEY

        from training.adapters import base_model_sha256
        from training.service import Service

        folder = self.settings.base_model
        return Service(
            tinker.ServiceClient(base_url=self.address, api_key=KEY),
            tinker.RestClient(base_url=self.address, api_key=KEY),
            base_model_name(folder),
            folder,
            base_model_sha256(folder),
            False,
            512,
        )


def make_starter(workshop: Workshop) -> None:
    """Train the adapter that every test starts from: two steps on a few rows."""
    from training.personas import load_personas
    from training.runs import RunFolder
    from training.sft import SFTConfig, train_sft

    rows = workshop.outputs / "rows.jsonl"
    lines = [
        {"persona": PERSONA, "prompt": f"question {n}?", "response": f"answer {n}!"}
        for n in range(12)
    ]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    train_sft(
        workshop.service(),
        load_personas()[PERSONA],
        rows,
        SFTConfig(rank=4, alpha=8.0, steps=2, batch=4, learning_rate=0.01),
        RunFolder(workshop.outputs / "runs" / "starter"),
        workshop.outputs / "lora" / PERSONA / STARTER,
    )


def small_dpo(**change):
    """A preference run small enough for a test."""
    from training.dpo_config import DPOConfig

    plain = DPOConfig(
        batch=4,
        minimum_pairs=8,
        minimum_steps=4,
        save_every=2,
        evaluate_every=2,
        replay_rows=2,
        learning_rate=0.01,
        heldout_share=0.2,
    )
    return replace(plain, **change)


def small_candidates(**change):
    """Short completions."""
    from training.candidates import CandidateConfig

    return replace(
        CandidateConfig(max_tokens=10, label_comparisons=24, blind_comparisons=10), **change
    )
