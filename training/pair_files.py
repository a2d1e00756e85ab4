"""Reads preference pairs from a JSONL file in TRL's explicit-prompt format.

Knows the format: ``prompt``, ``chosen`` and ``rejected`` as lists of messages, and ``label`` and
``weight`` where known. Does not know the ledger.
"""

import json
from pathlib import Path
from typing import Any

from training.errors import TooLittleData
from training.pairs import PairOptions, PairSet, PreferencePair, is_heldout, prompt_key


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
    even = count = 0
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            count += 1
            pair = _pair(line, f"{path}:{number}", number)
            if pair.label - 0.5 <= options.even:
                even += 1
            else:
                held = is_heldout(pair.prompt, options.heldout_share)
                (heldout if held else training).append(pair)
    if not count:
        raise TooLittleData(f"{path}: no pairs in it")
    dropped = {"evenly judged": even} if even else {}
    return PairSet(tuple(training), tuple(heldout), count, count - even, dropped)


def _pair(line: str, where: str, number: int) -> PreferencePair:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise TooLittleData(f"{where}: not valid JSON ({error})") from error
    if not isinstance(row, dict):
        raise TooLittleData(f"{where}: must be an object with prompt, chosen and rejected")
    messages = row.get("prompt")
    if not isinstance(messages, list) or not messages:
        raise TooLittleData(f"{where}: prompt must be a list of messages")
    for message in messages:
        if not isinstance(message, dict) or not {"role", "content"} <= set(message):
            raise TooLittleData(f"{where}: prompt: each message needs role and content")
    texts = {name: _text(row.get(name), f"{where}: {name}") for name in ("chosen", "rejected")}
    if texts["chosen"] == texts["rejected"]:
        raise TooLittleData(f"{where}: chosen and rejected are the same text")
    numbers = {}
    for name, high in (("label", 1.0), ("weight", float("inf"))):
        value = row.get(name, 1.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
            raise TooLittleData(f"{where}: {name} must be a number from 0, got {value!r}")
        numbers[name] = float(value)
    if numbers["label"] < 0.5:
        texts = {"chosen": texts["rejected"], "rejected": texts["chosen"]}
        numbers["label"] = 1.0 - numbers["label"]
    turns = tuple({"role": m["role"], "content": m["content"]} for m in messages)
    return PreferencePair(
        turns,
        texts["chosen"],
        texts["rejected"],
        numbers["label"],
        numbers["weight"],
        (number,),
        prompt_key(turns),
    )


def _text(value: Any, where: str) -> str:
    """A completion: one assistant message, or plain text."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0].get("content")
    if not isinstance(value, str) or not value.strip():
        raise TooLittleData(f"{where} must be a list with one assistant message")
    return value.strip()
