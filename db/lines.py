"""One row of a file, and its fields as what they must be. Knows neither files nor tables.

A field that is not what it must be is refused with the file, the line and the field's name.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from db.errors import ImportRefused
from db.texts import is_storable

_DEEPEST = 64
_LARGEST = 2**31 - 1
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a file.

    Attributes:
        file: The file.
        number: Line (CSV, JSONL: from 1, as an editor counts) or row (Parquet: from 1).
        row: Field names and values.
        kind: ``line``, ``row`` or ``record``, as people call it.
        names: What the file calls a field, where the row was made from another tool's.
        inside_of: The field that holds this row, where it is an object in a list of another row.
    """

    file: Path
    number: int
    row: Row
    kind: str = "line"
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    inside_of: str = ""

    def without_row(self) -> "Line":
        """The place alone, for what is kept of a file that is read."""
        return Line(self.file, self.number, {}, self.kind, self.names, self.inside_of)

    def inside(self, field: str, row: Row) -> "Line":
        """An object that a field holds, as a row of its own that refuses by its place."""
        return Line(self.file, self.number, row, self.kind, inside_of=f"{field}.")

    def refuse(self, field: str, what: str) -> ImportRefused:
        """The error for a field of this row: file, line, field, what is wrong and what to do."""
        told = self.names.get(field, field)
        return ImportRefused(
            f"{self.file}: {self.kind} {self.number}: field {self.inside_of}{told}: {what}"
            " (nothing was imported)"
        )

    def text(self, field: str, default: str | None = None) -> str:
        """A field that must be text.

        Raises:
            ImportRefused: It is missing (and there is no default) or has characters that cannot be
                stored.
        """
        value = self.row.get(field)
        if value is None or value == "":
            if default is None:
                raise self.refuse(field, "is missing; give it a value")
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.refuse(field, f"must be text, not {type(value).__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.refuse(field, f"is {value}; give it a value")
        found = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        if not is_storable(found):
            raise self.refuse(field, "has a character that no database stores (NUL); remove it")
        return found

    def optional(self, field: str, most: int | None = None) -> str | None:
        """A field that may be missing or empty, of at most so many characters."""
        value = self.text(field, "")
        return (value if most is None else self.short(field, value, most)) or None

    def short(self, field: str, value: str, most: int) -> str:
        """The value, unless it is too long to keep.

        Raises:
            ImportRefused: It is.
        """
        if len(value) > most:
            raise self.refuse(field, f"has {len(value)} characters; at most {most} are kept")
        return value

    def given(self, field: str, default: str) -> str:
        """A field as it is given, empty too; the default only where the file has no such column."""
        return self.text(field, "") if field in self.row else default

    def integer(
        self, field: str, allowed: Sequence[int] | None = None, *, least: int = -_LARGEST
    ) -> int | None:
        """A whole number, or None where the field is missing or empty.

        Raises:
            ImportRefused: It is not a whole number, not one of ``allowed``, below ``least``, or
                larger than the ledger keeps.
        """
        value = self.row.get(field)
        if value is None or value == "":
            return None
        try:
            number = _whole(value)
        except (ValueError, OverflowError):
            raise self.refuse(field, f"{str(value)[:40]!r} is not a whole number") from None
        if not least <= number <= _LARGEST:
            raise self.refuse(field, f"must be from {least} to {_LARGEST}, not {number}")
        if allowed is not None and number not in allowed:
            choices = ", ".join(str(each) for each in allowed)
            raise self.refuse(field, f"{number} is not one of {choices}")
        return number

    def positive(self, field: str, default: float) -> float:
        """A number above zero, or the default where the field is missing or empty.

        Raises:
            ImportRefused: It is not.
        """
        value = self.row.get(field)
        if value is None or value == "":
            return default
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise self.refuse(field, f"{value!r} is not a number") from None
        if not 0 < number < float("inf"):
            raise self.refuse(field, f"must be above 0, not {value}")
        return number

    def json(self, field: str) -> Any:
        """A value, parsed where the file keeps it as JSON text; None where missing or empty.

        Raises:
            ImportRefused: The text is not JSON, or holds what no database stores.
        """
        value = self.row.get(field)
        if isinstance(value, str):
            if not value.strip():
                return None
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise self.refuse(field, f"is not valid JSON ({error})") from None
        for wrong in _unstorable(value):
            raise self.refuse(field, wrong)
        return value


def _whole(value: Any) -> int:
    """A whole number, also as a table with gaps writes it (``1.0``)."""
    if isinstance(value, float) or "." in str(value):
        number = float(value)
        if not number.is_integer():
            raise ValueError
        return int(number)
    return int(str(value))


def _unstorable(value: Any, depth: int = 0) -> Iterator[str]:
    """What keeps a JSON value out of a database, in words; nothing where it can be kept."""
    if depth > _DEEPEST:
        yield f"is nested more than {_DEEPEST} deep; flatten it"
    elif isinstance(value, str):
        if not is_storable(value):
            yield "has a character that no database stores (NUL); remove it"
    elif isinstance(value, list | dict):
        members = cast("list[Any] | dict[Any, Any]", value)
        for each in members:
            yield from _unstorable(each, depth + 1)
        if isinstance(members, dict):
            for each in members.values():
                yield from _unstorable(each, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"holds {value}, which is no number in JSON; leave it out"
    elif value is not None and not isinstance(value, bool | int | float):
        yield f"holds {type(value).__name__}, which JSON does not have; write it as text"
