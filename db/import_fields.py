"""Which fields of another tool's file are the prompt, the two responses and the answer.

Fields that belong together differ by a mark only (``text1`` and ``text2``, ``answer_a`` and
``answer_b``). Where a file leaves a choice, nothing is guessed: the error names the fields and the
option that chooses. Touches no database.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from db.errors import ImportRefused
from db.import_options import Told
from db.lines import Line
from db.models import Verdict

PROMPTS = ("prompt", "instruction", "question", "query", "input", "messages", "conversation",
           "context", "dialogue", "user")  # fmt: skip
ITEMS = ("item", "model", "adapter", "system", "source", "generator")
MARKS = (("a", "b"), ("1", "2"), ("left", "right"), ("x", "y"), ("first", "second"), ("0", "1"))
TIES = {"tie", "ties", "tied", "draw", "equal", "equally good", "both good", "both are good",
        "same", "the same", "about the same", "no preference"}  # fmt: skip
BAD = {"both bad", "both are bad", "equally bad", "neither", "none", "both_bad"}
_NOUN = r"(?:response|answer|option|text|reply|candidate|completion|model|output|chatbot|side)"
_SIDE = re.compile(
    rf"(?:the )?(?:{_NOUN}[ _-]?)?(?P<side>left|right|a|b|first|second)(?: (?:one|{_NOUN}))?"
    r"(?: (?:is |was )?(?P<much>much |significantly |far |clearly |slightly |a bit |a little )?"
    r"(?:better|preferred|wins|best))?"
)
_NUMBERED = re.compile(
    rf"{_NOUN}[ _-]?(?P<side>1|2)(?: (?:is )?(?P<much>much )?(?:better|preferred|wins))?"
)
_FIRST = {"left", "a", "first", "1"}


@dataclass(frozen=True)
class Chosen:
    """The fields of one file by what they are; None for what it does not have."""

    a: str | None
    b: str | None
    prompt: str | None
    item_a: str | None = None
    item_b: str | None = None
    persona: str | None = None


@dataclass
class Rows:
    """Rows as ``db.import_rows`` reads them, made of another tool's.

    Attributes:
        lines: The rows.
        left_out: How many answers were not taken, by why.
    """

    lines: list[Line] = field(default_factory=list[Line])
    left_out: Counter[str] = field(default_factory=Counter[str])


def choose(line: Line, data: Mapping[str, Any], told: Told, prefix: str = "") -> Chosen:
    """The fields of a file, from what was said and from its first record.

    Args:
        line: The first record.
        data: Its fields.
        told: What was said.
        prefix: What the file's own words put before a field's name, as in ``data.``.

    Raises:
        ImportRefused: A named field is not there, or several could be the responses or the prompt.
    """
    for role, name in told.fields.items():
        if role != "verdict" and name not in data:
            raise line.refuse(f"{prefix}{name}", f"is not there; --field {role}= names it")
    texts = [name for name, value in data.items() if isinstance(value, str | list)]
    a, b = told.fields.get("a"), told.fields.get("b")
    if (a is None) != (b is None):
        raise ImportRefused("name both responses: --field a=NAME --field b=NAME")
    found = [] if a else [pair for pair in pairs_of(texts) if not _of_items(pair[0])]
    if len(found) > 1:
        shown = ", ".join(f"{one} and {other}" for one, other in found)
        raise line.refuse(
            f"{prefix}{found[0][0]}",
            f"several fields come in twos ({shown}); say which with --field a=NAME --field b=NAME",
        )
    if found:
        a, b = found[0]
    items = next((p for p in pairs_of(list(data)) if _of_items(p[0]) and p != (a, b)), None)
    return Chosen(
        a=a,
        b=b,
        prompt=told.fields.get("prompt") or _prompt(texts, {a, b, *(items or ())}),
        item_a=told.fields.get("item_a") or (items[0] if items else None),
        item_b=told.fields.get("item_b") or (items[1] if items else None),
        persona=told.fields.get("persona") or ("persona" if "persona" in data else None),
    )


def pair_fields(
    line: Line, data: Mapping[str, Any], chosen: Chosen, told: Told, prefix: str = ""
) -> dict[str, Any]:
    """A record's prompt, responses and items, under the names that ``db.import_rows`` reads.

    Raises:
        ImportRefused: A response is missing or is not text.
    """
    row: dict[str, Any] = {"batch": told.batch}
    if chosen.a is None or chosen.b is None:
        raise line.refuse(
            prefix.rstrip(".") or "a",
            f"no two fields look like the responses ({', '.join(map(str, data))}); say which with"
            " --field a=NAME --field b=NAME",
        )
    for side, name in (("a", chosen.a), ("b", chosen.b)):
        text = data.get(name)
        if not isinstance(text, str):
            raise line.refuse(f"{prefix}{name}", "must be the text of a response")
        row[f"text_{side}"] = text
    for side, name in (("a", chosen.item_a), ("b", chosen.item_b)):
        given = data.get(name) if name else None
        row[f"item_{side}"] = given or f"{told.batch}: {side.upper()}"
    if chosen.persona and data.get(chosen.persona):
        row["persona"] = data[chosen.persona]
    return row | prompt_fields(line, data, chosen, prefix)


def prompt_fields(
    line: Line, data: Mapping[str, Any], chosen: Chosen, prefix: str = ""
) -> dict[str, Any]:
    """A record's prompt, as text or as messages; nothing where the file has none."""
    value = data.get(chosen.prompt) if chosen.prompt else None
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {"prompt": value}  # text that only looks like a conversation
    if isinstance(value, list):
        turns = cast("list[dict[str, Any]]", value)
        if not all(
            isinstance(cast("Any", turn), dict) and {"role", "content"} <= set(turn)
            for turn in turns
        ):
            raise line.refuse(
                f"{prefix}{chosen.prompt}", "must be text, or turns with role and content"
            )
        return {"messages": [{n: turn[n] for n in ("role", "content")} for turn in turns]}
    return {"prompt": value} if value else {}


def named(line: Line, row: dict[str, Any], chosen: Chosen, prefix: str = "") -> Line:
    """A made row, which refuses under the names that its file has."""
    told = {"prompt": chosen.prompt, "messages": chosen.prompt, "text_a": chosen.a,
            "text_b": chosen.b, "item_a": chosen.item_a, "item_b": chosen.item_b,
            "persona": chosen.persona}  # fmt: skip
    names = {role: f"{prefix}{name}" for role, name in told.items() if name}
    return Line(line.file, line.number, row, line.kind, names)


def pairs_of(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names that differ by a mark at their end or beginning only, the first side first."""
    known = list(names)
    lower = {name.lower(): name for name in known}
    found: list[tuple[str, str]] = []
    for name in known:
        for one, other in MARKS:
            for pattern, swap in (
                (rf"(.*?[ _.-]?){one}", r"\g<1>" + other),
                (rf"{one}([ _.-].*)", other + r"\g<1>"),
            ):
                if re.fullmatch(pattern, name.lower()):
                    partner = lower.get(re.sub(f"^{pattern}$", swap, name.lower()))
                    if partner and (name, partner) not in found:
                        found.append((name, partner))
    return found


def verdict_of(words: str, a: str | None, b: str | None) -> tuple[Verdict, int | None] | None:
    """What an answer in words says: verdict and strength, or None for no such answer.

    Args:
        words: The answer, such as ``left``, ``Tie``, ``B is much better`` or a response's field.
        a: The field of the first response.
        b: That of the second.
    """
    said = " ".join(words.lower().split()).rstrip(".!")
    for name, verdict in ((a, Verdict.A), (b, Verdict.B)):
        if name and said == name.lower():
            return verdict, 1
    if said in BAD:
        return Verdict.BOTH_BAD, None
    if said in TIES:
        return Verdict.TIE, None
    found = _SIDE.fullmatch(said) or _NUMBERED.fullmatch(said)
    if found is None:
        return None
    much = (found["much"] or "").strip() in {"much", "significantly", "far", "clearly"}
    return (Verdict.A if found["side"] in _FIRST else Verdict.B), 2 if much else 1


def _prompt(texts: list[str], others: set[str | None]) -> str | None:
    """The usual name of a prompt, or the only text that is left."""
    left = [name for name in texts if name not in others]
    lower = {name.lower(): name for name in left}
    usual = next((lower[name] for name in PROMPTS if name in lower), None)
    return usual or (left[0] if len(left) == 1 else None)


def _of_items(name: str) -> bool:
    """Whether a field tells who wrote a response, not the response."""
    words = set(re.split(r"[ _.-]|\d", name.lower()))
    return bool(words & set(ITEMS)) and not words & {"response", "answer", "text", "output"}
