"""What a snapshot's hash covers: one canonical line of JSON for each judgment.

Knows the form of today and the first one. Does not know which judgments belong into a snapshot.
"""

import hashlib
from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from db.models import (
    Annotator,
    AnnotatorKind,
    Candidate,
    Comparison,
    Judgment,
    Prompt,
    Snapshot,
    SnapshotJudgment,
)
from db.prompts import canonical_json


def members(session: Session, snapshot_id: int) -> list[int]:
    """Ids of a snapshot's judgments, ascending."""
    return list(
        session.scalars(
            select(SnapshotJudgment.judgment_id)
            .where(SnapshotJudgment.snapshot_id == snapshot_id)
            .order_by(SnapshotJudgment.judgment_id)
        )
    )


def to_jsonl(session: Session, snapshot_id: int) -> bytes:
    """A snapshot as canonical JSON lines, one judgment a line, by judgment id.

    Each line has ``a`` and ``b`` (candidate's ``id`` and ``sha256`` of its text), ``annotator``
    and ``judgment`` (ids), ``prompt`` (SHA-256), ``strength``, ``verdict`` and ``weight``; keys
    sorted, no spaces, UTF-8, a line feed at each end. The SHA-256 of these bytes is the snapshot's.
    Snapshots that were taken by earlier versions have another hash (``stated`` knows both).
    """
    return b"".join(line for line, _ in lines(session, members(session, snapshot_id)))


def stated(session: Session, snapshot: Snapshot) -> bool:
    """Whether a snapshot's rows still say what its hash says, in today's form or the first one."""
    ids = members(session, snapshot.id)
    if len(ids) != snapshot.n_judgments:
        return False
    today = hashlib.sha256(to_jsonl(session, snapshot.id)).hexdigest()
    return snapshot.sha256 == today or snapshot.sha256 == _first_form(session, ids)


def lines(session: Session, ids: Sequence[int]) -> Iterator[tuple[bytes, AnnotatorKind]]:
    """The canonical line of each judgment, by id, and who made it."""
    candidate_a, candidate_b = aliased(Candidate), aliased(Candidate)
    query = (
        select(
            Judgment.id,
            Judgment.annotator_id,
            Annotator.kind,
            Judgment.verdict,
            Judgment.strength,
            Judgment.weight,
            Prompt.sha256,
            candidate_a.id,
            candidate_a.text,
            candidate_b.id,
            candidate_b.text,
        )
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(candidate_a, candidate_a.id == Comparison.candidate_a_id)
        .join(candidate_b, candidate_b.id == Comparison.candidate_b_id)
        .order_by(Judgment.id)
    )
    for start in range(0, len(ids), 500):
        for row in session.execute(query.where(Judgment.id.in_(ids[start : start + 500]))).tuples():
            id_, who, kind, verdict, strength, weight, prompt, a, text_a, b, text_b = row
            line = {
                "a": {"id": a, "sha256": _text_sha256(text_a)},
                "annotator": who,
                "b": {"id": b, "sha256": _text_sha256(text_b)},
                "judgment": id_,
                "prompt": prompt,
                "strength": strength,
                "verdict": verdict.value,
                "weight": weight,
            }
            yield (canonical_json(line) + "\n").encode("utf-8", "surrogatepass"), kind


def _text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _first_form(session: Session, ids: Sequence[int]) -> str:
    """The hash as snapshots had it first: no annotator, and the texts themselves."""
    digest = hashlib.sha256()
    said = select(
        Judgment.id, Judgment.comparison_id, Judgment.verdict, Judgment.strength, Judgment.weight
    ).order_by(Judgment.id)
    for start in range(0, len(ids), 500):
        part = session.execute(said.where(Judgment.id.in_(ids[start : start + 500]))).all()
        texts = _texts(session, {row.comparison_id for row in part})
        for row in part:
            line = [row.id, row.verdict.value, row.strength, row.weight, *texts[row.comparison_id]]
            digest.update((canonical_json(line) + "\n").encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


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
