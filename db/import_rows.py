"""What a row to import says: a judgment of a pair, or that somebody skipped it.

Reads the project's own exports, and anybody's table with ``item_a, item_b, verdict``. Touches no
database.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from db.import_beside import Beside, FlagRow, beside_of, flags_of
from db.import_pair_rows import Pair, PairsOfRows, derived_token
from db.import_values import choice, moment, one_of, strength, verdict
from db.labeling import ANSWERS
from db.lines import Line
from db.models import AnnotatorKind, Verdict

_UNANSWERED: Mapping[str, str | None] = {}
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Judged:
    """One judgment as a file tells it, in the order of its pair."""

    pair: Pair
    line: Line
    token: str
    verdict: Verdict
    strength: int | None
    placement: int
    weight: float
    annotator: str
    annotator_kind: AnnotatorKind
    created_at: datetime | None
    source: str
    external_id: str | None
    dwell_ms: int | None
    comment: str | None
    tags: list[Any]
    answers: Mapping[str, str | None]
    flag: str | None
    retracted: str | None
    retracted_at: datetime | None
    leased_at: datetime | None = None
    shown_at: datetime | None = None
    attempt: int | None = None
    guideline_version: int | None = None
    beside: Beside = field(default_factory=Beside)


@dataclass(frozen=True, slots=True)
class Skipped:
    """One skip as a file tells it, in the order of its pair."""

    pair: Pair
    line: Line
    token: str
    placement: int
    annotator: str
    annotator_kind: AnnotatorKind
    reason: str | None
    leased_at: datetime | None
    shown_at: datetime | None
    attempt: int | None
    flags: tuple[FlagRow, ...]


def judged_of(
    line: Line,
    pairs: PairsOfRows,
    annotator: str | None,
    kind: AnnotatorKind,
    seen: Counter[str],
) -> Judged:
    """The judgment of a row with ``item_a, item_b, verdict``.

    Args:
        line: The row.
        pairs: Knows the pairs of the rows before.
        annotator: Who judged, where the row does not say.
        kind: What that is.
        seen: How often each identity came before in the file; counted on.

    Raises:
        ImportRefused: The row is malformed.
    """
    pair = pairs.of(line)
    said = verdict(line)
    much = strength(line, said)
    who = line.text("annotator", annotator or f"unknown ({pair.batch})")
    placement = line.integer("placement", (-1, 0, 1)) or 0
    external_id = line.optional("external_id", 160)
    given = line.optional("judgment") or line.optional("id")
    if given and _TOKEN.fullmatch(given):
        token = given
    else:
        identity = derived_token(
            pair.batch, pair.pair_id, pair.prompt, pair.a.adapter, pair.b.adapter, pair.a.text,
            pair.b.text, who, said.value, placement, given,
        )  # fmt: skip
        seen[identity] += 1
        token = derived_token(identity, seen[identity])
        external_id = external_id or (line.short("id", given, 160) if given else None)
    tags: Any = line.json("tags") or []
    if not isinstance(tags, list):
        raise line.refuse("tags", "must be a JSON list of words")
    return Judged(
        pair=pair,
        line=line.without_row(),
        token=token,
        verdict=said,
        strength=much,
        placement=placement,
        weight=line.positive("weight", 1.0),
        annotator=line.short("annotator", who, 120),
        annotator_kind=choice(line, "annotator_kind", AnnotatorKind, kind),
        created_at=moment(line, "created_at"),
        source=line.given("source", f"import {line.file.name}")[:120],
        external_id=external_id,
        dwell_ms=line.integer("dwell_ms", least=0),
        comment=line.optional("comment"),
        tags=cast("list[Any]", tags),
        answers=_answers(line),
        flag=line.optional("flag", 32),
        retracted=one_of(line, "retracted", ("undone", "revised")),
        retracted_at=moment(line, "retracted_at"),
        leased_at=moment(line, "leased_at"),
        shown_at=moment(line, "shown_at"),
        attempt=line.integer("attempt", least=1),
        guideline_version=line.integer("guideline_version", least=1),
        beside=beside_of(line),
    )


def skipped_of(
    line: Line, pairs: PairsOfRows, annotator: str | None, kind: AnnotatorKind
) -> Skipped:
    """The skip of a row with ``item_a, item_b`` and no verdict.

    Args:
        line: The row.
        pairs: Knows the pairs of the rows before.
        annotator: Who skipped, where the row does not say.
        kind: What that is.

    Raises:
        ImportRefused: The row is malformed.
    """
    if line.optional("verdict"):
        raise line.refuse("verdict", "a skip has none; `personaloop import judgments` takes those")
    pair = pairs.of(line)
    who = line.text("annotator", annotator)
    given = line.optional("skip") or line.optional("id")
    if not given or not _TOKEN.fullmatch(given):
        given = derived_token(
            "skip", pair.batch, pair.pair_id, pair.prompt, pair.a.adapter, pair.b.adapter,
            pair.a.text, pair.b.text, who, given,
        )  # fmt: skip
    return Skipped(
        pair=pair,
        line=line.without_row(),
        token=given,
        placement=line.integer("placement", (-1, 0, 1)) or 0,
        annotator=line.short("annotator", who, 120),
        annotator_kind=choice(line, "annotator_kind", AnnotatorKind, kind),
        reason=line.optional("reason"),
        leased_at=moment(line, "leased_at"),
        shown_at=moment(line, "shown_at"),
        attempt=line.integer("attempt", least=1),
        flags=flags_of(line),
    )


def _answers(line: Line) -> Mapping[str, str | None]:
    """Answers to the three optional questions; one empty mapping where there are none."""
    told = {name: one_of(line, name, ANSWERS) for name in ("in_character", "helpful", "safe")}
    return told if any(told.values()) else _UNANSWERED


def stem(path: Path) -> str:
    """A batch's name from a file's."""
    return path.name.split(".")[0] or "imported"
