"""What the answer panel sends and hears. Knows neither streamlit nor the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotate_app.words import plain

TAGS = (
    "Answers the question",
    "Better tone",
    "More in character",
    "Clearer",
    "Right length",
    "Made something up",
    "Missed the point",
    "Pushy or cold",
)
MOST_REASONS = 10
FLAGS = ("personal data", "unsafe", "broken")
SKIP_REASONS = ("I don't know this language", "I know too little about it", "I'd rather not say")


@dataclass(frozen=True)
class Status:
    """What became of one answer.

    Attributes:
        answer: The answer's own id, as the panel gave it.
        kind: ``saved``; ``note`` (nothing more to do); ``retry`` (not saved, will be sent again).
        words: For the person.
    """

    answer: str
    kind: str
    words: str


@dataclass(frozen=True)
class Answer:
    """What a person did on the panel.

    Attributes:
        id: Random, one an answer; a repeat has the same.
        token: The assignment that was on screen.
        act: ``judge``, ``skip`` or ``undo``.
        verdict: In shown order, for ``judge``.
        strength: 1 or 2, for a and b.
        reason: For ``skip``.
        details: tags, comment, in_character, helpful, safe, flag; only what was given.
    """

    id: str
    token: str
    act: str
    verdict: str | None = None
    strength: int | None = None
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def reasons_of(front_matter: Mapping[str, Any]) -> tuple[str, ...]:
    """The reasons that a persona's front matter lists; the general ones where it lists none."""
    listed = front_matter.get("reasons")
    if not isinstance(listed, list):
        return TAGS
    own = [plain(each).strip() for each in listed if isinstance(each, str)]
    return tuple(dict.fromkeys(each for each in own if each))[:MOST_REASONS] or TAGS


def token_in(value: Any) -> str:
    """The assignment's token in what the browser sent; empty where there is none."""
    return str(value.get("token", ""))[:64] if isinstance(value, dict) else ""


def read_answer(value: Any, reasons: Sequence[str] = TAGS) -> Answer | None:
    """An answer as the browser sent it; None where it is not one (anybody can send anything).

    Args:
        value: From the browser.
        reasons: The tags that may be given for this pair; others are dropped.
    """
    if not isinstance(value, dict) or value.get("act") not in ("judge", "skip", "undo"):
        return None
    strength = value.get("strength")
    details: dict[str, Any] = {}
    given = value.get("details")
    given = given if isinstance(given, dict) else {}
    tags = given.get("tags")
    if isinstance(tags, list):
        details["tags"] = [tag for tag in reasons if tag in tags]
    for name in ("in_character", "helpful", "safe"):
        if given.get(name) in ("yes", "no", "unsure"):
            details[name] = given[name]
    if given.get("flag") in FLAGS:
        details["flag"] = given["flag"]
    comment = given.get("comment")
    if isinstance(comment, str) and comment.strip():
        details["comment"] = plain(comment).strip()[:4000]
    return Answer(
        id=str(value.get("id", ""))[:64],
        token=str(value.get("token", ""))[:64],
        act=value["act"],
        verdict=str(value["verdict"]) if value.get("verdict") else None,
        strength=strength if strength in (1, 2) else None,
        reason=str(value.get("reason", ""))[:200],
        details=details,
    )
