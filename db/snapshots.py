"""Snapshots: the immutable, hashed set of judgments that one run trains on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select
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
    Snapshot,
    SnapshotJudgment,
    Verdict,
)
from db.prompts import canonical_json


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


def take(
    session: Session,
    persona: str,
    *,
    include_simulated: bool = False,
    comparisons_of: Sequence[int] | None = None,
) -> Snapshot:
    """Freeze the standing judgments of a persona; the same set gives the same row.

    Judgments of blind comparisons are left out: what decides on an adapter never trains one. So
    are gold batches and pairs whose texts are not known.

    Args:
        session: The session.
        persona: Slug.
        include_simulated: Whether judgments by annotators that are no people count too.
        comparisons_of: Only of these batches (ids).

    Raises:
        Refused: There is no such judgment; the message says how many were left out and why.
    """
    candidate_a, candidate_b = aliased(Candidate), aliased(Candidate)
    query = (
        select(Judgment, Annotator.kind)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .join(candidate_a, candidate_a.id == Comparison.candidate_a_id)
        .join(candidate_b, candidate_b.id == Comparison.candidate_b_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(
            Retraction.judgment_id.is_(None),
            Comparison.persona_slug == persona,
            candidate_a.text != "",
            candidate_b.text != "",
            Batch.kind != BatchKind.BLIND,
            Batch.purpose != "gold",
        )
        .order_by(Judgment.id)
    )
    if comparisons_of is not None:
        query = query.where(Batch.id.in_(list(comparisons_of)))
    found = [row.tuple() for row in session.execute(query)]
    rows = [row for row in found if include_simulated or row[1] is AnnotatorKind.HUMAN]
    if not rows:
        left = f"; {len(found)} simulated or automatic ones were left out" if found else ""
        raise Refused(f"there is no standing judgment of {persona} to train on{left}")
    digest = hashlib.sha256()
    texts = _texts(session, {judgment.comparison_id for judgment, _ in rows})
    for judgment, _ in rows:
        line = [judgment.id, judgment.verdict.value, judgment.strength, judgment.weight]
        digest.update(
            (canonical_json([*line, *texts[judgment.comparison_id]]) + "\n").encode(
                "utf-8", "surrogatepass"
            )
        )
    sha256 = digest.hexdigest()
    same = session.scalar(select(Snapshot).where(Snapshot.sha256 == sha256))
    if same is not None:
        return same
    made = Snapshot(
        persona_slug=persona,
        sha256=sha256,
        n_judgments=len(rows),
        n_simulated=sum(kind is not AnnotatorKind.HUMAN for _, kind in rows),
    )
    session.add(made)
    session.flush()
    session.execute(
        insert(SnapshotJudgment),
        [{"snapshot_id": made.id, "judgment_id": judgment.id} for judgment, _ in rows],
    )
    return made


def rows(session: Session, snapshot_id: int) -> list[SnapshotRow]:
    """The judgments of a snapshot in id order.

    Raises:
        NotFound: There is no such snapshot.
    """
    if session.get(Snapshot, snapshot_id) is None:
        raise NotFound(f"there is no snapshot {snapshot_id}")
    candidate_a, candidate_b = aliased(Candidate), aliased(Candidate)
    query = (
        select(Judgment, Annotator.kind, Prompt, candidate_a, candidate_b)
        .join(SnapshotJudgment, SnapshotJudgment.judgment_id == Judgment.id)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(candidate_a, candidate_a.id == Comparison.candidate_a_id)
        .join(candidate_b, candidate_b.id == Comparison.candidate_b_id)
        .where(SnapshotJudgment.snapshot_id == snapshot_id)
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
        )
        for judgment, kind, prompt, one, other in session.execute(query).tuples()
    ]


def _texts(session: Session, wanted: set[int]) -> dict[int, tuple[str, str, str]]:
    """Prompt hash and both texts of comparisons."""
    candidate_a, candidate_b = aliased(Candidate), aliased(Candidate)
    query = (
        select(Comparison.id, Prompt.sha256, candidate_a.text, candidate_b.text)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(candidate_a, candidate_a.id == Comparison.candidate_a_id)
        .join(candidate_b, candidate_b.id == Comparison.candidate_b_id)
    )
    found: dict[int, tuple[str, str, str]] = {}
    ids = sorted(wanted)
    for start in range(0, len(ids), 500):
        for id_, prompt, one, other in session.execute(
            query.where(Comparison.id.in_(ids[start : start + 500]))
        ):
            found[id_] = (prompt, one, other)
    return found
