"""Takes prompts, comparisons, judgments and skips into the ledger: all of a file or nothing of it.

What the ledger has already is left alone, so that the same file can be imported twice. The caller's
transaction is what makes a refused file leave no trace. What rows mean: ``db.import_rows``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db import blocks
from db.errors import ImportRefused, Refused
from db.import_options import Told
from db.import_pair_rows import Pair
from db.import_pairs import Pairs
from db.import_reading import read_judgments, read_pairs, read_prompts, read_skips
from db.import_rows import Judged, Skipped
from db.import_storing import add_judgments, add_skips, annotators, known_tokens, only_once
from db.models import AnnotatorKind, Batch, BatchState, Comparison, Prompt
from db.sample import put_prompt_row

R = TypeVar("R", Judged, Skipped)
IMPORTING = 7_150_218
"""Key of the advisory lock on PostgreSQL: one import at a time."""
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
    store.finish()
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
    known = known_tokens(session, [each.token for each in judged])
    fresh = only_once([each for each in judged if each.token not in known])
    store = _store(session, fresh, told)
    add_judgments(session, store.placed, annotators(session, fresh))
    _close_made(session, store.pairs)
    return Imported(
        rows=read.rows,
        added=len(fresh),
        known=len(judged) - len(fresh),
        completed=store.pairs.completed,
        batches=tuple(store.pairs.batches) or _batches_of(session, judged),
        left_out=read.left_out,
    )


def import_skips(
    session: Session,
    path: Path,
    *,
    batch: str | None = None,
    annotator: str | None = None,
    kind: AnnotatorKind | None = None,
    told: Told | None = None,
) -> Imported:
    """Take skips: who gave which pair to somebody else, and why. A skip is no judgment.

    Args:
        session: The session.
        path: The file.
        batch: The batch for rows that name none; by default the file's name.
        annotator: Who skipped, for rows that do not say.
        kind: What that is, for rows that do not say; a person by default.
        told: What else was said about the file.

    Raises:
        ImportRefused: A row is malformed; the message names file, line and field.
    """
    told = replace(told or Told(), batch=batch or "")
    skips = read_skips(path, told, annotator=annotator, kind=kind)
    _alone(session)
    known = known_tokens(session, [each.token for each in skips])
    fresh = only_once([each for each in skips if each.token not in known])
    store = _store(session, fresh, told)
    add_skips(session, store.placed, annotators(session, fresh))
    _close_made(session, store.pairs)
    return Imported(
        rows=len(skips),
        added=len(fresh),
        known=len(skips) - len(fresh),
        completed=store.pairs.completed,
        batches=tuple(store.pairs.batches) or _batches_of(session, skips),
    )


@dataclass(frozen=True)
class _Stored(Generic[R]):
    pairs: Pairs
    placed: list[tuple[R, Comparison, bool]]


def _store(session: Session, rows: Sequence[R], told: Told) -> _Stored[R]:
    """Each row with the comparison that it speaks of."""
    pairs = Pairs(session, (each.pair for each in rows), overlap=None, shown=False)
    placed: list[tuple[R, Comparison, bool]] = []
    for each in told.progress.over(rows, "storing"):
        with told.problems.caught():
            placed.append((each, *pairs.comparison(each.pair)))
    pairs.finish()
    return _Stored(pairs, placed)


def _close_made(session: Session, store: Pairs) -> None:
    for name in store.made_batches:
        if store.batches[name].kind != "imported":
            store.batches[name].state = BatchState.CLOSED
    session.flush()
    blocks.refresh(session, store.told)


def _batches_of(session: Session, rows: Sequence[Judged | Skipped]) -> tuple[str, ...]:
    names = {each.pair.batch for each in rows}
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
    "import_skips",
]
