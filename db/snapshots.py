"""Snapshots: the immutable, hashed set of judgments that one run trains on."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, or_, select
from sqlalchemy.orm import Session, aliased

from db.candidates import token_ids, token_logprobs
from db.errors import NotFound, Refused
from db.models import (
    Annotator,
    AnnotatorKind,
    Batch,
    BatchKind,
    Candidate,
    Comparison,
    Judgment,
    Prompt,
    Retraction,
    SetAside,
    Snapshot,
    SnapshotJudgment,
    Verdict,
)
from db.snapshot_lines import lines, members, stated, to_jsonl

__all__ = ["eligible", "less", "members", "rows", "rows_of", "stated", "take", "to_jsonl"]

GOLD = "gold"
"""Purpose of batches whose answers are known; they test annotators and train nothing."""
HELDOUT = "heldout"
"""Split of the prompts that blind comparisons ask."""
RELEASED = "released"
"""Decision by which a pair that was set aside counts again."""


@dataclass(frozen=True)
class SnapshotRow:
    """One judgment of a snapshot, with all that training needs of it.

    Attributes:
        judgment_id: Its id.
        comparison_id: The comparison's.
        prompt_id: The prompt's.
        verdict: In canonical order.
        strength: 1 or 2; None for tie and both bad.
        weight: 1 unless an import says otherwise.
        placement: +1 where A was shown first, −1 second, 0 unknown.
        annotator_id: Who.
        annotator_kind: A person, simulated, automatic.
        messages: The conversation.
        text_a: The canonical A.
        text_b: The canonical B.
        adapter_a: Who wrote A.
        adapter_b: Who wrote B.
        tokens_a: Token ids of A, shape (n,); None where not known.
        tokens_b: Token ids of B.
        logprobs_a: Natural log-probabilities of A's tokens under its own sampler, shape (n,).
        logprobs_b: Those of B.
        created_at: When it was made (UTC).
    """

    judgment_id: int
    comparison_id: int
    prompt_id: int
    verdict: Verdict
    strength: int | None
    weight: float
    placement: int
    annotator_id: int
    annotator_kind: AnnotatorKind
    messages: list[dict[str, Any]]
    text_a: str
    text_b: str
    adapter_a: str
    adapter_b: str
    tokens_a: NDArray[np.int32] | None
    tokens_b: NDArray[np.int32] | None
    logprobs_a: NDArray[np.float32] | None
    logprobs_b: NDArray[np.float32] | None
    created_at: datetime


def take(
    session: Session,
    persona: str,
    *,
    include_simulated: bool = False,
    comparisons_of: Sequence[int] | None = None,
    without: Collection[int] = (),
) -> Snapshot:
    """Freeze the standing judgments of a persona; the same set gives the same row.

    Left out are judgments of blind comparisons and of any prompt of their split (what decides on an
    adapter never trains one), of gold batches, of pairs that are set aside because a text names its
    author, and of pairs whose texts are not known. Practice and repeats are no judgments at all.
    Those of somebody who was erased stay.

    Args:
        session: The session.
        persona: Slug.
        include_simulated: Whether judgments by annotators that are no people count too.
        comparisons_of: Only of these batches (ids).
        without: Annotators (ids) whose judgments are left out.

    Raises:
        Refused: There is no such judgment; the message says how many were left out and why.
    """
    found = eligible(session, persona, comparisons_of=comparisons_of)
    people = [one for one in found if include_simulated or one[1] is AnnotatorKind.HUMAN]
    left = f"; {len(found)} simulated or automatic ones were left out" if found else ""
    return _freeze(session, persona, [id_ for id_, _, who in people if who not in without], left)


def less(session: Session, snapshot_id: int, without: Collection[int]) -> Snapshot:
    """A snapshot without some annotators' judgments, whatever became of them since.

    Args:
        session: The session.
        snapshot_id: The snapshot to start from; it stays as it is.
        without: Annotators (ids).

    Raises:
        NotFound: There is no such snapshot.
        Refused: They made none of its judgments, or all of them.
    """
    taken = session.get(Snapshot, snapshot_id)
    if taken is None:
        raise NotFound(f"there is no snapshot {snapshot_id}")
    members = session.execute(
        select(Judgment.id, Judgment.annotator_id)
        .join(SnapshotJudgment, SnapshotJudgment.judgment_id == Judgment.id)
        .where(SnapshotJudgment.snapshot_id == snapshot_id)
        .order_by(Judgment.id)
    ).all()
    kept = [id_ for id_, who in members if who not in without]
    if len(kept) == len(members):
        raise Refused(f"they made none of the {len(members)} judgments of snapshot {snapshot_id}")
    return _freeze(session, taken.persona_slug, kept, f"; snapshot {snapshot_id} has only theirs")


def eligible(
    session: Session, persona: str, *, comparisons_of: Sequence[int] | None = None
) -> list[tuple[int, AnnotatorKind, int]]:
    """Id, annotator's kind and annotator of every standing judgment that may train, by id."""
    candidate_a, candidate_b = aliased(Candidate), aliased(Candidate)
    query = (
        select(Judgment.id, Annotator.kind, Judgment.annotator_id)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .join(candidate_a, candidate_a.id == Comparison.candidate_a_id)
        .join(candidate_b, candidate_b.id == Comparison.candidate_b_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .outerjoin(SetAside, SetAside.comparison_id == Comparison.id)
        .where(
            Retraction.judgment_id.is_(None),
            or_(SetAside.comparison_id.is_(None), SetAside.decision == RELEASED),
            Comparison.persona_slug == persona,
            candidate_a.text != "",
            candidate_b.text != "",
            Batch.kind != BatchKind.BLIND,
            Batch.purpose != GOLD,
            Prompt.split != HELDOUT,
        )
        .order_by(Judgment.id)
    )
    if comparisons_of is not None:
        query = query.where(Batch.id.in_(list(comparisons_of)))
    return [row.tuple() for row in session.execute(query)]


def _freeze(session: Session, persona: str, ids: Sequence[int], left: str) -> Snapshot:
    """The snapshot of just these judgments, made or found."""
    if not ids:
        raise Refused(f"there is no standing judgment of {persona} to train on{left}")
    sha256, simulated = hashlib.sha256(), 0
    for line, kind in lines(session, ids):
        sha256.update(line)
        simulated += kind is not AnnotatorKind.HUMAN
    same = session.scalar(select(Snapshot).where(Snapshot.sha256 == sha256.hexdigest()))
    if same is not None:
        return same
    made = Snapshot(
        persona_slug=persona,
        sha256=sha256.hexdigest(),
        n_judgments=len(ids),
        n_simulated=simulated,
    )
    session.add(made)
    session.flush()
    session.execute(
        insert(SnapshotJudgment),
        [{"snapshot_id": made.id, "judgment_id": each} for each in ids],
    )
    return made


def rows(session: Session, snapshot_id: int) -> list[SnapshotRow]:
    """The judgments of a snapshot in id order.

    Raises:
        NotFound: There is no such snapshot.
    """
    if session.get(Snapshot, snapshot_id) is None:
        raise NotFound(f"there is no snapshot {snapshot_id}")
    return rows_of(session, members(session, snapshot_id))


def rows_of(session: Session, ids: Sequence[int]) -> list[SnapshotRow]:
    """Judgments with all that training needs of them, by id; as `rows` gives a snapshot's.

    Args:
        session: The session.
        ids: Of judgments, ascending.
    """
    candidate_a, candidate_b = aliased(Candidate), aliased(Candidate)
    query = (
        select(Judgment, Annotator.kind, Prompt, candidate_a, candidate_b)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(candidate_a, candidate_a.id == Comparison.candidate_a_id)
        .join(candidate_b, candidate_b.id == Comparison.candidate_b_id)
        .order_by(Judgment.id)
    )
    return [
        SnapshotRow(
            judgment_id=judgment.id,
            comparison_id=judgment.comparison_id,
            prompt_id=prompt.id,
            verdict=judgment.verdict,
            strength=judgment.strength,
            weight=judgment.weight,
            placement=judgment.placement,
            annotator_id=judgment.annotator_id,
            annotator_kind=kind,
            messages=list(prompt.messages),
            text_a=one.text,
            text_b=other.text,
            adapter_a=one.adapter_id,
            adapter_b=other.adapter_id,
            tokens_a=token_ids(one),
            tokens_b=token_ids(other),
            logprobs_a=token_logprobs(one),
            logprobs_b=token_logprobs(other),
            created_at=judgment.created_at,
        )
        for start in range(0, len(ids), 500)
        for judgment, kind, prompt, one, other in session.execute(
            query.where(Judgment.id.in_(ids[start : start + 500]))
        ).tuples()
    ]
