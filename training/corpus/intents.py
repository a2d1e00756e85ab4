"""Reads and checks the intent files: what customers ask, and what each voice answers.

Knows the YAML format of `training/corpus/intents/<journey>.yaml` and its rules. Does not know how
turns are varied (augment.py) or joined into conversations (conversations.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from training.errors import TrainingError

INTENTS_DIR = Path(__file__).resolve().parent / "intents"
JOURNEYS = ("onboarding", "troubleshooting", "upsell", "complaints", "general")
PERSONA_VOICES = (
    "formal_concierge",
    "playful_sidekick",
    "luxury_curator",
    "technical_advisor",
)
VOICES = ("neutral", *PERSONA_VOICES)
SLOT = "{product}"
MORE = "more.yaml"
MINIMUM_PHRASINGS = 20
MINIMUM_HELDOUT = 4


class CorpusError(TrainingError, ValueError):
    """An intent file breaks a rule; the message names file, intent, field and remedy."""


@dataclass(frozen=True)
class Followup:
    """The customer's next turn after an answer, and each voice's answers to it."""

    phrasings: tuple[str, ...]
    answers: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Intent:
    """One thing that customers ask for.

    `generic` fills the product slot of answers where the customer named no product;
    `heldout` phrasings are for measuring and never enter training. Small talk has
    `product_in_answers` false: its answers name no product.
    """

    name: str
    journey: str
    generic: str
    phrasings: tuple[str, ...]
    heldout: tuple[str, ...]
    answers: Mapping[str, tuple[str, ...]]
    followups: tuple[Followup, ...]
    product_in_answers: bool = True


@dataclass(frozen=True)
class Bank:
    """All intents, in file and then written order."""

    intents: tuple[Intent, ...]

    def by_name(self, name: str) -> Intent:
        """Returns one intent; raises `CorpusError` naming the known ones when there is none."""
        for intent in self.intents:
            if intent.name == name:
                return intent
        known = ", ".join(intent.name for intent in self.intents)
        raise CorpusError(f"no intent {name!r}; known: {known}")


def _fail(where: str, what: str) -> CorpusError:
    return CorpusError(f"{where}: {what}")


def _texts(value: Any, where: str, minimum: int) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _fail(where, f"must be a list of strings, not {type(value).__name__}")
    texts: list[str] = []
    for number, text in enumerate(value, 1):
        if not isinstance(text, str) or not text.strip():
            raise _fail(where, f"item {number} must be a non-empty string, got {text!r}; quote it")
        text = " ".join(text.split())
        slots = set(re.findall(r"\{[^}]*\}?", text))
        if slots - {SLOT}:
            raise _fail(where, f"item {number} has {sorted(slots - {SLOT})[0]}; use only {SLOT}")
        if text not in texts:
            texts.append(text)
    if len(texts) < minimum:
        raise _fail(where, f"has {len(texts)} different strings, wants {minimum} or more")
    return tuple(texts)


def _answers(value: Any, where: str, neutral: int, persona: int) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise _fail(where, f"must map voices to lists, with {', '.join(VOICES)}")
    unknown = sorted(set(value) - set(VOICES))
    if unknown:
        raise _fail(where, f"unknown voice {unknown[0]!r}; use {', '.join(VOICES)}")
    return {
        voice: _texts(
            value.get(voice), f"{where}.{voice}", neutral if voice == "neutral" else persona
        )
        for voice in VOICES
    }


def _intent(raw: Any, where: str, journey: str) -> Intent:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("intent"), str):
        raise _fail(where, "every item needs `intent: a_snake_case_name`")
    name = raw["intent"]
    where = f"{where} ({name})"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise _fail(where, "intent names are snake_case: small letters, digits and _")
    fields = {"intent", "journey", "generic", "phrasings", "heldout", "answers", "followups"}
    fields |= {"product_in_answers"}
    unknown = sorted(set(raw) - fields)
    if unknown:
        raise _fail(where, f"unknown field {unknown[0]!r}; known: {', '.join(sorted(fields))}")
    if raw.get("journey") != journey:
        raise _fail(where, f"journey is {raw.get('journey')!r}, this file holds {journey!r}")
    generic = raw.get("generic")
    if not isinstance(generic, str) or not generic.strip():
        raise _fail(where, "generic must be a noun phrase such as 'your account'")
    phrasings = _texts(raw.get("phrasings"), f"{where}.phrasings", MINIMUM_PHRASINGS)
    heldout = _texts(raw.get("heldout"), f"{where}.heldout", MINIMUM_HELDOUT)
    both = {text.casefold() for text in phrasings} & {text.casefold() for text in heldout}
    if both:
        raise _fail(where, f"{sorted(both)[0]!r} is in phrasings and in heldout; keep one")
    followups = tuple(
        Followup(
            _texts(follow.get("phrasings"), f"{where}.followups[{number}].phrasings", 2),
            _answers(follow.get("answers"), f"{where}.followups[{number}].answers", 1, 1),
        )
        for number, follow in enumerate(raw.get("followups") or [], 1)
    )
    answers = _answers(raw.get("answers"), f"{where}.answers", 2, 3)
    named = raw.get("product_in_answers", True)
    if not isinstance(named, bool):
        raise _fail(where, f"product_in_answers is true or false, not {named!r}")
    for voice, texts in answers.items():
        bare = [text for text in texts if SLOT not in text]
        if named and bare:
            raise _fail(where, f"answers.{voice}: {bare[0]!r} lacks {SLOT}; add it")
    return Intent(name, journey, generic.strip(), phrasings, heldout, answers, followups, named)


def _with_more(intents: list[Intent], path: Path) -> list[Intent]:
    """Adds the phrasings of `more.yaml`, {intent: [phrasings]}, where the file is there."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not isinstance(raw, dict):
        raise CorpusError(f"{path}: must map intents to lists of phrasings")
    unknown = sorted(set(raw) - {intent.name for intent in intents})
    if unknown:
        raise CorpusError(f"{path}: no intent {unknown[0]!r} in the journeys' files")
    grown: list[Intent] = []
    for intent in intents:
        extra = (
            _texts(raw[intent.name], f"{path.name}: {intent.name}", 1) if intent.name in raw else ()
        )
        held = {text.casefold() for text in intent.heldout}
        both = [text for text in extra if text.casefold() in held]
        if both:
            raise CorpusError(f"{path.name}: {both[0]!r} is held out in {intent.name}; remove it")
        phrasings = tuple(dict.fromkeys((*intent.phrasings, *extra)))
        grown.append(replace(intent, phrasings=phrasings))
    return grown


def load_bank(directory: Path = INTENTS_DIR) -> Bank:
    """Loads every `<journey>.yaml` of a folder.

    Args:
        directory: folder with one file a journey, absent journeys are skipped; and with
            `more.yaml`, further phrasings by intent, where there are any.

    Raises:
        CorpusError: no file, broken YAML, a broken rule, or one intent named twice.
    """
    intents: list[Intent] = []
    for journey in JOURNEYS:
        path = directory / f"{journey}.yaml"
        if not path.exists():
            continue
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
            raise CorpusError(
                f"{path}:{line}: not valid YAML; quote strings with : or #"
            ) from error
        if not isinstance(raw, list):
            raise CorpusError(f"{path}: must be a list of intents (`- intent: …`)")
        for number, item in enumerate(raw, 1):
            intent = _intent(item, f"{path.name} item {number}", journey)
            if any(other.name == intent.name for other in intents):
                raise CorpusError(
                    f"{path.name} item {number}: intent {intent.name!r} is there twice"
                )
            intents.append(intent)
    intents = _with_more(intents, directory / MORE)
    if not intents:
        raise CorpusError(f"{directory}: no intent files; wants {', '.join(JOURNEYS)}.yaml")
    return Bank(tuple(intents))
