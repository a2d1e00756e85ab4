"""Argilla's exported records as rows that ``db.import_rows`` reads.

``records.to_json`` writes a list of nested records (fields, responses and suggestions by question);
``records.to_datasets`` and ``to_list(flatten=True)`` write flat ones, whose columns are named
``QUESTION.responses``, ``.responses.users``, ``.responses.status`` and ``QUESTION.suggestion``
(argilla: records/_resource.py, records/_io/_generic.py). A preference is a ranking of both
responses, a label that names one, or a rating of each. Touches no database.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from db.errors import ImportRefused
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
_RECORD = {"id", "status", "inserted_at", "updated_at", "_server_id", "score"}
_ENDS = (".responses", ".responses.users", ".responses.status", ".suggestion", ".suggestion.score",
         ".suggestion.agent")  # fmt: skip
TAKEN = {"submitted", None}
"""The states of a response that count; drafts and discarded ones do not."""


@dataclass
class Record:
    """One record: what was asked, and who answered what.

    Attributes:
        fields: Its fields.
        responses: By question, what each user answered: value, user, state.
        suggestions: By question, value and agent.
        prefix: What stands before a field's name in the file.
    """

    fields: Mapping[str, Any]
    responses: dict[str, list[tuple[Any, str, str | None]]] = field(
        default_factory=dict[str, list[tuple[Any, str, str | None]]]
    )
    suggestions: dict[str, tuple[Any, str | None]] = field(
        default_factory=dict[str, tuple[Any, str | None]]
    )
    prefix: str = ""

    def values(self) -> Iterable[tuple[str, Any]]:
        """Every answer with its question."""
        for question, given in self.responses.items():
            for value, _, _ in given:
                yield question, value
        for question, (value, _) in self.suggestions.items():
            yield question, value


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
            records.append((line, _record(line)))
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
            record = _record(line)
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
            record = _record(line)
            chosen = chosen or choose(line, record.fields, told, record.prefix)
            row = prompt_fields(line, record.fields, chosen, record.prefix)
            rows.lines.append(named(line, row, chosen, record.prefix))
    return rows


def _record(line: Line) -> Record:
    if "fields" in line.row:
        return _nested(line)
    fields: dict[str, Any] = {}
    for name, value in line.row.items():
        if name not in _RECORD and not name.endswith(_ENDS) and value is not None:
            fields[name] = value
    record = Record(fields)
    for name in line.row:
        if name.endswith(".responses"):
            values, users, states = (
                _list(line, f"{name}{end}") for end in ("", ".users", ".status")
            )
            if len(users) != len(values):
                raise line.refuse(f"{name}.users", f"has {len(users)} for {len(values)} responses")
            states = states or [None] * len(values)
            record.responses[name.removesuffix(".responses")] = [
                (value, str(user), None if state is None else str(state))
                for value, user, state in zip(values, users, states, strict=True)
            ]
        elif name.endswith(".suggestion") and line.row[name] is not None:
            agent = line.row.get(f"{name}.agent")
            question = name.removesuffix(".suggestion")
            record.suggestions[question] = (line.row[name], str(agent) if agent else None)
    return record


def _nested(line: Line) -> Record:
    fields, responses, suggestions = (
        _object(line, name, line.row.get(name)) for name in ("fields", "responses", "suggestions")
    )
    record = Record(fields, prefix="fields.")
    for question, given in responses.items():
        where = f"responses.{question}"
        members = cast("list[Any]", given) if isinstance(given, list) else [None]
        if not all(isinstance(each, dict) and "value" in each for each in members):
            raise line.refuse(where, "must be a list of answers with value and user_id")
        record.responses[question] = [
            (each["value"], str(each.get("user_id") or "unknown"), each.get("status"))
            for each in cast("list[dict[str, Any]]", members)
        ]
    for question, given in suggestions.items():
        inside = _object(line, f"suggestions.{question}", given)
        agent = inside.get("agent")
        record.suggestions[question] = (inside.get("value"), str(agent) if agent else None)
    return record


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


def _object(line: Line, name: str, value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise line.refuse(name, "must be an object, as Argilla exports it")
    return cast("dict[str, Any]", value or {})


def _list(line: Line, name: str) -> list[Any]:
    value = line.row.get(name)
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError:
            raise line.refuse(name, "is no JSON list; export with to_json or as Parquet") from None
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise line.refuse(name, "must be a list, one entry a user")
    return cast("list[Any]", value)
