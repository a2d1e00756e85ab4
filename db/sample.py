"""Loads what ships with the project: personas, prompts, adapters, practice. Generates nothing.

Reads templates/personas/*.md, data/persona_prompts.jsonl, data/adapters/*/*/adapter.json,
data/practice.yaml and the first guidelines. What the ledger has already is left as it is, so that
it can run at every start.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from sqlalchemy.orm import Session

from db import adapters, guidelines, personas, practice, prompts
from db.errors import LedgerError, NotFound, Refused
from db.settings import REPOSITORY

WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Loaded:
    """How much of the shipped material the ledger has now.

    Attributes:
        personas: Personas.
        prompts: Prompts of the shipped file.
        adapters: Shipped adapters.
        practice: Pairs to practise on.
    """

    personas: int
    prompts: int
    adapters: int
    practice: int = 0


def load_sample(session: Session, root: Path = REPOSITORY) -> Loaded:
    """Load what ships; an adapter answers where none answered before.

    Raises:
        LedgerError: A file is malformed; the message names file, line and field.
    """
    n_personas = load_personas(session, root / "templates" / "personas")
    n_prompts = load_prompts(session, root / "data" / "persona_prompts.jsonl")
    n_adapters = load_adapters(session, root / "data" / "adapters")
    n_practice = practice.load_first(session, root / "data" / "practice.yaml")
    guidelines.load_first(session, root / "annotate_app" / "guidelines.md")
    return Loaded(n_personas, n_prompts, n_adapters, n_practice)


def load_personas(session: Session, folder: Path) -> int:
    """Put every ``<folder>/*.md`` (YAML front matter, then the guide) into the ledger.

    Raises:
        LedgerError: A file has no front matter, or a field is missing.
    """
    found = 0
    for path in sorted(folder.glob("*.md")):
        raw = path.read_bytes()
        front = _front_matter(path, raw.decode("utf-8"))
        slug = str(front.get("slug") or path.stem)
        personas.put_persona(
            session,
            slug=slug,
            name=str(front.get("name") or slug),
            summary=str(front.get("summary") or ""),
            template_sha256=hashlib.sha256(raw).hexdigest(),
            front_matter=front,
        )
        found += 1
    return found


def load_prompts(session: Session, path: Path) -> int:
    """Put every row of a prompts file (``prompt`` or ``messages`` a line) into the ledger.

    Raises:
        LedgerError: A line is malformed; the message names file, line and field.
    """
    if not path.is_file():
        return 0
    found = 0
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                put_prompt_row(session, row)
            except (ValueError, Refused) as error:
                raise LedgerError(f"{path}: line {number}: {error}") from None
            found += 1
    return found


def put_prompt_row(session: Session, row: dict[str, Any], source: str = "shipped") -> None:
    """Put one row with ``prompt`` (text) or ``messages``, and what describes it.

    Raises:
        Refused: A field is missing or not usable.
    """
    messages = row.get("messages")
    if not messages:
        text = row.get("prompt")
        if not isinstance(text, str) or not text.strip():
            raise Refused('field prompt: give "prompt": TEXT or "messages": […]')
        messages = [{"role": "user", "content": text}]
    tags: Any = row.get("tags") or []
    if not isinstance(tags, list):
        raise Refused("field tags: must be a list of words")
    prompts.put_prompt(
        session,
        messages,
        split=str(row.get("split") or "loop"),
        source=str(row.get("source") or source),
        journey=row.get("journey"),
        intent=row.get("intent"),
        locale=row.get("locale"),
        tier=row.get("tier"),
        tags=[str(tag) for tag in cast("list[Any]", tags)],
    )


def load_adapters(session: Session, root: Path) -> int:
    """Register ``<root>/<persona>/<adapter>/adapter.json``; promote where nothing answers yet.

    Raises:
        LedgerError: A card is malformed.
    """
    known = {persona.slug for persona in personas.all_personas(session)}
    found = 0
    for card_path in sorted(root.glob("*/*/adapter.json")):
        card = _card(card_path)
        slug = card.get("persona") or card_path.parent.parent.name
        if slug not in known:
            continue
        adapters.put_adapter(
            session,
            id=card["id"],
            kind=card.get("kind") or "sft",
            persona=slug,
            base_model=str(card.get("base_model") or ""),
            base_model_sha256=str(card.get("base_model_sha256") or ""),
            path=_portable(card_path.parent),
            sha256=str(cast("dict[str, str]", card.get("files") or {}).get(WEIGHTS, "")),
            parents=card.get("parents") or [],
            metrics=card.get("metrics") or {},
            config=card.get("config") or {},
        )
        found += 1
        try:
            adapters.incumbent(session, slug)
        except NotFound:
            adapters.promote(session, slug, card["id"], reason="shipped", actor="init")
    return found


def _front_matter(path: Path, text: str) -> dict[str, Any]:
    parts = text.split("---", 2)
    if len(parts) < 3 or parts[0].strip():
        raise LedgerError(f"{path}: line 1: must begin with YAML front matter between --- lines")
    try:
        front = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise LedgerError(f"{path}: front matter: {' '.join(str(error).split())}") from None
    if not isinstance(front, dict):
        raise LedgerError(f"{path}: front matter: must be fields such as `name: …`")
    return cast("dict[str, Any]", front)


def _card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LedgerError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(card, dict) or not isinstance(cast("Any", card).get("id"), str):
        raise LedgerError(f"{path}: field id: must be the adapter's name")
    return cast("dict[str, Any]", card)


def _portable(folder: Path) -> str:
    resolved = folder.resolve()
    return str(resolved.relative_to(REPOSITORY) if resolved.is_relative_to(REPOSITORY) else folder)
