"""Tells from a file's content who wrote it, and reads it. Touches no database."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

from db import import_argilla, import_label_studio
from db.errors import ImportRefused
from db.files import read_lines
from db.import_fields import Rows
from db.import_llmfao import LLMFAO, llmfao_judgments, llmfao_names, llmfao_pairs
from db.import_options import Told
from db.import_rows import Judged, Pair, judged_of, pair_of, stem
from db.lines import Line
from db.models import AnnotatorKind, BatchKind

OTHERS: dict[str, ModuleType] = {
    "label-studio": import_label_studio,
    "argilla": import_argilla,
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
    lines = read_lines(path)
    read = Read(rows=len(lines))
    if not lines:
        return read
    default_kind = kind or AnnotatorKind.HUMAN
    tool = tool_of(lines, told, "judgments")
    if tool == "llmfao":
        _complete(lines[0], LLMFAO_JUDGED)
        batch = told.batch or LLMFAO
        for line in told.progress.over(lines, "reading"):
            with told.problems.caught():
                read.judged += llmfao_judgments([line], batch, annotator, default_kind)
        return read
    told = replace(told, batch=told.batch or stem(path))
    if tool in OTHERS:
        made: Rows = OTHERS[tool].judgments(lines, told)
        lines, read.left_out = made.lines, made.left_out
    else:
        missing = [name for name in JUDGED if name not in lines[0].row]
        if missing:
            raise lines[0].refuse(
                missing[0],
                "is missing; a judgments file has item_a, item_b and verdict (a, b, tie,"
                " both_bad), or LLMFAO's columns, or is an export of Label Studio or Argilla"
                " (--format names it)",
            )
    seen: Counter[str] = Counter()
    for line in told.progress.over(lines, "reading"):
        with told.problems.caught():
            read.judged.append(judged_of(line, told.batch, annotator, default_kind, seen))
    return read


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
    lines = read_lines(path)
    if not lines:
        return []
    tool = tool_of(lines, told, "pairs")
    pairs: list[Pair] = []
    if tool == "llmfao":
        _complete(lines[0], LLMFAO_PAIRS)
        known = llmfao_names(path, names)
        for line in told.progress.over(lines, "reading"):
            with told.problems.caught():
                pairs += llmfao_pairs([line], told.batch or LLMFAO, persona, known)
        return pairs
    told = replace(told, batch=told.batch or stem(path))
    if tool in OTHERS:
        lines = OTHERS[tool].pairs(lines, told).lines
    for line in told.progress.over(lines, "reading"):
        with told.problems.caught():
            pairs.append(pair_of(line, told.batch, BatchKind.IMPORTED, persona, texts=True))
    return pairs


def read_prompts(path: Path, told: Told) -> list[Line]:
    """The rows of a file of prompts, with ``prompt`` or ``messages`` each.

    Raises:
        ImportRefused: A row is malformed; the message names file, line and field.
    """
    lines = read_lines(path)
    tool = tool_of(lines, told, "prompts") if lines else ""
    return OTHERS[tool].prompts(lines, told).lines if tool in OTHERS else lines


def tool_of(lines: list[Line], told: Told, what: str) -> str:
    """Who wrote the file, from what was said or from its first record.

    Raises:
        ImportRefused: It looks like the work of several.
    """
    if told.tool:
        return told.tool
    row = lines[0].row
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
            f"{lines[0].file}: looks like a file of {' and of '.join(found)}; say which with"
            " --format (nothing was imported)"
        )
    return found[0] if found else "personaloop"


def _complete(line: Line, wanted: set[str]) -> None:
    for name in sorted(wanted - set(line.row)):
        raise line.refuse(name, "is missing; LLMFAO's file has it")
