"""What a row to import says beside its judgment: flags, returns, repeats, adjudications.

Each is a list of objects, as ``personaloop export`` writes them. Touches no database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from db.flags import KINDS
from db.import_values import moment, one_of, strength, verdict
from db.lines import Line
from db.models import Verdict


@dataclass(frozen=True, slots=True)
class FlagRow:
    """What was said to be wrong with the pair, and what was done about it."""

    kind: str
    note: str | None
    created_at: datetime | None
    resolution: str | None
    resolved_by: str | None
    resolved_at: datetime | None
    with_skip: bool = False
    """Whether it came with a skip of the same pair, not with the judgment."""


@dataclass(frozen=True, slots=True)
class ReturnRow:
    """That an admin gave the judgment back to its annotator."""

    note: str
    by: str
    created_at: datetime | None
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class RepeatRow:
    """The same pair shown again, mirrored, and what was answered; None for a skip."""

    verdict: Verdict | None
    strength: int | None
    placement: int
    dwell_ms: int | None
    shown_at: datetime
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """What an adjudicator decided about the pair."""

    verdict: Verdict
    strength: int | None
    by: str
    note: str
    placement: int
    created_at: datetime
    looked_at: bool
    """Whether this judgment stood when it was decided."""


@dataclass(frozen=True, slots=True)
class Beside:
    """All of it."""

    flags: tuple[FlagRow, ...] = ()
    returns: tuple[ReturnRow, ...] = ()
    repeats: tuple[RepeatRow, ...] = ()
    decisions: tuple[DecisionRow, ...] = ()


NOTHING = Beside()


def beside_of(line: Line) -> Beside:
    """What a judgment's row says beside it.

    Raises:
        ImportRefused: A list is malformed; the message names the entry and its field.
    """
    told = Beside(
        flags=flags_of(line),
        returns=tuple(map(_return, _entries(line, "returns"))),
        repeats=tuple(map(_repeat, _entries(line, "repeats"))),
        decisions=tuple(map(_decision, _entries(line, "adjudications"))),
    )
    adjudicated = one_of(line, "adjudicated", tuple(Verdict))
    if adjudicated and (not told.decisions or told.decisions[-1].verdict != adjudicated):
        raise line.refuse(
            "adjudicated", "is not the last of adjudications, which say by whom and when; add it"
        )
    return told if told != NOTHING else NOTHING


def flags_of(line: Line) -> tuple[FlagRow, ...]:
    """The flags that a row tells.

    Raises:
        ImportRefused: The list is malformed.
    """
    return tuple(map(_flag, _entries(line, "flags")))


def _flag(entry: Line) -> FlagRow:
    kind = one_of(entry, "kind", KINDS)
    if kind is None:
        raise entry.refuse("kind", f"is missing; it is one of {', '.join(KINDS)}")
    return FlagRow(
        kind=kind,
        note=entry.optional("note"),
        created_at=moment(entry, "created_at"),
        resolution=entry.optional("resolution"),
        resolved_by=entry.optional("resolved_by", 120),
        resolved_at=moment(entry, "resolved_at"),
        with_skip=bool(entry.row.get("with_skip")),
    )


def _return(entry: Line) -> ReturnRow:
    return ReturnRow(
        note=entry.text("note", ""),
        by=entry.short("by", entry.text("by"), 120),
        created_at=moment(entry, "created_at"),
        answered_at=moment(entry, "answered_at"),
    )


def _repeat(entry: Line) -> RepeatRow:
    said = verdict(entry) if entry.optional("verdict") else None
    return RepeatRow(
        verdict=said,
        strength=strength(entry, said) if said else None,
        placement=_side(entry),
        dwell_ms=entry.integer("dwell_ms", least=0),
        shown_at=_when(entry, "shown_at"),
        answered_at=_when(entry, "answered_at"),
    )


def _decision(entry: Line) -> DecisionRow:
    said = verdict(entry)
    return DecisionRow(
        verdict=said,
        strength=strength(entry, said),
        by=entry.short("by", entry.text("by"), 120),
        note=entry.text("note", ""),
        placement=_side(entry),
        created_at=_when(entry, "created_at"),
        looked_at=bool(entry.row.get("looked_at")),
    )


def _side(entry: Line) -> int:
    placement = entry.integer("placement", (-1, 1))
    if placement is None:
        raise entry.refuse("placement", "is missing; +1 where a was shown first, -1 where b was")
    return placement


def _when(entry: Line, name: str) -> datetime:
    found = moment(entry, name)
    if found is None:
        raise entry.refuse(name, "is missing; give a time such as 2026-01-31T12:00:00Z")
    return found


def _entries(line: Line, name: str) -> Sequence[Line]:
    """The entries of a list of objects as rows of their own, which refuse by their place in it."""
    value: Any = line.json(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise line.refuse(name, "must be a JSON list of objects, as `personaloop export` writes it")
    found: list[Line] = []
    for place, each in enumerate(cast("list[Any]", value)):
        if not isinstance(each, dict):
            raise line.refuse(f"{name}[{place}]", "must be an object of fields")
        found.append(line.inside(f"{name}[{place}]", cast("dict[str, Any]", each)))
    return found
