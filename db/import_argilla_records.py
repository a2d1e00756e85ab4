"""Argilla's records in a file: what was asked, and who answered what. Knows no verdicts.

``records.to_json`` writes a list of nested records (fields, responses and suggestions by question);
``records.to_datasets`` and ``to_list(flatten=True)`` write flat ones, whose columns are named
``QUESTION.responses``, ``.responses.users``, ``.responses.status`` and ``QUESTION.suggestion``
(argilla: records/_resource.py, records/_io/_generic.py).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from db.lines import Line

_RECORD = {"id", "status", "inserted_at", "updated_at", "_server_id", "score"}
_ENDS = (".responses", ".responses.users", ".responses.status", ".suggestion", ".suggestion.score",
         ".suggestion.agent")  # fmt: skip


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


def record_of(line: Line) -> Record:
    """A line as a record, nested or flat.

    Raises:
        ImportRefused: It is malformed; the message names it and the field.
    """
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
