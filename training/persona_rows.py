"""Writes data/persona_{prompts,training,validation}.jsonl from the corpus's intents.

Knows the fields of those files and which phrasings each may use: training rows and loop prompts
come from training phrasings, validation rows and held-out prompts from held-out ones. Knows
nothing of models.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.corpus import Bank, CorpusError, Intent, load_bank
from training.corpus.conversations import Split, ask, ask_further
from training.corpus.intents import PERSONA_VOICES
from training.corpus.names import fill

Row = dict[str, Any]
FILES = ("persona_prompts.jsonl", "persona_training.jsonl", "persona_validation.jsonl")
MANNERS = ("concise", "steps", "question", "full")
TIERS = ("free", "plus", "premium")
ASKED_JOURNEYS = ("onboarding", "troubleshooting", "upsell", "complaints")
# American, British: only words whose spelling alone differs.
SPELLINGS = (
    ("color", "colour"), ("favorite", "favourite"), ("center", "centre"), ("behavior", "behaviour"),
    ("organize", "organise"), ("customize", "customise"), ("personalize", "personalise"),
    ("apologize", "apologise"), ("recognize", "recognise"), ("authorize", "authorise"),
    ("optimize", "optimise"), ("canceled", "cancelled"), ("canceling", "cancelling"),
    ("traveling", "travelling"), ("gray", "grey"), ("savor", "savour"), ("flavor", "flavour"),
)  # fmt: skip
LOOP_SINGLE, LOOP_MULTI, HELDOUT_SINGLE = 5, 2, 2
TRAINING_SINGLE, TRAINING_MULTI, VALIDATION_SINGLE = 24, 4, 2


def localise(text: str, locale: str) -> str:
    """Spells a text the American (en-US) or British (en-GB) way, keeping capitals."""
    for american, british in SPELLINGS:
        old, new = (american, british) if locale == "en-GB" else (british, american)
        text = re.sub(rf"\b{old}", new, text)
        text = re.sub(rf"\b{old.capitalize()}", new.capitalize(), text)
    return text


def prompt_key(row: Row) -> str:
    """What makes two rows the same prompt: its turns, whatever their case and spacing."""
    turns = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
    return " | ".join(" ".join(turn["content"].split()).casefold() for turn in turns)


class RowWriter:
    """Draws rows that differ from every row drawn before."""

    def __init__(self, bank: Bank, seed: int):
        """Starts the random source; nothing is drawn yet."""
        self.bank = bank
        self.rng = random.Random(seed)
        self.seen: set[str] = set()

    def _fresh(self, draw: Any, what: str) -> Row:
        for _ in range(200):
            row: Row = draw()
            if prompt_key(row) not in self.seen:
                self.seen.add(prompt_key(row))
                return row
        raise CorpusError(f"{what}: too few phrasings for so many different prompts; add some")

    def _facts(self, intent: Intent, persona: str | None, product: str | None) -> Row:
        return {
            "persona": persona,
            "journey": intent.journey,
            "intent": intent.name,
            "locale": self.rng.choice(("en-US", "en-GB")),
            "tier": self.rng.choices(TIERS, (5, 3, 2))[0],
            "product": product,
        }

    def single(
        self, intent: Intent, split: Split, persona: str | None, number: int, strength: float
    ) -> Row:
        """A one-turn row; with a persona it has that persona's answer of manner `number` mod 4."""

        def draw() -> Row:
            text, product = ask(
                intent, self.rng, split=split, strength=strength, allow_generic=False
            )
            facts = self._facts(intent, persona, product)
            row: Row = {"prompt": localise(text, facts["locale"])}
            tags = ["named product" if product else "no product"]
            if persona is not None:
                answers = intent.answers[persona]
                at = number % len(answers)
                answer = fill(answers[at], product, intent.generic)
                row["response"] = localise(answer, facts["locale"])
                tags.append(MANNERS[at % len(MANNERS)])
            return {**row, **facts, "tags": tags}

        return self._fresh(draw, f"{intent.name} ({split})")

    def multi(self, intent: Intent, split: Split, persona: str | None, strength: float) -> Row:
        """A three-turn row: question, answer, next question.

        The next question is one of the intent's follow-ups in training wording, or another intent
        of the same journey in held-out wording (follow-ups have none).
        """
        voice = persona or "neutral"

        def draw() -> Row:
            text, product = ask(
                intent, self.rng, split=split, strength=strength, allow_generic=False
            )
            first = fill(self.rng.choice(intent.answers[voice]), product, intent.generic)
            if split == "training" and intent.followups:
                then = intent
                follow = self.rng.choice(intent.followups)
                asked, answers = ask_further(follow, self.rng, product, strength), follow.answers
            else:
                others = [
                    other
                    for other in self.bank.intents
                    if other.journey == intent.journey and other.name != intent.name
                ]
                then = self.rng.choice(others)
                answers = then.answers
                asked, named = ask(
                    then, self.rng, split=split, strength=strength, product=product,
                    allow_generic=False,
                )  # fmt: skip
                product = named or product
            facts = self._facts(then, persona, product)
            turns = (("user", text), ("assistant", first), ("user", asked))
            row: Row = {
                "messages": [
                    {"role": role, "content": localise(content, facts["locale"])}
                    for role, content in turns
                ]
            }
            if persona is not None:
                answer = fill(self.rng.choice(answers[persona]), product, then.generic)
                row["response"] = localise(answer, facts["locale"])
            tags = ["multi-turn", "named product" if product else "no product"]
            return {**row, **facts, "tags": tags}

        return self._fresh(draw, f"{intent.name} ({split}, multi-turn)")


def rows(bank: Bank, seed: int) -> dict[str, list[Row]]:
    """All three files' rows, the same ones for the same bank and seed.

    Raises:
        CorpusError: too few phrasings, or a prompt that training and validation would share.
    """
    writer = RowWriter(bank, seed)
    asked = [intent for intent in bank.intents if intent.journey in ASKED_JOURNEYS]

    def prompts() -> Iterator[Row]:
        for intent in asked:
            for number in range(LOOP_SINGLE):
                row = writer.single(intent, "training", None, number, 0.2)
                yield {**row, "split": "loop"}
            for _ in range(LOOP_MULTI):
                yield {**writer.multi(intent, "training", None, 0.2), "split": "loop"}
            for number in range(HELDOUT_SINGLE):
                row = writer.single(intent, "heldout", None, number, 0.15)
                yield {**row, "split": "heldout"}
            if writer.rng.random() < 0.4:
                yield {**writer.multi(intent, "heldout", None, 0.15), "split": "heldout"}

    def answered(split: Split, single: int, multi: int, strength: float) -> Iterator[Row]:
        for persona in PERSONA_VOICES:
            for place, intent in enumerate(bank.intents):
                for number in range(single):
                    yield writer.single(intent, split, persona, place + number, strength)
                for _ in range(multi if intent.followups else 0):
                    yield writer.multi(intent, split, persona, strength)

    files = {
        "persona_prompts.jsonl": list(prompts()),
        "persona_validation.jsonl": list(answered("heldout", VALIDATION_SINGLE, 0, 0.4)),
        "persona_training.jsonl": list(answered("training", TRAINING_SINGLE, TRAINING_MULTI, 0.8)),
    }
    trained = {prompt_key(row) for row in files["persona_training.jsonl"]}
    both = trained & {prompt_key(row) for row in files["persona_validation.jsonl"]}
    if both:
        raise CorpusError(f"{sorted(both)[0]!r} would be in training and in validation")
    return files


def write_rows(folder: Path, seed: int, bank: Bank | None = None) -> dict[str, int]:
    """Writes the three files, each whole or not at all; returns their numbers of rows."""
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    for name, lines in rows(bank or load_bank(), seed).items():
        temporary = folder / f".{name}.tmp"
        with temporary.open("w", encoding="utf-8") as file:
            for row in lines:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / name)
        counts[name] = len(lines)
    return counts
