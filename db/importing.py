"""Takes prompts, comparisons and judgments into the ledger: all of a file or nothing of it.

What the ledger has already is left alone, so that the same file can be imported twice. The caller's
transaction is what makes a refused file leave no trace. What rows mean: ``db.import_rows``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db import blocks
from db.batches import SWAPPED
from db.clock import utcnow
from db.errors import ImportRefused, Refused
from db.import_options import Told
from db.import_pairs import Pairs
from db.import_reading import read_judgments, read_pairs, read_prompts
from db.import_rows import Judged, Pair
from db.models import (
    Annotator,
    AnnotatorKind,
    Assignment,
    AssignmentState,
    Batch,
    BatchState,
    Comparison,
    Judgment,
    Prompt,
    Retraction,
)
from db.people import put_annotator
from db.sample import put_prompt_row

IMPORTING = 7_150_218
"""Key of the advisory lock on PostgreSQL: one import at a time."""
CHUNK = 500
DESCRIBED = {"journey": 64, "intent": 64, "locale": 16, "tier": 32, "source": 120}
"""What describes a prompt, and how many characters of it the ledger keeps."""


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        rows: Rows of the file.
        added: Rows that are new in the ledger.
        known: Rows that it had already.
        completed: Comparisons whose texts were unknown until now.
        hidden: Comparisons that are never shown, because a text is empty.
        batches: The batches that hold them.
        left_out: Answers of another tool's export that were not taken, by why.
    """

    rows: int
    added: int
    known: int
    completed: int = 0
    hidden: int = 0
    batches: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])


def _has_answer(pair: Pair) -> None:
    if pair.gold is None:
        raise pair.refuse("gold", "is missing; each pair of a gold batch has its answer")


def import_prompts(
    session: Session, path: Path, *, split: str | None = None, told: Told | None = None
) -> Imported:
    """Take prompts: rows with ``prompt`` (text) or ``messages`` and what describes them.

    Args:
        session: The session.
        path: The file.
        split: ``loop`` or ``heldout`` for rows that do not say; loop by default.
        told: What else was said about the file.

    Raises:
        ImportRefused: A row is malformed; the message names file, line and field.
    """
    told = told or Told()
    lines = read_prompts(path, told)
    _alone(session)
    before = _count(session)
    for line in told.progress.over(lines, "storing"):
        with told.problems.caught():
            row = dict(line.row)
            row["messages"] = line.json("messages")
            row["tags"] = line.json("tags")
            row["split"] = line.text("split", split or "loop")
            row["prompt"] = line.optional("prompt")
            for name, most in DESCRIBED.items():
                row[name] = line.optional(name, most)
            try:
                put_prompt_row(session, row, source=f"import {path.name}"[:120])
            except Refused as error:
                field, _, what = str(error).removeprefix("field ").partition(": ")
                raise line.refuse(field, what) from None
    added = _count(session) - before
    return Imported(len(lines), added, len(lines) - added)


def import_comparisons(
    session: Session,
    path: Path,
    *,
    batch: str | None = None,
    overlap: int | None = None,
    persona: str | None = None,
    names: Path | None = None,
    purpose: str = "work",
    told: Told | None = None,
) -> Imported:
    """Take pairs with texts, to be shown on the label page.

    Args:
        session: The session.
        path: The file.
        batch: The batch for rows that name none; by default the file's name, or ``llmfao``.
        overlap: Judgments wanted a pair; 1 for a new batch by default.
        persona: The persona for rows that name none.
        names: For LLMFAO's pairs: a file of its judgments, which has the models' names.
        purpose: ``gold`` where every row has a known answer and the pairs are to be mixed into
            other batches; an existing batch keeps its own.
        told: What else was said about the file.

    Raises:
        ImportRefused: A row is malformed; the message names file, line and field.
    """
    told = replace(told or Told(), batch=batch or "")
    pairs = read_pairs(path, told, persona=persona, names=names)
    if purpose != "work":
        for pair in pairs:
            with told.problems.caught():
                _has_answer(pair)
        pairs = [replace(pair, purpose=purpose) for pair in pairs]
    _alone(session)
    store = Pairs(session, pairs, overlap=overlap, shown=True)
    for pair in told.progress.over(pairs, "storing"):
        with told.problems.caught():
            store.comparison(pair)
    blocks.refresh(session, store.told)
    return Imported(
        rows=len(pairs),
        added=store.added,
        known=len(pairs) - store.added - store.completed,
        completed=store.completed,
        hidden=store.hidden,
        batches=tuple(store.batches),
    )


def import_judgments(
    session: Session,
    path: Path,
    *,
    batch: str | None = None,
    annotator: str | None = None,
    kind: AnnotatorKind | None = None,
    told: Told | None = None,
) -> Imported:
    """Take judgments, with or without the texts of their pairs.

    They stand as given and take no seat: the label page still asks for as many judgments of a pair
    as its batch wants. Pairs that the ledger did not have are shown to nobody.

    Args:
        session: The session.
        path: The file.
        batch: The batch for rows that name none; by default the file's name, or ``llmfao``.
        annotator: Who judged, for rows that do not say.
        kind: What that is, for rows that do not say; a person by default.
        told: What else was said about the file.

    Raises:
        ImportRefused: A row is malformed; the message names file, line and field.
    """
    told = replace(told or Told(), batch=batch or "")
    read = read_judgments(path, told, annotator=annotator, kind=kind)
    judged = read.judged
    _alone(session)
    known = _known_tokens(session, [each.token for each in judged])
    fresh = _unique([each for each in judged if each.token not in known])
    store = Pairs(session, [each.pair for each in fresh], overlap=None, shown=False)
    placed: list[tuple[Judged, Comparison, bool]] = []
    for each in told.progress.over(fresh, "storing"):
        with told.problems.caught():
            placed.append((each, *store.comparison(each.pair)))
    _add_judgments(session, placed, _annotators(session, fresh))
    for name in store.made_batches:
        if store.batches[name].kind != "imported":
            store.batches[name].state = BatchState.CLOSED
    session.flush()
    blocks.refresh(session, store.told)
    return Imported(
        rows=read.rows,
        added=len(fresh),
        known=len(judged) - len(fresh),
        completed=store.completed,
        batches=tuple(store.batches) or _batches_of(session, judged),
        left_out=read.left_out,
    )


def _add_judgments(
    session: Session,
    placed: list[tuple[Judged, Comparison, bool]],
    annotators: dict[str, Annotator],
) -> None:
    attempts = _attempts(session, {comparison.id for _, comparison, _ in placed})
    now = utcnow()
    leases: list[Assignment] = []
    for each, comparison, swapped in placed:
        who = annotators[each.annotator].id
        attempt = attempts.get((comparison.id, who), 0) + 1
        attempts[comparison.id, who] = attempt
        when = each.created_at or now
        placement = -each.placement if swapped else each.placement
        leases.append(
            Assignment(
                token=each.token,
                comparison_id=comparison.id,
                annotator_id=who,
                attempt=attempt,
                placement=placement or 1,
                state=AssignmentState.WITHDRAWN if each.retracted else AssignmentState.JUDGED,
                seat=False,
                leased_at=when,
                shown_at=when,
                expires_at=when,
            )
        )
    session.add_all(leases)
    session.flush()
    judgments: list[Judgment] = []
    for (each, comparison, swapped), lease in zip(placed, leases, strict=True):
        judgments.append(
            Judgment(
                assignment_id=lease.id,
                comparison_id=comparison.id,
                annotator_id=lease.annotator_id,
                verdict=SWAPPED[each.verdict] if swapped else each.verdict,
                strength=each.strength,
                placement=-each.placement if swapped else each.placement,
                weight=each.weight,
                in_character=each.answers.get("in_character"),
                helpful=each.answers.get("helpful"),
                safe=each.answers.get("safe"),
                tags=each.tags,
                comment=each.comment,
                flag=each.flag,
                dwell_ms=each.dwell_ms,
                source=each.source,
                external_id=each.external_id,
                created_at=each.created_at or now,
            )
        )
    session.add_all(judgments)
    session.flush()
    session.add_all(
        Retraction(
            judgment_id=judgment.id,
            reason=each.retracted,
            created_at=each.retracted_at or judgment.created_at,
        )
        for (each, _, _), judgment in zip(placed, judgments, strict=True)
        if each.retracted
    )
    session.flush()
    blocks.seal(session, None)


def _annotators(session: Session, judged: list[Judged]) -> dict[str, Annotator]:
    found: dict[str, Annotator] = {}
    for each in judged:
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


def _unique(judged: list[Judged]) -> list[Judged]:
    seen: dict[str, Judged] = {}
    for each in judged:
        if each.token in seen:
            first = seen[each.token].line.number
            raise each.line.refuse(
                "judgment", f"the same id stands on {each.line.kind} {first}; remove one of the two"
            )
        seen[each.token] = each
    return judged


def _known_tokens(session: Session, tokens: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(tokens), CHUNK):
        query = select(Assignment.token).where(Assignment.token.in_(tokens[start : start + CHUNK]))
        found.update(session.scalars(query))
    return found


def _attempts(session: Session, comparisons: set[int]) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    ids = sorted(comparisons)
    for start in range(0, len(ids), CHUNK):
        query = (
            select(Assignment.comparison_id, Assignment.annotator_id, func.max(Assignment.attempt))
            .where(Assignment.comparison_id.in_(ids[start : start + CHUNK]))
            .group_by(Assignment.comparison_id, Assignment.annotator_id)
        )
        for comparison_id, annotator_id, attempt in session.execute(query).tuples():
            found[comparison_id, annotator_id] = attempt
    return found


def _batches_of(session: Session, judged: list[Judged]) -> tuple[str, ...]:
    names = {each.pair.batch for each in judged}
    return tuple(session.scalars(select(Batch.name).where(Batch.name.in_(names))))


def _count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Prompt)) or 0


def _alone(session: Session) -> None:
    """One import at a time, so that two of the same file cannot both find nothing there."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": IMPORTING})


__all__ = [
    "ImportRefused",
    "Imported",
    "import_comparisons",
    "import_judgments",
    "import_prompts",
]
