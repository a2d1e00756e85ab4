"""The pair that a row to import tells: two candidates, their prompt and persona, their batch.

Touches no database.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, cast

from db.errors import ImportRefused, Refused
from db.import_values import choice, one_of, verdict
from db.lines import Line
from db.models import AdapterKind, BatchKind, Verdict
from db.prompts import canonical_json, check_messages, messages_sha256

STRATEGIES = ("listed", "informative", "random")
NOT_OF_PAIRS = frozenset(
    {
        *("verdict", "strength", "annotator", "annotator_kind", "placement", "weight", "comment"),
        *("tags", "in_character", "helpful", "safe", "flag", "dwell_ms", "created_at", "source"),
        *("leased_at", "shown_at", "attempt", "guideline_version", "judgment", "replaces", "id"),
        *("retracted", "retracted_at", "external_id", "adjudicated", "adjudications", "returns"),
        *("flags", "repeats", "trained", "skip", "reason"),
    }
)
"""What rows of judgments and skips say of themselves; whatever else they say may tell the pair."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Side:
    """One candidate of a pair; an empty text is one that the file does not tell."""

    adapter: str
    kind: AdapterKind = field(default=AdapterKind.EXTERNAL, compare=False)
    text: str = ""
    seed: int | None = None
    source: str = "imported"
    stop_reason: str | None = None
    sampling: str = "{}"
    """As canonical JSON, so that sides can be compared."""
    author: str | None = field(default=None, compare=False)
    """The person who wrote it, where one did: it is never asked of them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair as a file tells it, ``a`` and ``b`` in the file's order.

    ``prompt`` is the identity of the conversation: its hash where ``messages`` are known, else one
    made from the batch and the file's own name of it.
    """

    batch: str
    batch_kind: BatchKind
    pair_id: str | None
    persona: str | None
    persona_name: str | None
    prompt: str
    messages: str
    """As JSON; ``[]`` where the file does not tell them."""
    prompt_split: str
    prompt_source: str
    a: Side
    b: Side
    round_number: int | None = None
    gold: Verdict | None = None
    purpose: str = "work"
    """``gold`` where the batch's pairs are mixed into others and left out of results."""
    strategy: str = "listed"
    """In which order the batch's pairs were asked."""
    line: Line | None = field(default=None, compare=False, hash=False)

    def refuse(self, name: str, what: str) -> ImportRefused:
        """The error for a field of the row that told this pair."""
        return self.line.refuse(name, what) if self.line else ImportRefused(f"{name}: {what}")


def derived_token(*parts: object) -> str:
    """An assignment token that the same foreign row gets every time it is imported."""
    text = json.dumps(["import", *parts], ensure_ascii=False)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class PairsOfRows:
    """The pairs that the rows of a file tell, each kept once however many rows tell it."""

    def __init__(
        self, batch: str, kind: BatchKind, persona: str | None = None, *, texts: bool = False
    ) -> None:
        """Say what holds for rows that do not say it.

        Args:
            batch: The batch.
            kind: Its kind.
            persona: Slug of the persona.
            texts: Whether every row must tell both texts.
        """
        self._batch, self._kind, self._persona, self._texts = batch, kind, persona, texts
        self._rows: dict[bytes, Pair] = {}
        self._pairs: dict[Pair, Pair] = {}

    def of(self, line: Line) -> Pair:
        """The pair of a row, as it was told first.

        Raises:
            ImportRefused: The row is malformed, or a text has another author now.
        """
        told = [each for each in line.row.items() if self._texts or each[0] not in NOT_OF_PAIRS]
        key = hashlib.blake2b(repr(told).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key not in self._rows:
            pair = pair_of(line, self._batch, self._kind, self._persona, texts=self._texts)
            self._rows[key] = self._once(pair)
        return self._rows[key]

    def _once(self, pair: Pair) -> Pair:
        first = self._pairs.setdefault(pair, pair)
        for name, here, there in (
            ("author_a", pair.a.author, first.a.author),
            ("author_b", pair.b.author, first.b.author),
        ):
            if here != there:
                where = f" on {first.line.kind} {first.line.number}" if first.line else ""
                raise pair.refuse(name, f"is {here!r}, but {there!r}{where}; make them the same")
        return first


def pair_of(line: Line, batch: str, kind: BatchKind, persona: str | None, *, texts: bool) -> Pair:
    """The pair of a row; ``texts`` says whether it must tell them.

    Raises:
        ImportRefused: The row is malformed.
    """
    name = line.short("batch", line.text("batch", batch), 160)
    found = choice(line, "batch_kind", BatchKind, kind)
    text_a = _first_text(line, ("text_a", "response_a"), required=texts)
    text_b = _first_text(line, ("text_b", "response_b"), required=texts)
    label = line.text("prompt", "")
    messages: Any = line.json("messages") or []
    told = texts or (text_a and text_b and not _SHA256.fullmatch(label))
    if not messages and told and label:
        messages = [{"role": "user", "content": label}]
    if messages:
        try:
            messages = check_messages(messages)
        except Refused as error:
            raise line.refuse("messages", str(error).removeprefix("messages: ")) from None
        prompt = messages_sha256(messages)
    elif texts:
        raise line.refuse("prompt", "is missing; give the prompt's text, or messages")
    else:
        prompt = label if _SHA256.fullmatch(label) else placeholder(name, label)
    split = line.text("prompt_split", "imported")
    if split not in {"loop", "heldout", "imported"}:
        raise line.refuse("prompt_split", f"{split!r} is not loop, heldout or imported")
    slug = line.text("persona", persona or "") or None
    if slug and (not _SLUG.fullmatch(slug) or ".." in slug):
        raise line.refuse("persona", f"{slug!r} is no slug; use letters, digits, '.', '_' and '-'")
    return Pair(
        batch=name,
        batch_kind=found,
        purpose=one_of(line, "batch_purpose", ("work", "gold")) or "work",
        pair_id=line.optional("comparison_external_id", 160)
        or (line.optional("id", 160) or line.optional("external_id", 160) if texts else None),
        persona=line.short("persona", slug, 64) if slug else None,
        persona_name=line.optional("persona_name"),
        prompt=prompt,
        messages=json.dumps(messages, ensure_ascii=False),
        prompt_split=split,
        round_number=line.integer("round", least=1) if line.optional("batch_kind") else None,
        prompt_source=line.given("prompt_source", f"import {line.file.name}: {label}"[:120]),
        a=_side(line, "a", text_a, name, required=not texts),
        b=_side(line, "b", text_b, name, required=not texts),
        gold=verdict(line, "gold") if line.optional("gold") else None,
        strategy=one_of(line, "batch_strategy", STRATEGIES) or "listed",
        line=line.without_row(),
    )


def _side(line: Line, which: str, text: str, batch: str, *, required: bool) -> Side:
    name = line.text(f"item_{which}", None if required else f"{batch}: {which.upper()}")
    sampling: Any = line.json(f"sampling_{which}") or {}
    if not isinstance(sampling, dict):
        raise line.refuse(f"sampling_{which}", "must be a JSON object")
    return Side(
        adapter=line.short(f"item_{which}", name, 160),
        kind=choice(line, f"kind_{which}", AdapterKind, AdapterKind.EXTERNAL),
        text=text,
        seed=line.integer(f"seed_{which}"),
        source=line.short(f"source_{which}", line.given(f"source_{which}", "imported"), 120),
        stop_reason=line.optional(f"stop_reason_{which}", 16),
        sampling=canonical_json(cast("dict[str, Any]", sampling)),
        author=line.optional(f"author_{which}", 120),
    )


def placeholder(batch: str, label: str) -> str:
    """The identity of a conversation of which only a name is known, within one batch."""
    return hashlib.sha256(canonical_json({"batch": batch, "prompt": label}).encode()).hexdigest()


def _first_text(line: Line, names: tuple[str, ...], *, required: bool) -> str:
    for name in names:
        if name in line.row:
            return line.text(name, "")
    if required:
        raise line.refuse(names[0], f"is missing; give the text as {' or '.join(names)}")
    return ""
