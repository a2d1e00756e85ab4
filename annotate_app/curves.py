"""A run's metrics.jsonl as curves, read defensively: it may be missing, half written or foreign.

Knows the file and the names under which quantities are known. Knows no chart and no database.
"""

import json
from math import isfinite
from pathlib import Path
from typing import Any

from annotate_app.frames import Frame, pd
from db.settings import REPOSITORY, outputs_dir

TRAINING, HELD_OUT_SERIES = "training", "held-out"
COLUMNS = ["step", "quantity", "series", "value"]
MOST_BYTES = 20_000_000
"""A larger file is read from its end."""
HELD_OUT = ("heldout_", "held_out_", "eval_", "validation_", "val_", "test_")
NAMES = {
    "loss": "loss",
    "accuracy": "accuracy",
    "reward_accuracy": "accuracy",
    "rewards_accuracy": "accuracy",
    "margin": "margin",
    "margins": "margin",
    "reward_margin": "margin",
    "rewards_margin": "margin",
    "rewards_margins": "margin",
    "nll": "nll",
    "chosen_nll": "nll",
}
LINES = {
    "chosen_reward": ("reward", "chosen"),
    "rejected_reward": ("reward", "rejected"),
    "kl": ("kl", "from the reference"),
    "kl_base": ("kl", "from the base model"),
}
"""Names that are one of several lines of a quantity."""


def run_folder(folder: str) -> Path:
    """Where a run's folder lies; the ledger stores it relative to the outputs or the repository."""
    path = Path(folder)
    if path.is_absolute():
        return path
    if path.parts[:1] == ("outputs",):
        return outputs_dir().joinpath(*path.parts[1:])
    inside = outputs_dir() / path
    return inside if inside.exists() else REPOSITORY / path


def read_curves(folder: str) -> Frame:
    """The curves of a run.

    Args:
        folder: as the ledger has it; may be empty.

    Returns:
        Columns step (number), quantity (``loss``, ``accuracy``, ``margin``, ``nll``, ``reward``,
        ``kl``), series (``training`` or ``held-out``; of reward and KL as ``LINES`` says), value
        (finite). Lines that are no JSON object, or have no number to show,
        are passed over; a missing file gives an empty frame. Of a step told twice (a resumed run)
        the later line counts.
    """
    rows: dict[tuple[float, str, str], float] = {}
    for place, line in enumerate(_lines(run_folder(folder) / "metrics.jsonl" if folder else None)):
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(told, dict):
            continue
        step = _number(told.get("step"))
        for name, value in told.items():
            known = _known(str(name))
            number = _number(value)
            if known is not None and number is not None:
                rows[(place + 1 if step is None else step, *known)] = number
    table = [(*key, value) for key, value in rows.items()]
    return pd.DataFrame(table, columns=COLUMNS).sort_values(
        ["quantity", "series", "step"], ignore_index=True
    )


def read_alarm(folder: str) -> tuple[list[int], str]:
    """At which steps a run's alarm rang, and what it said last; no step where it never rang.

    Args:
        folder: as the ledger has it; may be empty.
    """
    steps: list[int] = []
    said = ""
    for line in _lines(run_folder(folder) / "metrics.jsonl" if folder else None):
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        step = _number(told.get("step")) if isinstance(told, dict) else None
        if step is not None and isinstance(told.get("alarm"), str):
            steps.append(int(step))
            said = told["alarm"]
    return sorted(set(steps)), said


def _known(name: str) -> tuple[str, str] | None:
    plain = name.lower().replace("/", "_").replace("-", "_")
    if plain in LINES:
        return LINES[plain]
    series = TRAINING
    for mark in HELD_OUT:
        if plain.startswith(mark):
            plain, series = plain.removeprefix(mark), HELD_OUT_SERIES
    plain = plain.removeprefix("train_").removeprefix("training_").removeprefix("dpo_")
    quantity = NAMES.get(plain)
    return None if quantity is None else (quantity, series)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = float(value) if abs(value) < 1e300 else float("inf")
    return number if isfinite(number) else None


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MOST_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
