"""Label Studio's pairwise exports as rows that ``db.import_rows`` reads: JSON, JSON-MIN, CSV.

JSON is a list of tasks with ``data``, ``annotations`` and ``predictions``; an answer is a result of
type ``pairwise`` with ``selected`` left or right, and where the project offers ties, one of type
``choices``. JSON-MIN and CSV have one flat record an annotation (label_studio_sdk:
converter/converter.py, converter/exports/csv2.py; the editor: tags/control/Pairwise.js, whose left
is the first name of ``toName``). Touches no database.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from db.import_fields import (
    Chosen,
    Rows,
    choose,
    named,
    pair_fields,
    prompt_fields,
    verdict_of,
)
from db.import_options import Told
from db.lines import Line
from db.models import AnnotatorKind, Verdict

Answer = tuple[Verdict, int | None]
FLAT = {"annotator", "annotation_id", "lead_time"}
"""Columns that every flat export has."""
_RECORD = FLAT | {"id", "created_at", "updated_at", "agreement", "history"}


def wrote(row: Mapping[str, Any]) -> bool:
    """Whether Label Studio wrote such a record."""
    tasks = {"annotations", "predictions", "completions"} & set(row)
    return (isinstance(row.get("data"), dict) and bool(tasks)) or set(row) >= FLAT


def judgments(lines: list[Line], told: Told) -> Rows:
    """One row an annotation that has an answer.

    Raises:
        ImportRefused: A record is malformed; the message names it and the field.
    """
    rows = Rows()
    chosen = _chosen(lines, told)
    sides = 1 if any("selected" in json.dumps(line.row, default=str) for line in lines) else 0
    for line in lines:
        with told.problems.caught():
            data, prefix = _data(line)
            pair = pair_fields(line, data, chosen, told, prefix)
            task = line.row.get("id")
            for annotation in _annotations(line, chosen, told, rows):
                row = {**pair, **annotation, "placement": sides, "comparison_external_id": task}
                rows.lines.append(named(line, row, chosen, prefix))
    return rows


def pairs(lines: list[Line], told: Told) -> Rows:
    """One row a task, whatever was answered.

    Raises:
        ImportRefused: A record is malformed.
    """
    rows = Rows()
    chosen = _chosen(lines, told)
    seen: set[str] = set()
    for line in lines:
        task = str(line.row.get("id") or line.number)
        if task in seen:
            continue
        seen.add(task)
        with told.problems.caught():
            data, prefix = _data(line)
            row = pair_fields(line, data, chosen, told, prefix) | {"id": task}
            rows.lines.append(named(line, row, chosen, prefix))
    return rows


def prompts(lines: list[Line], told: Told) -> Rows:
    """One row a task with its prompt.

    Raises:
        ImportRefused: No field looks like one.
    """
    rows = Rows()
    chosen = _chosen(lines, told)
    for line in lines:
        with told.problems.caught():
            data, prefix = _data(line)
            row = prompt_fields(line, data, chosen, prefix)
            rows.lines.append(named(line, row, chosen, prefix))
    return rows


def _chosen(lines: list[Line], told: Told) -> Chosen:
    data, prefix = _data(lines[0])
    return choose(lines[0], data, told, prefix)


def _data(line: Line) -> tuple[Mapping[str, Any], str]:
    """The task's own fields, and what stands before their names."""
    if "data" not in line.row or set(line.row) >= FLAT:
        texts = {n: v for n, v in line.row.items() if n not in _RECORD and not _is_control(v)}
        return texts, ""
    data = line.row["data"]
    if not isinstance(data, dict):
        raise line.refuse("data", "must be an object with the task's fields")
    return cast("dict[str, Any]", data), "data."


def _is_control(value: Any) -> bool:
    """Whether a flat column holds an answer, not a part of the task."""
    parsed = _parsed(value)
    if not isinstance(parsed, list):
        return False
    members = cast("list[Any]", parsed)
    return bool(members) and _selected(members[0]) is not None


def _annotations(line: Line, chosen: Chosen, told: Told, rows: Rows) -> Iterator[dict[str, Any]]:
    if set(line.row) >= FLAT:
        yield from _flat(line, chosen, told, rows)
        return
    given = line.row.get("annotations", line.row.get("completions"))
    for number, each in enumerate(_objects(line, "annotations", given)):
        where = f"annotations[{number}].result"
        if each.get("was_cancelled") or each.get("skipped"):
            rows.left_out["skipped there"] += 1
            continue
        answer, comment = _result(line, where, each.get("result"), chosen, told)
        if answer is None:
            rows.left_out["without an answer"] += 1
            continue
        yield _row(line, answer, comment, each, _who(each.get("completed_by")))
    if told.suggestions:
        for number, each in enumerate(_objects(line, "predictions", line.row.get("predictions"))):
            where = f"predictions[{number}].result"
            answer, comment = _result(line, where, each.get("result"), chosen, told)
            if answer is not None:
                who = each.get("model_version") or "label-studio prediction"
                row = _row(line, answer, comment, each, str(who))
                yield row | {"annotator_kind": AnnotatorKind.AUTOMATIC.value}


def _flat(line: Line, chosen: Chosen, told: Told, rows: Rows) -> Iterator[dict[str, Any]]:
    """The answer of a record of JSON-MIN or CSV, whose controls are columns beside the data."""
    taken = {chosen.a, chosen.b, chosen.prompt, chosen.item_a, chosen.item_b, chosen.persona}
    only = told.fields.get("verdict")
    found: list[tuple[str, Answer]] = []
    for name, value in line.row.items():
        if name in _RECORD or name in taken or (only and name != only):
            continue
        answers = [_answer(each, chosen) for each in _as_list(_parsed(value))]
        found += [(name, answer) for answer in answers if answer is not None]
    answer = _agreed(line, only or "annotator", found)
    if answer is None:
        rows.left_out["without an answer"] += 1
        return
    yield _row(
        line, answer, None, {**line.row, "id": line.row.get("annotation_id")},
        _who(line.row.get("annotator")),
    )  # fmt: skip


def _result(
    line: Line, where: str, result: Any, chosen: Chosen, told: Told
) -> tuple[Answer | None, str | None]:
    """The answer in an annotation's results, and what was written beside it."""
    only = told.fields.get("verdict")
    found: list[tuple[str, Answer]] = []
    comments: list[str] = []
    for each in _objects(line, where, result):
        kind, value = str(each.get("type")), each.get("value")
        if not isinstance(value, dict):
            raise line.refuse(f"{where}.value", "must be an object")
        name = str(each.get("from_name") or kind)
        inside = cast("dict[str, Any]", value)
        if kind == "textarea":
            comments += [str(text) for text in _as_list(inside.get("text"))]
        elif kind == "pairwise" or (kind == "choices" and only in {None, name}):
            given = [inside] if kind == "pairwise" else _as_list(inside.get("choices"))
            answers = [_answer(one, chosen) for one in given]
            if kind == "pairwise" and None in answers:
                raise line.refuse(f"{where}.value.selected", f"is {inside}, not left or right")
            found += [(name, answer) for answer in answers if answer is not None]
    return _agreed(line, where, found), "\n".join(comments) or None


def _agreed(line: Line, where: str, found: list[tuple[str, Answer]]) -> Answer | None:
    """The one answer that was given; two that contradict each other are refused."""
    if len({answer[0] for _, answer in found}) > 1:
        said = ", ".join(f"{name} says {answer[0].value}" for name, answer in found)
        raise line.refuse(where, f"contradicts itself ({said}); say which with --field verdict=")
    return max((answer for _, answer in found), key=lambda each: each[1] or 0, default=None)


def _answer(value: Any, chosen: Chosen) -> Answer | None:
    selected = _selected(value)
    if selected is not None:
        return {"left": (Verdict.A, 1), "right": (Verdict.B, 1)}.get(selected)
    return verdict_of(value, chosen.a, chosen.b) if isinstance(value, str) else None


def _selected(value: Any) -> str | None:
    inside = cast("dict[str, Any]", value).get("selected") if isinstance(value, dict) else None
    return inside if isinstance(inside, str) else None


def _row(
    line: Line, answer: Answer, comment: str | None, annotation: dict[str, Any], who: str | None
) -> dict[str, Any]:
    seconds = annotation.get("lead_time")
    if seconds in {None, ""}:
        dwell = None
    else:
        try:
            dwell = max(0, round(float(str(seconds)) * 1000))
        except ValueError:
            raise line.refuse("lead_time", f"{seconds!r} is no number of seconds") from None
    given = annotation.get("id")
    return {
        "id": None if given is None else f"label-studio {given}",
        "verdict": answer[0].value,
        "strength": answer[1],
        "annotator": who,
        "comment": comment,
        "dwell_ms": dwell,
        "created_at": annotation.get("created_at"),
    }


def _who(value: Any) -> str | None:
    """An annotator's name: the address where the export has it, else the account's number."""
    if isinstance(value, dict):
        account = cast("dict[str, Any]", value)
        value = account.get("email") or account.get("id")
    if value is None or value == "":
        return None
    return f"label-studio {value}" if str(value).isdigit() else str(value)


def _objects(line: Line, name: str, value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    members = cast("list[Any]", value) if isinstance(value, list) else [None]
    if not all(isinstance(each, dict) for each in members):
        raise line.refuse(name, "must be a list of objects, as Label Studio exports it")
    return cast("list[dict[str, Any]]", members)


def _as_list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _parsed(value: Any) -> Any:
    """A cell's value: CSV holds lists as JSON text."""
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:
        try:
            return json.loads(value)
        except ValueError:
            return value  # a text that only looks like a list
    return value
