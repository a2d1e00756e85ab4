"""Reads rows of JSONL, CSV and Parquet files, plain or gzip. Knows no table of the ledger.

A malformed file is refused with its name, line and field. CSV cells that ``db.writing`` made safe
for spreadsheets come back exactly.
"""

import csv
import gzip
import io
import json
import math
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from db.errors import ImportRefused, LedgerError
from db.texts import is_storable

FORMATS = ("jsonl", "csv", "parquet")
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r]")
_DEEPEST = 64
_LARGEST = 2**31 - 1
Row = dict[str, Any]

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


@dataclass(frozen=True)
class Line:
    """One row of a file.

    Attributes:
        file: The file.
        number: Line (CSV, JSONL: from 1, as an editor counts) or row (Parquet: from 1).
        row: Field names and values.
        kind: ``line`` or ``row``, as people call it.
    """

    file: Path
    number: int
    row: Row
    kind: str = "line"

    def refuse(self, field: str, what: str) -> ImportRefused:
        """The error for a field of this row: file, line, field, what is wrong and what to do."""
        return ImportRefused(
            f"{self.file}: {self.kind} {self.number}: field {field}: {what} (nothing was imported)"
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


def format_of(path: Path, asked: str | None = None) -> str:
    """``jsonl``, ``csv`` or ``parquet``, from what was asked or from the file's suffix.

    Raises:
        LedgerError: Neither says.
    """
    if asked in FORMATS:
        return str(asked)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    known = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
    if suffix not in known:
        raise LedgerError(
            f"{path}: cannot tell the format from the name; use .jsonl, .csv or .parquet,"
            " each also with .gz"
        )
    return known[suffix]


def read_lines(path: Path) -> list[Line]:
    """Every row of a file.

    Raises:
        ImportRefused: The file or a line of it is malformed; the message names the line.
        LedgerError: The file cannot be opened or its format is not known.
    """
    kind = format_of(path)
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read ({error.strerror or error})") from None
    except EOFError:
        raise ImportRefused(f"{path}: the gzip file is cut off; get it again") from None
    except zlib.error:
        raise ImportRefused(f"{path}: the gzip file is damaged; get it again") from None
    if kind == "parquet":
        return _parquet_lines(path, raw)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        raise ImportRefused(
            f"{path}: line {number}: is not UTF-8 text; save the file as UTF-8"
        ) from None
    return _csv_lines(path, text) if kind == "csv" else _jsonl_lines(path, text)


def restored(cell: str) -> str:
    """The cell as it was before ``db.writing.neutralise``."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def _csv_lines(path: Path, text: str) -> list[Line]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[Line] = []
    try:
        names = next(reader, None)
        if not names:
            raise ImportRefused(f"{path}: is empty; the first line must name the columns")
        names = [name.strip() for name in names]
        for name in names:
            if name and names.count(name) > 1:
                raise ImportRefused(f"{path}: line 1: column {name} occurs twice; keep one")
        start = reader.line_num + 1
        for cells in reader:
            if cells:
                if len(cells) != len(names):
                    raise ImportRefused(
                        f"{path}: line {start}: has {len(cells)} cells where the first line names"
                        f" {len(names)} columns; quote cells that have commas"
                        " (nothing was imported)"
                    )
                row = dict(zip(names, map(restored, cells), strict=True))
                lines.append(Line(path, start, row))
            start = reader.line_num + 1
    except csv.Error as error:
        raise ImportRefused(
            f"{path}: line {reader.line_num}: is not valid CSV ({error}) (nothing was imported)"
        ) from None
    return lines


def _jsonl_lines(path: Path, text: str) -> list[Line]:
    lines: list[Line] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ImportRefused(
                f"{path}: line {number}: is not valid JSON ({error}) (nothing was imported)"
            ) from None
        if not isinstance(row, dict):
            raise ImportRefused(
                f"{path}: line {number}: must be an object of fields (nothing was imported)"
            )
        lines.append(Line(path, number, cast("Row", row)))
    return lines


def _parquet_lines(path: Path, raw: bytes) -> list[Line]:
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    try:
        table = parquet.read_table(arrow.BufferReader(raw))
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ImportRefused(f"{path}: is not a Parquet file ({reason})") from None
    rows = cast("list[Row]", table.to_pylist())
    return [
        Line(path, n, {name: _no_nan(value) for name, value in row.items()}, "row")
        for n, row in enumerate(rows, start=1)
    ]


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


def _no_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
