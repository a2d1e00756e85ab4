"""Reads preference pairs from a JSONL file in TRL's explicit-prompt format.

Knows the format: ``prompt``, ``chosen`` and ``rejected`` as lists of messages, and ``label`` and
``weight`` where known. Does not know the ledger.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from training.errors import TooLittleData
from training.pairs import (
    PairOptions,
    PairSet,
    PreferencePair,
    is_heldout,
    normalised,
    prompt_key,
)
from training.personas import PersonaError, checked_messages


def read_pairs(path: Path, options: PairOptions) -> PairSet:
    """The pairs of a file, with the same held-out prompts as the ledger's.

    Args:
        path: JSONL.
        options: which prompts are held out, and which labels are too even.

    Raises:
        TooLittleData: a line that cannot be read (file, line and field), or no pair.
    """
    training: list[PreferencePair] = []
    heldout: list[PreferencePair] = []
    dropped: Counter[str] = Counter()
    count = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            count += 1
            pair = _pair(line, f"{path}:{number}", number)
            if pair.weight == 0:
                dropped["of no weight"] += 1
            elif pair.label - 0.5 <= options.even:
                dropped["evenly judged"] += 1
            else:
                held = is_heldout(pair.prompt, options.heldout_share)
                (heldout if held else training).append(pair)
    if not count:
        raise TooLittleData(f"{path}: no pairs in it")
    used = len(training) + len(heldout)
    return PairSet(normalised(training), normalised(heldout), count, used, dict(dropped))


def _pair(line: bytes, where: str, number: int) -> PreferencePair:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise TooLittleData(f"{where}: not valid JSON in UTF-8 ({error})") from error
    if not isinstance(row, dict):
        raise TooLittleData(f"{where}: must be an object with prompt, chosen and rejected")
    messages = row.get("prompt")
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise TooLittleData(f"{where}: prompt must be a list of messages with role and content")
    try:
        turns = tuple(checked_messages(messages))
    except PersonaError as error:
        raise TooLittleData(f"{where}: prompt: {error}") from error
    texts = {name: _text(row.get(name), f"{where}: {name}") for name in ("chosen", "rejected")}
    if texts["chosen"] == texts["rejected"]:
        raise TooLittleData(f"{where}: chosen and rejected are the same text")
    label = _number(row, "label", 1.0, where)
    weight = _number(row, "weight", 1e6, where)
    if label < 0.5:
        texts = {"chosen": texts["rejected"], "rejected": texts["chosen"]}
        label = 1.0 - label
    return PreferencePair(
        turns, texts["chosen"], texts["rejected"], label, weight, (number,), prompt_key(turns)
    )


def _number(row: dict[str, Any], name: str, high: float, where: str) -> float:
    """A number of the row from 0 to ``high``; 1 where it is not there."""
    value = row.get(name, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
        raise TooLittleData(f"{where}: {name} must be a number from 0 to {high:g}, got {value!r}")
    return float(value)


def _text(value: Any, where: str) -> str:
    """A completion: one assistant message, or plain text."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0].get("content")
    if not isinstance(value, str) or not value.strip():
        raise TooLittleData(f"{where} must be a list with one assistant message")
    return value.strip()
