"""What the engine's rows decode and train on: the project's own prompts and rows, as tokens.

Also the base model's matrices, for the floors. Sides only: imported in their processes.
"""

import json
from typing import Any

from bench.engine import BATCH, PAIRS
from bench.measure import REPOSITORY


def _lines(name: str) -> list[dict[str, Any]]:
    text = (REPOSITORY / "data" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def base_tokenizer() -> Any:
    """The base model's tokenizer."""
    from transformers import AutoTokenizer

    from db.settings import base_model_dir

    return AutoTokenizer.from_pretrained(base_model_dir(), local_files_only=True)


def _prompt(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    return list(
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    )


def prompt_tokens(tokenizer: Any) -> list[list[int]]:
    """The first prompts of one turn, as tokens ready for a completion."""
    found = [r for r in _lines("persona_prompts.jsonl") if r.get("prompt")][:BATCH]
    return [_prompt(tokenizer, [{"role": "user", "content": r["prompt"]}]) for r in found]


def preference_rows(count: int = PAIRS) -> list[tuple[Any, Any]]:
    """(chosen, rejected) token sequences: one persona's response over another's."""
    from training.datums import TokenSequence

    tokenizer = base_tokenizer()
    by_persona: dict[str, list[dict[str, Any]]] = {}
    for row in _lines("persona_training.jsonl"):
        if row.get("prompt"):
            by_persona.setdefault(row["persona"], []).append(row)
    (_, wanted), (_, other) = list(by_persona.items())[:2]
    end = tokenizer.eos_token_id
    pairs = []
    for good, bad in zip(wanted[:count], other[:count], strict=True):
        prompt = tuple(_prompt(tokenizer, [{"role": "user", "content": good["prompt"]}]))
        chosen, rejected = (
            TokenSequence(
                prompt,
                (*tokenizer.encode(r["response"], add_special_tokens=False), end),
            )
            for r in (good, bad)
        )
        pairs.append((chosen, rejected))
    return pairs


def base_matrices() -> list[Any]:
    """The matrices that every token passes, the output head included."""
    from db.settings import base_model_dir
    from training.engine.compute.base import BaseModel

    base = BaseModel(base_model_dir())
    found = [layer.weight.detach() for layer in base.layers.values()]
    if base.tied:
        found.append(base.model.get_output_embeddings().weight.detach())
    return found
