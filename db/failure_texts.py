"""What was asked, answered and said in the comparisons that an adapter lost, a page at a time.

Reads only, and only the comparisons that it is given. Knows how one comparison reads from the
adapter's side; what counts as lost is ``db.failures``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, or_, select
from sqlalchemy.orm import Session, aliased

from db.failure_scope import Scope, Standing
from db.models import (
    Annotator,
    AnnotatorKind,
    Batch,
    Candidate,
    Comparison,
    Judgment,
    Prompt,
    Retraction,
    Round,
    Verdict,
)

AT_ONCE = 400
"""Comparisons read by one statement; databases limit how many values one may have."""


@dataclass(frozen=True)
class Said:
    """One judgment, as it reads from the adapter's side.

    Attributes:
        annotator: Who.
        kind: ``human``, ``simulated`` or ``automatic``.
        verdict: ``won``, ``lost``, ``tie`` or ``both_bad``.
        strength: 1 better or 2 much better, where one won.
        tags: The reasons.
        comment: Free words, possibly none.
        flag: What is wrong with the pair, possibly nothing.
        answers: Of in character, helpful and safe those that were answered, about the preferred
            response.
        first: Whether the adapter's response was Response A; None where an import does not say.
        dwell_ms: Milliseconds from showing to the verdict.
        created_at: When.
        judgment: The judgment's id.
        returnable: Whether it was given on the page, so that its annotator can revise it.
    """

    annotator: str
    kind: AnnotatorKind
    verdict: str
    strength: int | None
    tags: tuple[str, ...]
    comment: str
    flag: str
    answers: dict[str, str]
    first: bool | None
    dwell_ms: int | None
    created_at: datetime
    judgment: int
    returnable: bool


@dataclass(frozen=True)
class Failure:
    """One comparison to look at.

    Attributes:
        standing: How it stands.
        batch: The batch's name.
        batch_kind: ``label``, ``blind`` or ``imported``.
        round: The round's number, where it belongs to one.
        journey: The prompt's journey.
        intent: Its intent.
        messages: The conversation.
        response: This adapter's response.
        other: The other response.
        opponent: The other's adapter.
        known: False where an import did not bring the texts.
        said: The standing judgments, in the order in which they were given.
    """

    standing: Standing
    batch: str
    batch_kind: str
    round: int | None
    journey: str | None
    intent: str | None
    messages: list[dict[str, Any]]
    response: str
    other: str
    opponent: str
    known: bool
    said: tuple[Said, ...]


def describe(session: Session, scope: Scope, standings: Sequence[Standing]) -> list[Failure]:
    """These comparisons with their texts and judgments, in the same order."""
    found: list[Failure] = []
    for start in range(0, len(standings), AT_ONCE):
        chosen = standings[start : start + AT_ONCE]
        told = _judgments(session, scope, chosen)
        texts = _texts(session, [each.comparison for each in chosen])
        for each in chosen:
            row = texts.get(each.comparison)
            if row is not None:
                found.append(_failure(each, row, told.get(each.comparison, ())))
    return found


def _texts(session: Session, ids: Sequence[int]) -> dict[int, RowMapping]:
    a, b = aliased(Candidate), aliased(Candidate)
    query = (
        select(
            Comparison.id,
            Comparison.overlap,
            Batch.name.label("batch"),
            Batch.kind.label("batch_kind"),
            func.coalesce(Round.number, Batch.round_number).label("round"),
            Prompt.journey,
            Prompt.intent,
            Prompt.messages,
            a.text.label("text_a"),
            b.text.label("text_b"),
            a.adapter_id.label("adapter_a"),
            b.adapter_id.label("adapter_b"),
        )
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(a, a.id == Comparison.candidate_a_id)
        .join(b, b.id == Comparison.candidate_b_id)
        .outerjoin(Round, or_(Round.label_batch_id == Batch.id, Round.blind_batch_id == Batch.id))
        .where(Comparison.id.in_(ids), Batch.purpose != "gold")
    )
    return {row["id"]: row for row in session.execute(query).mappings()}


def _judgments(
    session: Session, scope: Scope, standings: Sequence[Standing]
) -> dict[int, tuple[Said, ...]]:
    side = {each.comparison: each.side for each in standings}
    query = (
        select(Judgment, Annotator.name, Annotator.kind)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .where(
            Judgment.comparison_id.in_(list(side)),
            Judgment.id.not_in(select(Retraction.judgment_id)),
        )
        .order_by(Judgment.id)
    )
    if scope.people_only:
        query = query.where(Annotator.kind == AnnotatorKind.HUMAN)
    found: dict[int, list[Said]] = {}
    for judgment, name, kind in session.execute(query).tuples():
        told = _said(judgment, name, kind, side[judgment.comparison_id])
        found.setdefault(judgment.comparison_id, []).append(told)
    return {comparison: tuple(told) for comparison, told in found.items()}


def _said(judgment: Judgment, name: str, kind: AnnotatorKind, side: str) -> Said:
    if judgment.verdict in {Verdict.A, Verdict.B}:
        verdict = "won" if judgment.verdict.value == side else "lost"
    else:
        verdict = judgment.verdict.value
    answers = {
        "in character": judgment.in_character,
        "helpful": judgment.helpful,
        "safe": judgment.safe,
    }
    placed = judgment.placement if side == "a" else -judgment.placement
    return Said(
        annotator=name,
        kind=kind,
        verdict=verdict,
        strength=judgment.strength,
        tags=tuple(str(tag) for tag in judgment.tags or ()),
        comment=judgment.comment or "",
        flag=judgment.flag or "",
        answers={question: answer for question, answer in answers.items() if answer},
        first=None if placed == 0 else placed > 0,
        dwell_ms=judgment.dwell_ms,
        created_at=judgment.created_at,
        judgment=judgment.id,
        returnable=judgment.source == "page" and kind is AnnotatorKind.HUMAN,
    )


def _failure(standing: Standing, row: RowMapping, said: tuple[Said, ...]) -> Failure:
    ours, other = ("a", "b") if standing.side == "a" else ("b", "a")
    texts = row[f"text_{ours}"], row[f"text_{other}"]
    return Failure(
        standing=standing,
        batch=row["batch"],
        batch_kind=row["batch_kind"].value,
        round=row["round"],
        journey=row["journey"],
        intent=row["intent"],
        messages=[turn for turn in row["messages"] or () if isinstance(turn, dict)],
        response=texts[0],
        other=texts[1],
        opponent=row[f"adapter_{other}"],
        known=row["overlap"] > 0 or any(texts),
        said=said,
    )
