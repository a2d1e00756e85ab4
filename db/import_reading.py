"""Tells from a file's content who wrote it, and reads it. Touches no database.

The project's own rows are read one by one, and of each only what it means is kept; another tool's
file is read whole.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import ModuleType

from db import import_argilla, import_label_studio, import_trainers
from db.errors import ImportRefused
from db.files import lines_of, read_lines
from db.import_fields import Rows
from db.import_llmfao import LLMFAO, llmfao_judgments, llmfao_names, llmfao_pairs
from db.import_options import Told
from db.import_pair_rows import Pair, PairsOfRows
from db.import_rows import Judged, Skipped, judged_of, skipped_of, stem
from db.lines import Line
from db.models import AnnotatorKind, BatchKind

OTHERS: dict[str, ModuleType] = {
    "label-studio": import_label_studio,
    "argilla": import_argilla,
    "trl": import_trainers,
}
JUDGED = ("item_a", "item_b", "verdict")
LLMFAO_JUDGED = {"winner", "left", "right", "model_x", "model_y"}
LLMFAO_PAIRS = {"model_x", "model_y", "result_x", "result_y"}


@dataclass
class Read:
    """What a file holds.

    Attributes:
        judged: Judgments.
        left_out: Answers that were not taken, by why.
        rows: Rows of the file.
    """

    judged: list[Judged] = field(default_factory=list[Judged])
    left_out: Counter[str] = field(default_factory=Counter[str])
    rows: int = 0


def read_judgments(
    path: Path, told: Told, *, annotator: str | None = None, kind: AnnotatorKind | None = None
) -> Read:
    """The judgments of a file; who wrote it shows in its content.

    Args:
        path: The file.
        told: What was said about it.
        annotator: Who judged, for rows that do not say.
        kind: What that is, for rows that do not say; a person by default.

    Raises:
        ImportRefused: A row is malformed; the message names file, line and field.
    """
    read = Read()
    first, lines = _begun(path)
    if first is None:
        return read
    default_kind = kind or AnnotatorKind.HUMAN
    tool = tool_of(first, told, "judgments")
    if tool == "llmfao":
        _complete(first, LLMFAO_JUDGED)
        batch = told.batch or LLMFAO
        for line in told.progress.over(lines, "reading"):
            read.rows += 1
            with told.problems.caught():
                read.judged += llmfao_judgments([line], batch, annotator, default_kind)
        return read
    told = replace(told, batch=told.batch or stem(path))
    if tool in OTHERS:
        whole = list(lines)
        made: Rows = OTHERS[tool].judgments(whole, told)
        lines, read.left_out, read.rows = iter(made.lines), made.left_out, len(whole)
    else:
        _judged(first)
    seen: Counter[str] = Counter()
    known = PairsOfRows(told.batch, BatchKind.IMPORTED)
    for line in told.progress.over(lines, "reading"):
        read.rows += tool not in OTHERS
        with told.problems.caught():
            read.judged.append(judged_of(line, known, annotator, default_kind, seen))
    return read


def read_skips(
    path: Path, told: Told, *, annotator: str | None = None, kind: AnnotatorKind | None = None
) -> list[Skipped]:
    """The skips of a file, as ``personaloop export skips`` writes them.

    Args:
        path: The file.
        told: What was said about it.
        annotator: Who skipped, for rows that do not say.
        kind: What that is, for rows that do not say; a person by default.

    Raises:
        ImportRefused: A row is malformed; the message names file, line and field.
    """
    first, lines = _begun(path)
    if first is None:
        return []
    known = PairsOfRows(told.batch or stem(path), BatchKind.IMPORTED)
    skips: list[Skipped] = []
    for line in told.progress.over(lines, "reading"):
        with told.problems.caught():
            skips.append(skipped_of(line, known, annotator, kind or AnnotatorKind.HUMAN))
    return skips


def read_pairs(
    path: Path, told: Told, *, persona: str | None = None, names: Path | None = None
) -> list[Pair]:
    """The pairs with texts of a file.

    Args:
        path: The file.
        told: What was said about it.
        persona: The persona for rows that name none.
        names: For LLMFAO's pairs: a file of its judgments, which has the models' names.

    Raises:
        ImportRefused: A row is malformed; the message names file, line and field.
    """
    first, lines = _begun(path)
    if first is None:
        return []
    tool = tool_of(first, told, "pairs")
    pairs: list[Pair] = []
    if tool == "llmfao":
        _complete(first, LLMFAO_PAIRS)
        named = llmfao_names(path, names)
        for line in told.progress.over(lines, "reading"):
            with told.problems.caught():
                pairs += llmfao_pairs([line], told.batch or LLMFAO, persona, named)
        return pairs
    told = replace(told, batch=told.batch or stem(path))
    if tool in OTHERS:
        lines = iter(OTHERS[tool].pairs(list(lines), told).lines)
    known = PairsOfRows(told.batch, BatchKind.IMPORTED, persona, texts=True)
    for line in told.progress.over(lines, "reading"):
        with told.problems.caught():
            pairs.append(known.of(line))
    return pairs


def read_prompts(path: Path, told: Told) -> list[Line]:
    """The rows of a file of prompts, with ``prompt`` or ``messages`` each.

    Raises:
        ImportRefused: A row is malformed; the message names file, line and field.
    """
    lines = read_lines(path)
    tool = tool_of(lines[0], told, "prompts") if lines else ""
    return OTHERS[tool].prompts(lines, told).lines if tool in OTHERS else lines


def tool_of(first: Line, told: Told, what: str) -> str:
    """Who wrote the file, from what was said or from its first record.

    Raises:
        ImportRefused: It looks like the work of several.
    """
    if told.tool:
        return told.tool
    row = first.row
    own: dict[str, Callable[[], bool]] = {
        "judgments": lambda: set(JUDGED) <= set(row),
        "pairs": lambda: {"text_a", "text_b", "item_a", "item_b"} <= set(row),
        "prompts": lambda: {"split", "journey"} <= set(row),
    }
    found = [name for name, module in OTHERS.items() if module.wrote(row)]
    if set(row) >= LLMFAO_JUDGED or set(row) >= LLMFAO_PAIRS:
        found.append("llmfao")
    if own[what]():
        found.append("personaloop")
    if len(found) > 1:
        raise ImportRefused(
            f"{first.file}: looks like a file of {' and of '.join(found)}; say which with"
            " --format (nothing was imported)"
        )
    return found[0] if found else "personaloop"


def _complete(line: Line, wanted: set[str]) -> None:
    for name in sorted(wanted - set(line.row)):
        raise line.refuse(name, "is missing; LLMFAO's file has it")


def _begun(path: Path) -> tuple[Line | None, Iterator[Line]]:
    """The first row of a file, and all of its rows as they are read."""
    lines = lines_of(path)
    first = next(lines, None)
    return first, iter(()) if first is None else chain([first], lines)


def _judged(first: Line) -> None:
    """Refuse a file that has no judgments in its first row."""
    for name in JUDGED:
        if name not in first.row:
            raise first.refuse(
                name,
                "is missing; a judgments file has item_a, item_b and verdict (a, b, tie,"
                " both_bad), or LLMFAO's columns, or is an export of Label Studio or Argilla,"
                " or has chosen and rejected (--format names it)",
            )
