"""Puts imported judgments and skips into the ledger, many at a time, each with its assignment.

They take no seat. Knows rows and the comparisons that they speak of, not files.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from db import blocks
from db.batches import SWAPPED
from db.clock import utcnow
from db.errors import Refused
from db.import_candidates import chunks
from db.import_rows import Judged, Skipped
from db.import_storing_beside import Decisions, add_besides, add_flags_of_skips
from db.models import (
    Annotator,
    Assignment,
    AssignmentState,
    Comparison,
    Judgment,
    Retraction,
)
from db.people import put_annotator

R = TypeVar("R", Judged, Skipped)
People = Mapping[str, Annotator]
AT_ONCE = 1_000


def add_judgments(
    session: Session, placed: Sequence[tuple[Judged, Comparison, bool]], people: People
) -> None:
    """Add judgments with what stands beside them, in the order of the file.

    Args:
        session: The session.
        placed: Each with its comparison and whether that one's order is the other way round.
        people: Who judged, by name.
    """
    now = utcnow()
    decisions = Decisions()
    attempts = _Attempts(session, {comparison.id for _, comparison, _ in placed})
    for at in range(0, len(placed), AT_ONCE):
        part = placed[at : at + AT_ONCE]
        leases = [
            {
                "token": each.token,
                "comparison_id": comparison.id,
                "annotator_id": people[each.annotator].id,
                "attempt": attempts.take(comparison.id, people[each.annotator].id, each.attempt),
                "placement": (-each.placement if swapped else each.placement) or 1,
                "state": AssignmentState.WITHDRAWN if each.retracted else AssignmentState.JUDGED,
                "seat": False,
                **_held(each, each.created_at or now),
            }
            for each, comparison, swapped in part
        ]
        assignments = _insert(session, Assignment, leases)
        rows = [
            _judgment(each, swapped, lease)
            | {"assignment_id": assignment, "created_at": each.created_at or now}
            for (each, _, swapped), lease, assignment in zip(part, leases, assignments, strict=True)
        ]
        judgments = _insert(session, Judgment, rows)
        retractions = [
            {
                "judgment_id": judgment,
                "reason": each.retracted,
                "created_at": each.retracted_at or row["created_at"],
            }
            for (each, _, _), row, judgment in zip(part, rows, judgments, strict=True)
            if each.retracted
        ]
        if retractions:
            session.execute(insert(Retraction), retractions)
        add_besides(session, zip(part, rows, judgments, strict=True), decisions)
    decisions.add(session)
    blocks.seal(session, None)


def add_skips(
    session: Session, placed: Sequence[tuple[Skipped, Comparison, bool]], people: People
) -> None:
    """Add skips, in the order of the file; who skipped is not asked that pair again."""
    now = utcnow()
    attempts = _Attempts(session, {comparison.id for _, comparison, _ in placed})
    for at in range(0, len(placed), AT_ONCE):
        part = placed[at : at + AT_ONCE]
        rows = [
            {
                "token": each.token,
                "comparison_id": comparison.id,
                "annotator_id": people[each.annotator].id,
                "attempt": attempts.take(comparison.id, people[each.annotator].id, each.attempt),
                "placement": (-each.placement if swapped else each.placement) or 1,
                "state": AssignmentState.SKIPPED,
                "seat": False,
                "skip_reason": each.reason,
                **_held(each, now),
            }
            for each, comparison, swapped in part
        ]
        session.execute(insert(Assignment), rows)
        add_flags_of_skips(session, zip(part, rows, strict=True))


def annotators(session: Session, rows: Sequence[Judged | Skipped]) -> dict[str, Annotator]:
    """Everybody whom the rows name, by that name.

    Raises:
        ImportRefused: A name is not usable, or is somebody of another kind.
    """
    found: dict[str, Annotator] = {}
    for each in rows:
        if each.annotator not in found:
            try:
                who = put_annotator(session, each.annotator, kind=each.annotator_kind)
            except Refused as error:
                raise each.line.refuse("annotator", str(error)) from None
            found[each.annotator] = who
        elif found[each.annotator].kind is not each.annotator_kind:
            raise each.line.refuse(
                "annotator_kind",
                f"{each.annotator!r} is {found[each.annotator].kind.value} elsewhere in the file",
            )
    return found


def only_once(rows: Sequence[R]) -> list[R]:
    """The rows.

    Raises:
        ImportRefused: Two have the same id.
    """
    seen: dict[str, R] = {}
    for each in rows:
        if each.token in seen:
            first = seen[each.token].line.number
            name = "judgment" if isinstance(each, Judged) else "skip"
            raise each.line.refuse(
                name, f"the same id stands on {each.line.kind} {first}; remove one of the two"
            )
        seen[each.token] = each
    return list(rows)


def known_tokens(session: Session, tokens: Sequence[str]) -> set[str]:
    """Which of these the ledger has already."""
    found: set[str] = set()
    for some in chunks(tokens):
        found.update(session.scalars(select(Assignment.token).where(Assignment.token.in_(some))))
    return found


class _Attempts:
    """Which attempts of whom at which comparison are taken."""

    def __init__(self, session: Session, comparisons: Iterable[int]) -> None:
        self._taken: dict[tuple[int, int], set[int]] = {}
        for some in chunks(sorted(comparisons)):
            query = select(
                Assignment.comparison_id, Assignment.annotator_id, Assignment.attempt
            ).where(Assignment.comparison_id.in_(some))
            for comparison, annotator, attempt in session.execute(query).tuples():
                self._taken.setdefault((comparison, annotator), set()).add(attempt)

    def take(self, comparison: int, annotator: int, wanted: int | None) -> int:
        """The attempt that a row tells if it is free, else one after all others."""
        taken = self._taken.setdefault((comparison, annotator), set())
        free = wanted is not None and wanted not in taken
        attempt = wanted if free and wanted else max(taken, default=0) + 1
        taken.add(attempt)
        return attempt


def _held(row: Judged | Skipped, otherwise: Any) -> dict[str, Any]:
    """When the pair was held; shown only where the file says so."""
    since = row.leased_at or row.shown_at or otherwise
    return {"leased_at": since, "shown_at": row.shown_at, "expires_at": since}


def _judgment(each: Judged, swapped: bool, lease: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "comparison_id": lease["comparison_id"],
        "annotator_id": lease["annotator_id"],
        "verdict": SWAPPED[each.verdict] if swapped else each.verdict,
        "strength": each.strength,
        "placement": -each.placement if swapped else each.placement,
        "weight": each.weight,
        "in_character": each.answers.get("in_character"),
        "helpful": each.answers.get("helpful"),
        "safe": each.answers.get("safe"),
        "tags": each.tags,
        "comment": each.comment,
        "flag": each.flag,
        "dwell_ms": each.dwell_ms,
        "source": each.source,
        "external_id": each.external_id,
        "guideline_version": each.guideline_version,
    }


def _insert(session: Session, table: Any, rows: Sequence[Mapping[str, Any]]) -> Sequence[int]:
    """Insert rows; their ids, in the rows' order."""
    statement = insert(table).returning(table.id, sort_by_parameter_order=True)
    return session.scalars(statement, list(rows)).all()
