"""Personas: reads templates/personas/*.md and puts their guides before conversations.

Knows front matter, jinja2 and chat templates. Does not know adapters, candidates or the ledger;
imports neither torch nor tinker.

A guide is rendered in a sandbox with strict variables: values are text, never template code, and
names that are missing are all told at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes
import jinja2.sandbox
import yaml

from training.errors import TrainingError

PERSONAS_DIR = Path(__file__).resolve().parents[1] / "templates" / "personas"
BRAND_NAME = "PersonaLoop"
UNNAMED_PRODUCT = "our products"
TONES = ("formality", "warmth", "playfulness", "brevity", "technicality")
ROLES = ("system", "user", "assistant")
MOST_REASONS = 10
"""One key each on the label page."""
LONGEST_REASON = 40
"""Characters."""
Message = dict[str, str]


class PersonaError(TrainingError, ValueError):
    """A persona file or its use breaks a rule; the message names file, field and remedy."""


class MissingVariables(PersonaError, LookupError):
    """A guide names variables that were not given; `names` has all of them."""

    def __init__(self, slug: str, names: Iterable[str]):
        """Keeps the sorted names."""
        self.names = tuple(sorted(names))
        super().__init__(
            f"persona {slug}: missing variables {', '.join(self.names)}; give them all"
        )


@dataclass(frozen=True)
class Persona:
    """A described speaker that conditions generation.

    `tone` maps sliders (0-100) to values; `variables` are the names that the guide uses and that
    have no default in it. `reasons` are what evaluators may tick; without any, the general ones.
    """

    slug: str
    name: str
    summary: str
    tone: Mapping[str, int]
    constraints: tuple[str, ...]
    tags: tuple[str, ...]
    do: tuple[str, ...]
    dont: tuple[str, ...]
    guide: str
    variables: tuple[str, ...] = field(default=())
    reasons: tuple[str, ...] = field(default=())

    def render(self, **variables: object) -> str:
        """Renders the guide.

        Args:
            **variables: values of the guide's variables; they are inserted as text, on one line.

        Raises:
            MissingVariables: naming every variable that was not given.
            PersonaError: a variable that the guide does not know, or a guide that cannot render.
        """
        missing = [name for name in self.variables if name not in variables]
        if missing:
            raise MissingVariables(self.slug, missing)
        known = jinja2.meta.find_undeclared_variables(_environment().parse(self.guide))
        unknown = sorted(set(variables) - known)
        if unknown:
            raise PersonaError(
                f"persona {self.slug}: the guide has no variable {unknown[0]!r}; "
                f"known: {', '.join(sorted(known)) or 'none'}"
            )
        try:
            rendered = (
                _environment()
                .from_string(self.guide)
                .render({name: _inert(value) for name, value in variables.items()})
            )
        except Exception as error:
            raise PersonaError(f"persona {self.slug}: the guide cannot render: {error}") from error
        return rendered.strip()


def _inert(value: object) -> object:
    """Text without line breaks, control characters or chat marks; numbers stay numbers."""
    if isinstance(value, bool | int | float):
        return value
    text = re.sub(r"<\|[^|>]*\|>", " ", str(value))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


@lru_cache(maxsize=1)
def _environment() -> jinja2.sandbox.SandboxedEnvironment:
    return jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=False
    )


def _defaulted(guide: str) -> set[str]:
    """Variables that have a default wherever the guide reads them."""
    tree = _environment().parse(guide)
    filtered = {
        id(node.node)
        for node in tree.find_all(jinja2.nodes.Filter)
        if node.name in ("default", "d")
    }
    names = list(tree.find_all(jinja2.nodes.Name))
    bare = {node.name for node in names if node.ctx == "load" and id(node) not in filtered}
    return {node.name for node in names} - bare


def _strings(raw: Mapping[str, Any], name: str, path: Path) -> tuple[str, ...]:
    value = raw.get(name, [])
    if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
        raise PersonaError(f"{path}: {name} must be a list of texts; quote those with : or #")
    return tuple(value)


def _reasons(raw: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    reasons = _strings(raw, "reasons", path)
    if len(reasons) > MOST_REASONS or len(set(reasons)) < len(reasons):
        raise PersonaError(f"{path}: reasons are at most {MOST_REASONS}, each of them once")
    for reason in reasons:
        if len(reason) > LONGEST_REASON:
            raise PersonaError(
                f"{path}: the reason {reason!r} is longer than {LONGEST_REASON} characters"
            )
    return reasons


def read_persona(path: Path) -> Persona:
    """Reads one persona file.

    Raises:
        PersonaError: no front matter, broken YAML, a missing or unknown field, a slider outside
            0-100, or a guide that is no valid template.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PersonaError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    match = re.match(r"\A---\r?\n(.*?)\r?\n---\r?\n(.*)\Z", text, flags=re.DOTALL)
    if match is None:
        raise PersonaError(f"{path}:1: must start with YAML front matter between two lines of ---")
    try:
        raw = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 2
        raise PersonaError(f"{path}:{line}: front matter is not valid YAML; quote texts") from error
    if not isinstance(raw, dict):
        raise PersonaError(f"{path}:2: front matter must be `field: value` lines")
    fields = ("slug", "name", "summary", "tone", "constraints", "tags", "reasons", "do", "dont")
    unknown = sorted(set(raw) - set(fields))
    if unknown:
        raise PersonaError(f"{path}: unknown field {unknown[0]!r}; known: {', '.join(fields)}")
    for name in ("slug", "name", "summary"):
        if not isinstance(raw.get(name), str) or not raw[name].strip():
            raise PersonaError(f"{path}: {name} is missing; add `{name}: text`")
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,39}", raw["slug"]) or raw["slug"] != path.stem:
        raise PersonaError(f"{path}: slug must be snake_case and equal the file name {path.stem!r}")
    tone = raw.get("tone")
    if not isinstance(tone, dict) or not tone:
        raise PersonaError(f"{path}: tone must map sliders to 0-100, such as formality: 80")
    for slider, value in tone.items():
        if slider not in TONES:
            raise PersonaError(f"{path}: tone has no slider {slider!r}; known: {', '.join(TONES)}")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
            raise PersonaError(f"{path}: tone.{slider} is {value!r}; use a whole number 0-100")
    guide = match[2].strip()
    if not guide:
        raise PersonaError(f"{path}: the guide below the front matter is empty; write it")
    try:
        known = jinja2.meta.find_undeclared_variables(_environment().parse(guide))
        _environment().from_string(guide)
    except jinja2.TemplateSyntaxError as error:
        line = text[: match.start(2)].count("\n") + error.lineno
        raise PersonaError(f"{path}:{line}: the guide is no valid template: {error}") from error
    return Persona(
        slug=raw["slug"],
        name=raw["name"].strip(),
        summary=raw["summary"].strip(),
        tone=MappingProxyType(dict(tone)),
        constraints=_strings(raw, "constraints", path),
        tags=_strings(raw, "tags", path),
        do=_strings(raw, "do", path),
        dont=_strings(raw, "dont", path),
        guide=guide,
        variables=tuple(sorted(known - _defaulted(guide))),
        reasons=_reasons(raw, path),
    )


def load_personas(directory: Path = PERSONAS_DIR) -> dict[str, Persona]:
    """Reads every persona of a folder, by slug in order of file names.

    Raises:
        PersonaError: the folder has no persona, or a file breaks a rule.
    """
    personas = {path.stem: read_persona(path) for path in sorted(directory.glob("*.md"))}
    if not personas:
        raise PersonaError(f"{directory}: no persona files; add one such as formal_concierge.md")
    return personas


def persona_of(slug: str) -> Persona:
    """The shipped or added persona of a slug.

    Raises:
        PersonaError: there is no file of it; the message lists those there are.
    """
    known = load_personas()
    if slug not in known:
        raise PersonaError(
            f"no persona {slug!r}; there are {', '.join(known)} (one file each in {PERSONAS_DIR})"
        )
    return known[slug]


def checked_messages(messages: Sequence[Mapping[str, str]]) -> list[Message]:
    """Copies a conversation after checking that it can be answered.

    Raises:
        PersonaError: no message, an unknown role, an empty text, turns out of order, or a last
            turn that is not the user's.
    """
    copied: list[Message] = []
    for number, message in enumerate(messages, 1):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise PersonaError(f"message {number}: role is {role!r}; use {', '.join(ROLES)}")
        if not isinstance(content, str) or not content.strip():
            raise PersonaError(f"message {number}: content is empty; write what the {role} says")
        if role == "system" and number > 1:
            raise PersonaError(f"message {number}: a system message can only come first")
        if role != "system" and copied and copied[-1]["role"] == role:
            raise PersonaError(f"message {number}: two {role} turns in a row; join them")
        copied.append({"role": role, "content": content})
    if not copied or copied[-1]["role"] != "user":
        raise PersonaError("the last message must be the user's; there is nothing to answer")
    return copied


def conversation(
    persona: Persona, messages: Sequence[Mapping[str, str]], **variables: object
) -> list[Message]:
    """The conversation with the persona's rendered guide as its system message.

    A system message that is already there is kept after the guide.

    Args:
        persona: who answers.
        messages: turns with `role` and `content`, the last from the user.
        **variables: the guide's variables; `brand_name` and `product` have general defaults.
    """
    copied = checked_messages(messages)
    defaults: dict[str, object] = {"brand_name": BRAND_NAME, "product": UNNAMED_PRODUCT}
    known = {name: value for name, value in defaults.items() if name in persona.variables}
    guide = persona.render(**{**known, **variables})
    if copied[0]["role"] == "system":
        guide += "\n\n" + copied.pop(0)["content"]
    return [{"role": "system", "content": guide}, *copied]


def prompt_tokens(
    tokenizer: Any, persona: Persona, messages: Sequence[Mapping[str, str]], **variables: object
) -> list[int]:
    """Token ids of the prompt, through the tokenizer's chat template, ready for a completion.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        persona: who answers.
        messages: turns with `role` and `content`, the last from the user.
        **variables: the guide's variables.

    Returns:
        Token ids, generation prompt included. Chat marks inside messages stay plain text where the
        tokenizer would read them as special tokens.
    """
    turns = plain_turns(tokenizer, persona, messages, **variables)
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True)
    return list(ids["input_ids"] if hasattr(ids, "keys") else ids)


def plain_turns(
    tokenizer: Any, persona: Persona, messages: Sequence[Mapping[str, str]], **variables: object
) -> list[Message]:
    """The conversation with the guide, every chat mark in it made plain text.

    Args:
        tokenizer: whose special tokens are chat marks.
        persona: who answers.
        messages: turns with `role` and `content`, the last from the user.
        **variables: the guide's variables.
    """
    return [
        {"role": turn["role"], "content": _plain(turn["content"], tokenizer)}
        for turn in conversation(persona, messages, **variables)
    ]


def _plain(text: str, tokenizer: Any) -> str:
    """The text with a space inside everything that the tokenizer would read as a special token."""
    text = re.sub(r"<\|([^|>]*)\|>", r"< |\1| >", text)
    for mark in getattr(tokenizer, "all_special_tokens", ()):
        text = text.replace(mark, f"{mark[:1]} {mark[1:]}")
    return text
