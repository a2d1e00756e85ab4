"""What stands beside judgments and skips: flags, returns, repeats, decisions, runs, replaced ones.

Reads only; for a page of rows at a time, whose ids ascend.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.decisions import AT_ONCE
from db.models import (
    Adapter,
    Adjudication,
    Assignment,
    AssignmentState,
    Flag,
    Judgment,
    JudgmentReturn,
    Repeat,
    Run,
    SnapshotJudgment,
)

Row = Mapping[str, Any]
T = TypeVar("T", Flag, JudgmentReturn, Repeat)
Pair = tuple[int, int]
"""A comparison and an annotator."""
LISTS = ("adjudications", "returns", "flags", "repeats", "trained")


@dataclass
class Beside:
    """What stands beside the rows of a page, by column and row id."""

    lists: dict[str, dict[int, list[dict[str, Any]]]] = field(
        default_factory=lambda: {name: defaultdict(list) for name in LISTS}
    )
    words: dict[str, dict[int, str]] = field(
        default_factory=lambda: {"replaces": {}, "adjudicated": {}}
    )

    def of(self, id_: int) -> dict[str, Any]:
        """The further columns of one row."""
        lists = {name: told.get(id_, []) for name, told in self.lists.items()}
        return lists | {name: told.get(id_) for name, told in self.words.items()}


def beside_judgments(
    session: Session, page: Sequence[Row], names: Mapping[int, str], *, history: bool
) -> Beside:
    """What stands beside a page of judgments.

    Args:
        session: The session.
        page: Rows with ``_id``, ``_comparison``, ``_annotator`` and ``attempt``.
        names: Of annotators, by id.
        history: Whether the judgments that these replaced are among the rows.
    """
    found = Beside()
    ids = {row["_id"] for row in page}
    first, last = page[0]["_id"], page[-1]["_id"]
    for of, flag in _about(session, Flag, ids, first, last):
        found.lists["flags"][of].append(_flag(flag))
    for of, back in _about(session, JudgmentReturn, ids, first, last):
        times = _times(back, "created_at", "answered_at")
        found.lists["returns"][of].append({"note": back.note, "by": back.actor, **times})
    for of, again in _about(session, Repeat, ids, first, last):
        if again.answered_at is not None:
            found.lists["repeats"][of].append(_repeat(again))
    _runs(session, found, ids, first, last)
    _decisions(session, found, page, names)
    _loose_flags(session, found, page)
    if history:
        _replaced(session, found, page)
    return found


def flags_of_skips(session: Session, page: Sequence[Row], names: Mapping[int, str]) -> Beside:
    """The flags that were raised with a page of skips; of several skips the last has them."""
    del names
    found = Beside()
    last = {(row["_comparison"], row["_annotator"]): row["_id"] for row in page}
    for pair, flags in _without_judgment(session, page).items():
        newest = session.scalar(
            select(Assignment.id)
            .where(_of(pair, Assignment), Assignment.state == AssignmentState.SKIPPED)
            .order_by(Assignment.id.desc())
            .limit(1)
        )
        if newest is not None and newest == last[pair]:
            found.lists["flags"][newest] += flags
    return found


def _runs(session: Session, found: Beside, ids: set[int], first: int, last: int) -> None:
    query = (
        select(SnapshotJudgment.judgment_id, Run.id, Adapter.id)
        .join(Run, Run.snapshot_id == SnapshotJudgment.snapshot_id)
        .outerjoin(Adapter, Adapter.run_id == Run.id)
        .where(SnapshotJudgment.judgment_id.between(first, last))
        .order_by(SnapshotJudgment.judgment_id, Run.id, Adapter.id)
    )
    for judgment, run, adapter in session.execute(query).tuples():
        if judgment in ids:
            found.lists["trained"][judgment].append({"run": run, "adapter": adapter})


def _decisions(
    session: Session, found: Beside, page: Sequence[Row], names: Mapping[int, str]
) -> None:
    rows: dict[int, list[int]] = defaultdict(list)
    for row in page:
        rows[row["_comparison"]].append(row["_id"])
    for some in _parts(rows):
        query = select(Adjudication).where(Adjudication.comparison_id.in_(some))
        for each in session.scalars(query.order_by(Adjudication.id)):
            looked_at = set(each.judgments)
            for judgment in rows[each.comparison_id]:
                found.lists["adjudications"][judgment].append(
                    {
                        "verdict": each.verdict.value,
                        "strength": each.strength,
                        "by": names[each.annotator_id],
                        "note": each.note,
                        "placement": each.placement,
                        **_times(each, "created_at"),
                        "looked_at": judgment in looked_at,
                    }
                )
                found.words["adjudicated"][judgment] = each.verdict.value


def _loose_flags(session: Session, found: Beside, page: Sequence[Row]) -> None:
    """Flags that came with the skip of a repeat or a revision: the latest judgment has them."""
    rows = {(row["_comparison"], row["_annotator"]): row["_id"] for row in page}
    for pair, flags in _without_judgment(session, page).items():
        skipped = session.scalar(
            select(Assignment.id)
            .where(_of(pair, Assignment), Assignment.state == AssignmentState.SKIPPED)
            .limit(1)
        )
        newest = session.scalar(
            select(Judgment.id).where(_of(pair, Judgment)).order_by(Judgment.id.desc()).limit(1)
        )
        if skipped is None and newest is not None and newest == rows[pair]:
            found.lists["flags"][newest] += [{**flag, "with_skip": True} for flag in flags]


def _without_judgment(session: Session, page: Sequence[Row]) -> dict[Pair, list[dict[str, Any]]]:
    """Flags of the page's pairs and annotators that came with no judgment."""
    pairs = {(row["_comparison"], row["_annotator"]) for row in page}
    found: dict[Pair, list[dict[str, Any]]] = defaultdict(list)
    for some in _parts({comparison for comparison, _ in pairs}):
        query = select(Flag).where(Flag.comparison_id.in_(some), Flag.judgment_id.is_(None))
        for each in session.scalars(query.order_by(Flag.id)):
            if (each.comparison_id, each.annotator_id) in pairs:
                found[each.comparison_id, each.annotator_id].append(_flag(each))
    return found


def _replaced(session: Session, found: Beside, page: Sequence[Row]) -> None:
    """The judgment that each later attempt took the place of."""
    later = [row for row in page if row["attempt"] > 1]
    earlier: dict[Pair, list[tuple[int, str]]] = defaultdict(list)
    for some in _parts({row["_comparison"] for row in later}):
        query = (
            select(
                Assignment.comparison_id,
                Assignment.annotator_id,
                Assignment.attempt,
                Assignment.token,
            )
            .join(Judgment, Judgment.assignment_id == Assignment.id)
            .where(Assignment.comparison_id.in_(some))
            .order_by(Assignment.attempt)
        )
        for comparison, annotator, attempt, token in session.execute(query).tuples():
            earlier[comparison, annotator].append((attempt, token))
    for row in later:
        before = [
            token
            for attempt, token in earlier[row["_comparison"], row["_annotator"]]
            if attempt < row["attempt"]
        ]
        if before:
            found.words["replaces"][row["_id"]] = before[-1]


def _about(
    session: Session, table: type[T], ids: set[int], first: int, last: int
) -> Iterator[tuple[int, T]]:
    """The rows of a table about these judgments, each with the judgment that it is about."""
    held: Any = table
    query = select(held).where(held.judgment_id.between(first, last)).order_by(held.id)
    for row in session.scalars(query):
        if row.judgment_id in ids:
            yield row.judgment_id, row


def _of(pair: Pair, table: Any) -> Any:
    comparison, annotator = pair
    return (table.comparison_id == comparison) & (table.annotator_id == annotator)


def _flag(flag: Flag) -> dict[str, Any]:
    return {
        "kind": flag.kind,
        "note": flag.note,
        **_times(flag, "created_at"),
        "resolution": flag.resolution,
        "resolved_by": flag.resolved_by,
        **_times(flag, "resolved_at"),
    }


def _repeat(repeat: Repeat) -> dict[str, Any]:
    return {
        "verdict": repeat.verdict.value if repeat.verdict else None,
        "strength": repeat.strength,
        "placement": repeat.placement,
        "dwell_ms": repeat.dwell_ms,
        **_times(repeat, "shown_at", "answered_at"),
    }


def _times(row: Any, *names: str) -> dict[str, str | None]:
    told = {name: getattr(row, name) for name in names}
    return {name: when.isoformat() if when else None for name, when in told.items()}


def _parts(ids: Iterable[int]) -> list[list[int]]:
    """The ids in parts that one statement can take."""
    every = sorted(ids)
    return [every[at : at + AT_ONCE] for at in range(0, len(every), AT_ONCE)]
