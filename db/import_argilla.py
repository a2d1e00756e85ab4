"""Argilla's exported records as rows that ``db.import_rows`` reads.

A preference is a ranking of both responses, a label that names one, or a rating of each. What a
record looks like is in ``db.import_argilla_records``. Touches no database.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from db.errors import ImportRefused
from db.import_argilla_records import Record, record_of
from db.import_fields import (
    Chosen,
    Rows,
    choose,
    named,
    pair_fields,
    pairs_of,
    prompt_fields,
    verdict_of,
)
from db.import_options import Told
from db.lines import Line
from db.models import AnnotatorKind, Verdict

Answer = tuple[Verdict, int | None]
TAKEN = {"submitted", None}
"""The states of a response that count; drafts and discarded ones do not."""


def wrote(row: Mapping[str, Any]) -> bool:
    """Whether Argilla wrote such a record."""
    nested = isinstance(row.get("fields"), dict) and {"responses", "suggestions"} & set(row)
    flat = any(f"{name}.users" in row for name in row if name.endswith(".responses"))
    suggested = any(f"{name}.agent" in row for name in row if name.endswith(".suggestion"))
    return bool(nested) or flat or suggested or {"_server_id", "id", "status"} <= set(row)


def judgments(lines: list[Line], told: Told) -> Rows:
    """One row for each user who answered the preference of a record.

    Raises:
        ImportRefused: A record is malformed; the message names it and the field.
    """
    rows = Rows()
    records: list[tuple[Line, Record]] = []
    for line in lines:
        with told.problems.caught():
            records.append((line, record_of(line)))
    if not records:
        return rows
    first, record = records[0]
    chosen = choose(first, record.fields, told, record.prefix)
    asked = _questions(first, [record for _, record in records], chosen, told)
    for line, record in records:
        with told.problems.caught():
            pair = pair_fields(line, record.fields, chosen, told, record.prefix)
            for row in _answers(line, record, asked, chosen, told, rows):
                whole = {**pair, **row, "comparison_external_id": line.row.get("id")}
                rows.lines.append(named(line, whole, chosen, record.prefix))
    return rows


def pairs(lines: list[Line], told: Told) -> Rows:
    """One row a record, whatever was answered.

    Raises:
        ImportRefused: A record is malformed.
    """
    rows = Rows()
    chosen: Chosen | None = None
    for line in lines:
        with told.problems.caught():
            record = record_of(line)
            chosen = chosen or choose(line, record.fields, told, record.prefix)
            row = pair_fields(line, record.fields, chosen, told, record.prefix)
            row["id"] = line.row.get("id")
            rows.lines.append(named(line, row, chosen, record.prefix))
    return rows


def prompts(lines: list[Line], told: Told) -> Rows:
    """One row a record with its prompt.

    Raises:
        ImportRefused: No field looks like one.
    """
    rows = Rows()
    chosen: Chosen | None = None
    for line in lines:
        with told.problems.caught():
            record = record_of(line)
            chosen = chosen or choose(line, record.fields, told, record.prefix)
            row = prompt_fields(line, record.fields, chosen, record.prefix)
            rows.lines.append(named(line, row, chosen, record.prefix))
    return rows


def _questions(
    line: Line, records: list[Record], chosen: Chosen, told: Told
) -> tuple[str] | tuple[str, str]:
    """The question that is the preference, or the two that rate one response each.

    Raises:
        ImportRefused: There is none, or several could be it.
    """
    sample: dict[str, Any] = {}
    for record in records:
        for question, value in record.values():
            if value is not None:
                sample.setdefault(question, value)
    asked = told.fields.get("verdict")
    if asked:
        names = [name.strip() for name in asked.split(",")]
        for name in names:
            if name not in sample:
                raise line.refuse("responses", f"nobody answered {name!r}; --field verdict= names")
        return (names[0], names[1]) if len(names) == 2 else (names[0],)
    found: list[tuple[str] | tuple[str, str]] = [
        (name,) for name, value in sample.items() if _preferred(value, chosen) is not None
    ]
    numbers = [name for name, value in sample.items() if _is_number(value)]
    found += pairs_of(numbers) or _rated_by_field(numbers, chosen)
    if len(found) == 1:
        return found[0]
    if not sample:
        raise line.refuse("responses", "nobody answered anything; import comparisons instead")
    shown = ", ".join(sorted(sample))
    why = "several questions could be the preference" if found else "no question is a preference"
    raise ImportRefused(
        f"{line.file}: {line.kind} {line.number}: field responses: {why} (the file has {shown});"
        " say which with --field verdict=NAME, or verdict=NAME_A,NAME_B for a rating of each"
        " response (nothing was imported)"
    )


def _answers(
    line: Line, record: Record, asked: tuple[str, ...], chosen: Chosen, told: Told, rows: Rows
) -> Iterable[dict[str, Any]]:
    by_user: dict[str, dict[str, Any]] = {}
    for question in asked:
        for value, user, state in record.responses.get(question, []):
            if state not in TAKEN:
                rows.left_out[f"{state} there"] += question == asked[0]
            else:
                by_user.setdefault(user, {})[question] = value
    identity = line.row.get("id")
    for user, values in by_user.items():
        answer = _verdict(line, values, asked, chosen)
        if answer is None:
            rows.left_out["without an answer"] += 1
            continue
        comment = next(
            (value for question, given in record.responses.items() if question not in asked
             for value, who, _ in given if who == user and _is_comment(question, value)), None,
        )  # fmt: skip
        yield {"verdict": answer[0].value, "strength": answer[1], "annotator": f"argilla {user}",
               "comment": comment, "id": f"argilla {identity} {user}"[:160]}  # fmt: skip
    if told.suggestions and set(asked) <= set(record.suggestions):
        values = {question: record.suggestions[question][0] for question in asked}
        answer = _verdict(line, values, asked, chosen)
        if answer is not None:
            agent = record.suggestions[asked[0]][1] or "argilla suggestion"
            yield {"verdict": answer[0].value, "strength": answer[1], "annotator": agent,
                   "annotator_kind": AnnotatorKind.AUTOMATIC.value,
                   "id": f"argilla {identity} {agent}"[:160]}  # fmt: skip


def _verdict(
    line: Line, values: dict[str, Any], asked: tuple[str, ...], chosen: Chosen
) -> Answer | None:
    if len(asked) == 2:
        one, other = (values.get(question) for question in asked)
        if not (_is_number(one) and _is_number(other)):
            return None
        if one == other:
            return Verdict.TIE, None
        return (Verdict.A if cast("float", one) > cast("float", other) else Verdict.B), 1
    answer = _preferred(values[asked[0]], chosen)
    if answer is None:
        raise line.refuse(
            asked[0],
            f"{json.dumps(values[asked[0]], default=str)[:60]} names neither response"
            f" ({chosen.a}, {chosen.b}), nor a tie, nor both bad",
        )
    return answer


def _preferred(value: Any, chosen: Chosen) -> Answer | None:
    """What a label or a ranking says; None where it is neither."""
    if isinstance(value, str):
        return verdict_of(value, chosen.a, chosen.b)
    if not isinstance(value, list):
        return None
    places: dict[Verdict, float] = {}
    for number, each in enumerate(cast("list[Any]", value)):
        ranked = cast("dict[str, Any]", each) if isinstance(each, dict) else {"value": each}
        side = verdict_of(str(ranked.get("value")), chosen.a, chosen.b)
        if side is not None:
            rank = ranked.get("rank")
            places[side[0]] = cast("float", rank) if _is_number(rank) else float(number)
    if not {Verdict.A, Verdict.B} <= set(places):
        return None
    if places[Verdict.A] == places[Verdict.B]:
        return Verdict.TIE, None
    return (Verdict.A if places[Verdict.A] < places[Verdict.B] else Verdict.B), 1


def _rated_by_field(numbers: list[str], chosen: Chosen) -> list[tuple[str, str]]:
    """Ratings that are named after the response that they are about."""
    one, other = (
        [name for name in numbers if side and side.lower() in name.lower()]
        for side in (chosen.a, chosen.b)
    )
    return [(one[0], other[0])] if len(one) == 1 and len(other) == 1 else []


def _is_comment(question: str, value: Any) -> bool:
    words = ("comment", "reason", "why", "explanation", "feedback", "rationale", "note")
    return isinstance(value, str) and any(word in question.lower() for word in words)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
