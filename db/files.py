"""Reads rows of JSONL, JSON, CSV and Parquet files, plain or gzip. Knows no table of the ledger.

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
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from db.errors import ImportRefused, LedgerError
from db.lines import Line, Row

FORMATS = ("jsonl", "csv", "parquet")
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r]")

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def format_of(path: Path, asked: str | None = None, *, reading: bool = False) -> str:
    """``jsonl``, ``csv`` or ``parquet``, from what was asked or from the file's suffix.

    A file to read may also be ``json``: a list of records, as other tools export them.

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
    if reading and suffix == ".json":
        return "json"
    if suffix not in known:
        also = " (.json is read, too)" if reading else ""
        raise LedgerError(
            f"{path}: cannot tell the format from the name; use .jsonl, .csv or .parquet,"
            f" each also with .gz{also}"
        )
    return known[suffix]


def read_lines(path: Path) -> list[Line]:
    """Every row of a file.

    Raises:
        ImportRefused: The file or a line of it is malformed; the message names the line.
        LedgerError: The file cannot be opened or its format is not known.
    """
    kind = format_of(path, reading=True)
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
    read = {"csv": _csv_lines, "json": _json_lines, "jsonl": _jsonl_lines}[kind]
    return read(path, text)


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


def _json_lines(path: Path, text: str) -> list[Line]:
    """The records of a list, or the one record that is the whole file."""
    try:
        whole: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        raise ImportRefused(
            f"{path}: {place}is not valid JSON ({error}); a file with one record a line is named"
            " .jsonl (nothing was imported)"
        ) from None
    records = cast("list[Any]", whole if isinstance(whole, list) else [whole])
    lines: list[Line] = []
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise ImportRefused(
                f"{path}: record {number}: must be an object of fields (nothing was imported)"
            )
        lines.append(Line(path, number, cast("Row", record), "record"))
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


def _no_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


__all__ = ["FORMATS", "Line", "Row", "format_of", "read_lines", "restored"]
