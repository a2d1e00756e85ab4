"""Tells from a file's columns what it is, and reads it. Touches no database."""

from collections import Counter
from pathlib import Path

from db.errors import ImportRefused
from db.files import read_lines
from db.import_llmfao import LLMFAO, llmfao_judgments, llmfao_names, llmfao_pairs
from db.import_rows import Judged, Pair, judged_of, pair_of, stem
from db.models import AnnotatorKind, BatchKind


def read_judgments(
    path: Path,
    *,
    batch: str | None = None,
    annotator: str | None = None,
    kind: AnnotatorKind | None = None,
) -> list[Judged]:
    """The judgments of a file; which format it is shows in its columns.

    Args:
        path: The file.
        batch: The batch for rows that name none.
        annotator: Who judged, for rows that do not say.
        kind: What that is, for rows that do not say; a person by default.

    Raises:
        ImportRefused: A row is malformed; the message names file, line and field.
    """
    lines = read_lines(path)
    if not lines:
        return []
    given = lines[0].row.keys()
    default_kind = kind or AnnotatorKind.HUMAN
    if {"winner", "left", "right", "model_x", "model_y"} <= given:
        return llmfao_judgments(lines, batch or LLMFAO, annotator, default_kind)
    missing = [name for name in ("item_a", "item_b", "verdict") if name not in given]
    if missing:
        raise ImportRefused(
            f"{path}: {lines[0].kind} {lines[0].number}: field {missing[0]}: is missing;"
            " a judgments file has item_a, item_b and verdict (a, b, tie, both_bad),"
            " or LLMFAO's columns (nothing was imported)"
        )
    seen: Counter[str] = Counter()
    fallback = batch or stem(path)
    return [judged_of(line, fallback, annotator, default_kind, seen) for line in lines]


def read_pairs(
    path: Path,
    *,
    batch: str | None = None,
    persona: str | None = None,
    names: Path | None = None,
) -> list[Pair]:
    """The pairs with texts of a file.

    Args:
        path: The file.
        batch: The batch for rows that name none.
        persona: The persona for rows that name none.
        names: For LLMFAO's pairs: a file of its judgments, which has the models' names.

    Raises:
        ImportRefused: A row is malformed; the message names file, line and field.
    """
    lines = read_lines(path)
    if not lines:
        return []
    if {"model_x", "model_y", "result_x", "result_y"} <= lines[0].row.keys():
        return llmfao_pairs(lines, batch or LLMFAO, persona, llmfao_names(path, names))
    fallback = batch or stem(path)
    return [pair_of(line, fallback, BatchKind.IMPORTED, persona, texts=True) for line in lines]
