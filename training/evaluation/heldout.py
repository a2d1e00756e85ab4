"""Measures models on held-out phrasings: is the product named, is the intent answered?

Knows prompts, bars and the table. Generation is a plain batched loop over a merged model, so that
the numbers need no engine.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.corpus import Bank, load_bank
from training.corpus.conversations import ask
from training.corpus.intents import PERSONA_VOICES
from training.evaluation.intents import IntentReader, product_named

ROOT = Path(__file__).resolve().parents[2]
ADAPTERS = ROOT / "data" / "adapters"
PRODUCT_BAR, INTENT_BAR = 0.90, 0.85
ADAPTER_INTENT_BAR = 0.75
"""Learning a voice costs some reading (docs/decisions/base-model.md)."""


@dataclass(frozen=True)
class HeldoutPrompt:
    """One held-out question; `product` as typed or None."""

    prompt: str
    intent: str
    product: str | None


@dataclass(frozen=True)
class HeldoutScore:
    """Accuracies of one model, with the numbers of prompts behind them."""

    model: str
    prompts: int
    with_product: int
    product_accuracy: float
    intent_accuracy: float


def heldout_prompts(
    bank: Bank, count: int, seed: int, strength: float = 0.0
) -> list[HeldoutPrompt]:
    """Questions in held-out wording, every intent as often as another.

    Args:
        bank: the intents.
        count: number of prompts.
        seed: starts the random source.
        strength: how much the wording is varied on top (0 none, 1 as in training).
    """
    rng = random.Random(seed)
    prompts: list[HeldoutPrompt] = []
    intents = list(bank.intents)
    while len(prompts) < count:
        rng.shuffle(intents)
        for intent in intents[: count - len(prompts)]:
            text, product = ask(
                intent, rng, split="heldout", strength=strength, allow_generic=False
            )
            prompts.append(HeldoutPrompt(text, intent.name, product))
    return prompts


def generate(
    model: Any,
    tokenizer: Any,
    conversations: list[list[dict[str, str]]],
    *,
    temperature: float,
    seed: int,
    max_tokens: int = 160,
    batch: int = 64,
) -> list[str]:
    """One sampled response for each conversation, seeded.

    Args:
        model: a causal LM, with or without an adapter.
        tokenizer: its tokenizer, padding on the left.
        conversations: message lists, the last from the user.
        temperature: 0 is greedy.
        seed: of the sampling.
        max_tokens: longest response in tokens.
        batch: conversations at a time.
    """
    import torch

    torch.manual_seed(seed)
    responses: list[str] = []
    sampling: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    for start in range(0, len(conversations), batch):
        texts = [
            tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            for messages in conversations[start : start + batch]
        ]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            out = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=max_tokens,
                pad_token_id=tokenizer.pad_token_id,
                **sampling,
            )
        new = out[:, inputs["input_ids"].shape[1] :]
        responses += [
            text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)
        ]
    return responses


def adapter_folder(persona: str, root: Path = ADAPTERS) -> Path:
    """The shipped supervised adapter of a persona."""
    return root / persona / f"{persona}-sft-v1"


def load_model(base: Path, adapter: Path | None = None) -> tuple[Any, Any]:
    """A model in fp32 with its adapter merged in, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.padding_side = "left"
    return model.eval(), tokenizer


def score(
    name: str, prompts: list[HeldoutPrompt], responses: list[str], reader: IntentReader, bank: Bank
) -> tuple[HeldoutScore, list[dict[str, Any]]]:
    """Scores responses; returns the score and one row a prompt.

    A product counts only where the customer named one and the intent's answers name products.
    """
    rows: list[dict[str, Any]] = []
    for prompt, response in zip(prompts, responses, strict=True):
        wanted = prompt.product if bank.by_name(prompt.intent).product_in_answers else None
        rows.append(
            {
                "model": name,
                **asdict(prompt),
                "response": response,
                "answered": (answered := reader.intent_of(response)),
                "intent_right": answered == prompt.intent,
                "product_right": None if wanted is None else product_named(wanted, response),
            }
        )
    named = [row["product_right"] for row in rows if row["product_right"] is not None]
    return (
        HeldoutScore(
            model=name,
            prompts=len(rows),
            with_product=len(named),
            product_accuracy=sum(named) / len(named) if named else float("nan"),
            intent_accuracy=sum(row["intent_right"] for row in rows) / len(rows),
        ),
        rows,
    )


def check_models(
    *,
    count: int,
    temperature: float,
    seed: int,
    base: Path | None = None,
    personas: tuple[str, ...] = (),
    threads: int = 2,
    output: Path | None = None,
) -> tuple[str, bool]:
    """Measures the base and the shipped adapters.

    Returns:
        (a table as text, whether every measured model reaches its bars).
    """
    import torch

    from training.base_model import OUT

    torch.set_num_threads(threads)
    bank = load_bank()
    reader = IntentReader(bank)
    unknown = sorted(set(personas) - set(PERSONA_VOICES))
    if unknown:
        raise ValueError(f"no persona {unknown[0]!r}; known: {', '.join(PERSONA_VOICES)}")
    base = base or OUT
    prompts = heldout_prompts(bank, count, seed)
    models: list[tuple[str, Path | None]] = [("base", None)]
    for persona in personas or PERSONA_VOICES:
        if (folder := adapter_folder(persona)).exists():
            models.append((persona, folder))
        elif personas:
            raise LookupError(f"{folder}: no such adapter; make it with personaloop data adapters")
    scores: list[HeldoutScore] = []
    lines: list[str] = []
    for name, adapter in models:
        model, tokenizer = load_model(base, adapter)
        messages = [[{"role": "user", "content": prompt.prompt}] for prompt in prompts]
        responses = generate(model, tokenizer, messages, temperature=temperature, seed=seed)
        one, rows = score(name, prompts, responses, reader, bank)
        scores.append(one)
        lines += [json.dumps(row, ensure_ascii=False) for row in rows]
    if output is not None:
        output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = [f"{'model':20} {'prompts':>7} {'named':>6} {'product':>8} {'intent':>8}"]
    table += [
        f"{s.model:20} {s.prompts:7d} {s.with_product:6d} "
        f"{100 * s.product_accuracy:7.1f}% {100 * s.intent_accuracy:7.1f}%"
        f"{'' if _reaches(s) else '  missed'}"
        for s in scores
    ]
    return "\n".join(table), all(_reaches(s) for s in scores)


def _reaches(score: HeldoutScore) -> bool:
    bar = INTENT_BAR if score.model == "base" else ADAPTER_INTENT_BAR
    return score.product_accuracy >= PRODUCT_BAR and score.intent_accuracy >= bar
