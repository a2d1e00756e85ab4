"""Streams seeded conversations: one or more intents, follow-ups, thanks, in one voice each.

Knows how turns follow each other and which product name is in force. Does not know tokens.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from training.corpus import augment
from training.corpus.intents import PERSONA_VOICES, SLOT, Bank, Followup, Intent
from training.corpus.names import fill, product_name

Split = Literal["training", "heldout"]
NEUTRAL_SHARE = 0.52
CLOSING_WORDS = ("thank", "bye", "closing")
# A greeting with "I have a question" before it would be another intent.
UNSURROUNDED = frozenset({"greeting", "thanks", "goodbye"})


@dataclass(frozen=True)
class Turn:
    """One message; `intent` is the intent that it asks for or answers."""

    role: Literal["user", "assistant"]
    content: str
    intent: str


@dataclass(frozen=True)
class Conversation:
    """Alternating turns, first the customer's; `product` as typed, or None where none was named."""

    turns: tuple[Turn, ...]
    voice: str
    product: str | None


def is_closing(intent: Intent) -> bool:
    """Whether an intent closes conversations: thanks and goodbyes."""
    return any(word in intent.name for word in CLOSING_WORDS)


def _mine(generic: str) -> str:
    return generic.replace("your ", "my ") if generic.startswith("your ") else generic


def _name_generic(text: str, phrase: str) -> str:
    """Fills the slot by a phrase, without a second article: "my {product}" becomes "the app"."""
    return re.sub(r"(\b(my|the|a|our|your) )?\{product\}", phrase, text, flags=re.IGNORECASE)


def ask(
    intent: Intent,
    rng: random.Random,
    *,
    split: Split = "training",
    strength: float = 1.0,
    product: str | None = None,
    allow_generic: bool = True,
    dropping: float = 0.0,
) -> tuple[str, str | None]:
    """One customer turn for an intent.

    Args:
        intent: what is asked.
        rng: the source of all randomness.
        split: which phrasings to draw from.
        strength: how much the wording is varied, 0 to 1.
        product: the name already in force in the conversation, or None to invent one.
        allow_generic: whether a slot may be filled by "my account" instead of a name.
        dropping: how often a quarter of the words is lost.

    Returns:
        (text, the product named in it or None).
    """
    texts = intent.phrasings if split == "training" else intent.heldout
    text = rng.choice(texts)
    if strength and len(texts) > 1 and rng.random() < 0.15:
        other = rng.choice(texts)
        if not (SLOT in other and SLOT in text):
            text = text.rstrip(".!?,") + rng.choice((". ", ", ", "! ", " - ", "? ")) + other
    if SLOT not in text and strength and intent.product_in_answers and rng.random() < 0.22:
        text = augment.mention(text, rng)
    text = augment.vary(
        text, rng, strength, surrounded=intent.name not in UNSURROUNDED, dropping=dropping
    )
    if SLOT not in text:
        return text, None
    if strength and allow_generic and rng.random() < 0.1:
        return _name_generic(text, _mine(intent.generic)), None
    name = product or product_name(rng)
    return text.replace(SLOT, name), name


def ask_further(follow: Followup, rng: random.Random, product: str | None, strength: float) -> str:
    """One follow-up turn of the customer; the slot takes the name in force, or "it"."""
    text = augment.vary(rng.choice(follow.phrasings), rng, strength * 0.8)
    return _name_generic(text, "it") if product is None else text.replace(SLOT, product)


def _often(intents: list[Intent]) -> list[float]:
    """How often each intent is asked: those with more phrasings more, by the root."""
    return [len(intent.phrasings) ** 0.5 for intent in intents]


def questions(
    bank: Bank, seed: int, *, strength: float = 1.0, dropping: float = 0.0
) -> Iterator[Conversation]:
    """Streams first turns alone, without end: what is asked, before anyone answers.

    Args:
        bank: the intents.
        seed: starts the random source.
        strength: how much the wording is varied.
        dropping: how often a quarter of the words is lost.
    """
    rng = random.Random(seed)
    intents = list(bank.intents)
    weights = _often(intents)
    while True:
        intent = rng.choices(intents, weights)[0]
        text, product = ask(intent, rng, strength=strength, dropping=dropping)
        yield Conversation((Turn("user", text, intent.name),), "neutral", product)


def conversations(
    bank: Bank,
    seed: int,
    *,
    split: Split = "training",
    strength: float = 1.0,
    voices: tuple[str, ...] = PERSONA_VOICES,
    neutral_share: float = NEUTRAL_SHARE,
    dropping: float = 0.0,
) -> Iterator[Conversation]:
    """Streams conversations without end, the same ones for the same bank, seed and options.

    The product named last is the one that later answers name; an answer before any name takes the
    intent's generic phrase.

    Args:
        bank: the intents.
        seed: starts the random source.
        split: which phrasings customers use.
        strength: how much their wording is varied, 0 to 1.
        voices: the voices that share what is not neutral.
        neutral_share: part of the conversations answered in the neutral voice.
        dropping: how often a question loses a quarter of its words.
    """
    rng = random.Random(seed)
    intents = list(bank.intents)
    closings = [intent for intent in bank.intents if is_closing(intent)]
    askable = [intent for intent in bank.intents if not is_closing(intent)] or intents
    weights = _often(intents)
    while True:
        voice = "neutral" if rng.random() < neutral_share else rng.choice(voices)
        turns: list[Turn] = []
        product: str | None = None

        def answer(intent: Intent, texts: tuple[str, ...], product: str | None) -> None:
            content = fill(rng.choice(texts), product, intent.generic)
            turns.append(Turn("assistant", content, intent.name))  # noqa: B023

        first = rng.choices(intents, weights)[0]
        questions = 2 if rng.random() < 0.15 else 1
        for number in range(questions):
            intent = first if number == 0 else rng.choice(askable)
            text, named = ask(
                intent,
                rng,
                split=split,
                strength=strength,
                product=product if number else None,
                dropping=dropping,
            )
            product = named or product
            turns.append(Turn("user", text, intent.name))
            answer(intent, intent.answers[voice], product)
            if intent.followups and rng.random() < 0.25:
                follow = rng.choice(intent.followups)
                turns.append(Turn("user", ask_further(follow, rng, product, strength), intent.name))
                answer(intent, follow.answers[voice], product)
        if closings and not is_closing(first) and rng.random() < 0.06:
            closing = rng.choice(closings)
            text, _ = ask(closing, rng, split=split, strength=strength, product=product)
            turns.append(Turn("user", text, closing.name))
            answer(closing, closing.answers[voice], product)
        yield Conversation(tuple(turns), voice, product)
