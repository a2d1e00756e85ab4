"""Puts what stands beside imported judgments and skips into the ledger.

That is flags, returns, repeats and adjudications. Knows rows whose judgments are there already, not
files.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from db.batches import SWAPPED
from db.errors import Refused
from db.import_beside import NOTHING, DecisionRow, FlagRow
from db.import_candidates import chunks
from db.import_pair_rows import derived_token
from db.import_rows import Judged, Skipped
from db.lines import Line
from db.models import (
    Adjudication,
    Annotator,
    Comparison,
    Flag,
    JudgmentReturn,
    Repeat,
    Verdict,
)
from db.people import put_annotator

Row = Mapping[str, Any]
Placed = tuple[Judged, Comparison, bool]


def add_besides(
    session: Session, told: Iterable[tuple[Placed, Row, int]], decisions: "Decisions"
) -> None:
    """Add what stands beside judgments that were just added.

    Args:
        session: The session.
        told: Each judgment of the file with its place, its row and its id.
        decisions: Hears the adjudications, which are added when all judgments are.
    """
    flags: list[dict[str, Any]] = []
    returns: list[dict[str, Any]] = []
    repeats: list[dict[str, Any]] = []
    for (each, comparison, swapped), row, judgment in told:
        beside = each.beside
        if beside is NOTHING:
            continue
        mine = {"comparison_id": comparison.id, "annotator_id": row["annotator_id"]}
        since = row["created_at"]
        for flag in beside.flags:
            of = None if flag.with_skip else judgment
            flags.append(mine | _flag(flag, since) | {"judgment_id": of})
        returns += [
            {
                "judgment_id": judgment,
                "annotator_id": row["annotator_id"],
                "note": back.note,
                "actor": back.by,
                "created_at": back.created_at or since,
                "answered_at": back.answered_at,
            }
            for back in beside.returns
        ]
        repeats += [
            mine
            | {
                "token": derived_token("repeat", each.token, number),
                "judgment_id": judgment,
                "placement": -again.placement if swapped else again.placement,
                "shown_at": again.shown_at,
                "answered_at": again.answered_at,
                "verdict": _turned(again.verdict, swapped),
                "strength": again.strength,
                "dwell_ms": again.dwell_ms,
            }
            for number, again in enumerate(beside.repeats)
        ]
        decisions.hear(each, comparison, swapped, judgment)
    for table, rows in ((Flag, flags), (JudgmentReturn, returns), (Repeat, repeats)):
        if rows:
            session.execute(insert(table), rows)


def add_flags_of_skips(
    session: Session, told: Iterable[tuple[tuple[Skipped, Comparison, bool], Row]]
) -> None:
    """Add the flags that came with skips that were just added."""
    flags = [
        {
            "comparison_id": row["comparison_id"],
            "annotator_id": row["annotator_id"],
            "judgment_id": None,
            **_flag(flag, row["leased_at"]),
        }
        for (each, _, _), row in told
        for flag in each.flags
    ]
    if flags:
        session.execute(insert(Flag), flags)


def _flag(flag: FlagRow, since: datetime) -> dict[str, Any]:
    return {
        "kind": flag.kind,
        "note": flag.note,
        "created_at": flag.created_at or since,
        "resolution": flag.resolution,
        "resolved_by": flag.resolved_by,
        "resolved_at": flag.resolved_at,
    }


class Decisions:
    """The adjudications that an import tells; each of a pair's judgments tells them all."""

    def __init__(self) -> None:
        self._told: dict[tuple[int, int, DecisionRow], dict[str, Any]] = {}

    def hear(self, judged: Judged, comparison: Comparison, swapped: bool, judgment: int) -> None:
        """What one judgment's row tells."""
        alike: Counter[DecisionRow] = Counter()
        for each in judged.beside.decisions:
            same = replace(each, looked_at=False)
            alike[same] += 1
            told = self._told.setdefault(
                (comparison.id, alike[same], same),
                {
                    "comparison_id": comparison.id,
                    "by": each.by,
                    "verdict": _turned(each.verdict, swapped),
                    "strength": each.strength,
                    "note": each.note,
                    "placement": -each.placement if swapped else each.placement,
                    "created_at": each.created_at,
                    "judgments": [],
                    "line": judged.line,
                },
            )
            if each.looked_at:
                told["judgments"].append(judgment)

    def add(self, session: Session) -> None:
        """Add them, but for those that the ledger has.

        Raises:
            ImportRefused: The name of who decided is not usable.
        """
        if not self._told:
            return
        there: set[tuple[Any, ...]] = set()
        for some in chunks(sorted({comparison for comparison, _, _ in self._told})):
            query = select(Adjudication).where(Adjudication.comparison_id.in_(some))
            there |= {_identity(vars(row)) for row in session.scalars(query)}
        rows: list[dict[str, Any]] = []
        for told in self._told.values():
            line = told.pop("line")
            told["annotator_id"] = _who(session, told.pop("by"), line)
            if _identity(told) not in there:
                rows.append(told)
        if rows:
            session.execute(insert(Adjudication), rows)


def _identity(row: Row) -> tuple[Any, ...]:
    names = ("comparison_id", "annotator_id", "verdict", "strength", "note", "created_at")
    return tuple(row[name] for name in names)


def _who(session: Session, name: str, line: Line) -> int:
    known = session.scalar(select(Annotator.id).where(Annotator.name == name.strip()))
    if known is not None:
        return known
    try:
        return put_annotator(session, name).id
    except Refused as error:
        raise line.refuse("adjudications", f"by {name!r}: {error}") from None


def _turned(verdict: Verdict | None, swapped: bool) -> Verdict | None:
    return SWAPPED[verdict] if verdict is not None and swapped else verdict
