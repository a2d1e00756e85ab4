"""Preference training against its peers: tinker-cookbook's `train_dpo` and TRL's `DPOTrainer`.

All sides train the shipped base model on the same pairs, as the same tokens, for three epochs.
Ours and the cookbook's share one engine; TRL works in its own process on the same processor.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from bench.measure import Measured, Side, interleave
from bench.rows import Row, compared

EPOCHS = 3
BATCH = 16
BETA = 0.1
RANK = 8
RATE = 2e-4
SIZES = {"small": {"pairs": 32, "rounds": 3}, "full": {"pairs": 128, "rounds": 3}}


def rows(size: str) -> list[Row]:
    """Every measurement of this subject."""
    from training.engine import EngineSettings, EngineSupervisor
    from training.engine.connection import find

    choice = SIZES[size]
    os.environ.pop("TINKER_API_KEY", None)
    with tempfile.TemporaryDirectory() as folder:
        settings = EngineSettings(state_dir=Path(folder) / "engine")
        with EngineSupervisor(settings):
            told = find(settings)
            assert told is not None
            params = {
                "url": told["url"],
                "key": told["key"],
                "engine": told["pid"],
                "pairs": choice["pairs"],
            }
            sides = [
                Side("ours", "bench.training_sides:ours", params, warmups=1),
                Side("tinker-cookbook train_dpo", "bench.training_sides:cookbook", params),
                Side("TRL DPOTrainer", "bench.training_sides:trl", {"pairs": choice["pairs"]}),
            ]
            ours, cookbook, trl = interleave(sides, choice["rounds"])
    return [
        _time(ours, cookbook, choice["pairs"]),
        _tokens(ours, cookbook),
        _client(ours, cookbook),
        _against_trl(ours, trl, choice["pairs"]),
        _memory(ours, trl),
    ]


def _time(ours: Measured, theirs: Measured, pairs: int) -> Row:
    row = compared(
        "training",
        f"{EPOCHS} epochs of DPO on {pairs} pairs, batch {BATCH}, one engine",
        ours,
        theirs,
        inside=False,
        bar=0.6,
    )
    row.cpu = _cpu(ours, theirs)
    row.notes += _losses(ours, theirs)
    return row


def _tokens(ours: Measured, theirs: Measured) -> Row:
    """A count: tokens that the service was sent to process, a pair and epoch."""
    row = Row(
        "training",
        "tokens processed a pair and epoch, reference included",
        "tokens",
        ours.last("tokens"),
        theirs.name,
        theirs.last("tokens"),
        missing=_missing(ours, theirs),
    )
    row.notes.append(
        "a count of what the client sends: forward, forward and backward, and log-probability "
        "requests; ours asks the reference once in a run, theirs at every step"
    )
    return row


def _client(ours: Measured, theirs: Measured) -> Row:
    """Processor time of the client's process, the engine's left out."""
    row = Row(
        "training",
        "processor time of the client a step (its code, the SDK, the custom loss)",
        "ms",
        _cpu_a_step(ours),
        theirs.name,
        _cpu_a_step(theirs),
        missing=_missing(ours, theirs),
    )
    if ours.values:
        row.notes.append(f"steps of a run: {ours.last('steps')}")
    return row


def _cpu(*sides: Measured) -> dict[str, list[float]]:
    """Processor seconds of each run, client and engine together."""
    return {side.name: [value["cpu"] for value in side.values] for side in sides}


def _cpu_a_step(side: Measured) -> float | None:
    found = sorted(
        cpu / value["steps"] for cpu, value in zip(side.cpu_seconds, side.values, strict=True)
    )
    return found[len(found) // 2] if found else None


def _against_trl(ours: Measured, theirs: Measured, pairs: int) -> Row:
    row = compared(
        "training",
        f"pairs a second, {EPOCHS} epochs on {pairs} pairs, reference included",
        ours,
        theirs,
        unit="pairs/s",
        amount=float(pairs * EPOCHS),
        inside=False,
        bar=1.0,
    )
    row.cpu = _cpu(ours, theirs)
    row.notes += _losses(ours, theirs)
    if theirs.values:
        row.notes.append(f"pairs of the same tokens: {theirs.last('same_tokens')} of {pairs}")
    row.notes.append(
        "TRL as it comes but for: no gradient checkpointing, fp32 on the same device, AdamW and "
        "schedule as ours, one padded batch a step"
    )
    return row


def _memory(ours: Measured, theirs: Measured) -> Row:
    """Peak resident memory: our client and engine together, against TRL's one process."""
    row = Row(
        "training",
        "peak memory, client and engine together",
        "MB",
        ours.last("bytes"),
        theirs.name,
        theirs.last("bytes"),
        missing=_missing(ours, theirs),
    )
    if ours.values:
        row.notes.append(
            f"ours: engine {ours.last('engine_bytes') / 1e6:,.0f} MB, "
            f"client {ours.last('client_bytes') / 1e6:,.0f} MB"
        )
    return row


def _losses(ours: Measured, theirs: Measured) -> list[str]:
    if not (ours.values and theirs.values):
        return []

    def shown(value: Any) -> str:
        return ", ".join(f"{one:.4f}" for one in value)

    return [
        f"mean loss of each epoch: ours {shown(ours.last('losses'))}; "
        f"theirs {shown(theirs.last('losses'))} (log 2 is 0.6931)"
    ]


def _missing(*sides: Measured) -> list[str]:
    return [f"{side.name}: {side.missing}" for side in sides if side.missing]


def epoch_means(losses: list[float]) -> list[float]:
    """Mean loss of each epoch."""
    size = max(1, len(losses) // EPOCHS)
    parts = [losses[at : at + size] for at in range(0, size * EPOCHS, size)]
    return [sum(part) / len(part) for part in parts if part]


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
