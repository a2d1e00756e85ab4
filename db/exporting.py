"""The ledger's judgments and skips as plain rows. Writing them to files is elsewhere.

Rows are in canonical order with full provenance. But for ``trained`` they hold no id that only this
ledger knows, so that the rows of a ledger made from them are the same. They are read a page at a
time and never all held.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, String, select, type_coerce
from sqlalchemy.orm import Session, aliased

from db.export_beside import Beside, beside_judgments, flags_of_skips
from db.export_columns import JUDGMENT_COLUMNS, SKIP_COLUMNS
from db.models import (
    Adapter,
    Annotator,
    AnnotatorKind,
    Assignment,
    AssignmentState,
    Batch,
    Candidate,
    Comparison,
    Judgment,
    Persona,
    Prompt,
    Retraction,
    Round,
)

PAGE = 1_000
"""Rows in memory at once."""


def judgment_rows(
    session: Session,
    *,
    persona: str | None = None,
    people_only: bool = False,
    history: bool = False,
) -> Iterator[dict[str, Any]]:
    """Judgments by id, one dict of ``JUDGMENT_COLUMNS`` each.

    A row names another (``replaces``) only where that one is among the rows, too.

    Args:
        session: The session; a reader's is best.
        persona: Only of this slug.
        people_only: Leave out simulated and automatic annotators.
        history: Also those that were undone or revised (``retracted`` says which).
    """
    query = _pairs(
        Judgment.id,
        Judgment.annotator_id,
        *(getattr(Judgment, name) for name in ("strength", "placement", "weight", "comment")),
        *(getattr(Judgment, name) for name in ("in_character", "helpful", "safe", "flag")),
        *(getattr(Judgment, name) for name in ("dwell_ms", "created_at", "guideline_version")),
        *(getattr(Judgment, name) for name in ("tags", "source", "external_id")),
        type_coerce(Judgment.verdict, String).label("verdict"),
        Assignment.leased_at,
        Assignment.shown_at,
        Assignment.attempt,
        Assignment.token.label("judgment"),
        Retraction.reason.label("retracted"),
        Retraction.created_at.label("retracted_at"),
    )
    query = (
        query.join(Judgment, Judgment.comparison_id == Comparison.id)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
    )
    if not history:
        query = query.where(Retraction.judgment_id.is_(None))
    query = _narrowed(query, Judgment.annotator_id, persona, people_only)

    def beside(page: Sequence[dict[str, Any]], names: Mapping[int, str]) -> Beside:
        return beside_judgments(session, page, names, history=history)

    return _rows(session, query, Judgment.id, JUDGMENT_COLUMNS, beside)


def skip_rows(
    session: Session, *, persona: str | None = None, people_only: bool = False
) -> Iterator[dict[str, Any]]:
    """Pairs that somebody skipped, by assignment, one dict of ``SKIP_COLUMNS`` each.

    Args:
        session: The session; a reader's is best.
        persona: Only of this slug.
        people_only: Leave out simulated and automatic annotators.
    """
    query = _pairs(
        Assignment.id,
        Assignment.annotator_id,
        Assignment.placement,
        Assignment.skip_reason.label("reason"),
        Assignment.leased_at,
        Assignment.shown_at,
        Assignment.attempt,
        Assignment.token.label("skip"),
    )
    query = query.join(Assignment, Assignment.comparison_id == Comparison.id).where(
        Assignment.state == AssignmentState.SKIPPED
    )
    query = _narrowed(query, Assignment.annotator_id, persona, people_only)

    def beside(page: Sequence[dict[str, Any]], names: Mapping[int, str]) -> Beside:
        return flags_of_skips(session, page, names)

    return _rows(session, query, Assignment.id, SKIP_COLUMNS, beside)


def _rows(
    session: Session,
    query: Select[Any],
    key: Any,
    columns: Mapping[str, str],
    beside: Callable[[Sequence[dict[str, Any]], Mapping[int, str]], Beside],
) -> Iterator[dict[str, Any]]:
    """The query's rows, a page at a time, with what stands beside them."""
    people = {
        id_: (name, kind)
        for id_, name, kind in session.execute(
            select(Annotator.id, Annotator.name, type_coerce(Annotator.kind, String))
        ).tuples()
    }
    names = {id_: name for id_, (name, _) in people.items()}
    rounds = _rounds(session)
    after = 0
    while True:
        page = [
            dict(row)
            for row in session.execute(
                query.where(key > after).order_by(key).limit(PAGE)
            ).mappings()
        ]
        if not page:
            return
        after = page[-1]["_id"]
        also = beside(page, names)
        for row in page:
            row["annotator"], row["annotator_kind"] = people[row["_annotator"]]
            row["round"] = rounds.get(row["_batch"], row["round"])
            for side in ("author_a", "author_b"):
                row[side] = names.get(row[side]) if row[side] else None
            if row["shown_at"] is None:  # nobody held it here: an import that does not say
                row["leased_at"] = None
            row |= also.of(row["_id"])
            yield {name: _plain(row.get(name)) for name in columns}


def _pairs(id_: Any, annotator_id: Any, *columns: Any) -> Select[Any]:
    """What rows of judgments and of skips say of their pairs."""
    one, other = aliased(Candidate), aliased(Candidate)
    kind_a, kind_b = aliased(Adapter), aliased(Adapter)
    told: dict[str, Any]
    sides: list[ColumnElement[Any]] = []
    for side, candidate, adapter in (("a", one, kind_a), ("b", other, kind_b)):
        told = {
            "item": candidate.adapter_id,
            "text": candidate.text,
            "author": candidate.author_id,
            "kind": type_coerce(adapter.kind, String),
            "seed": candidate.seed,
            "sampling": candidate.sampling,
            "source": candidate.source,
            "stop_reason": candidate.stop_reason,
        }
        sides += [column.label(f"{name}_{side}") for name, column in told.items()]
    query: Any = (
        select(
            id_.label("_id"),
            annotator_id.label("_annotator"),
            Comparison.id.label("_comparison"),
            Batch.id.label("_batch"),
            *columns,
            Batch.name.label("batch"),
            type_coerce(Batch.kind, String).label("batch_kind"),
            Batch.purpose.label("batch_purpose"),
            Batch.strategy.label("batch_strategy"),
            Batch.round_number.label("round"),
            type_coerce(Comparison.gold, String).label("gold"),
            Comparison.external_id.label("comparison_external_id"),
            Comparison.persona_slug.label("persona"),
            Persona.name.label("persona_name"),
            Prompt.sha256.label("prompt"),
            Prompt.messages,
            Prompt.split.label("prompt_split"),
            Prompt.source.label("prompt_source"),
            *sides,
        )
        .select_from(Comparison)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(one, one.id == Comparison.candidate_a_id)
        .join(other, other.id == Comparison.candidate_b_id)
        .join(kind_a, kind_a.id == one.adapter_id)
        .join(kind_b, kind_b.id == other.adapter_id)
        .outerjoin(Persona, Persona.slug == Comparison.persona_slug)
    )
    return query


def _narrowed(
    query: Select[Any], annotator_id: Any, persona: str | None, people_only: bool
) -> Select[Any]:
    if persona is not None:
        query = query.where(Comparison.persona_slug == persona)
    if people_only:
        query = query.join(Annotator, Annotator.id == annotator_id).where(
            Annotator.kind == AnnotatorKind.HUMAN
        )
    return query


def _rounds(session: Session) -> dict[int, int]:
    """The round of each batch that one of this ledger's own rounds asked."""
    found: dict[int, int] = {}
    for number, label, blind in session.execute(
        select(Round.number, Round.label_batch_id, Round.blind_batch_id)
    ).tuples():
        found |= {batch: number for batch in (label, blind) if batch is not None}
    return found


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
