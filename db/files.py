"""Reads rows of JSONL, JSON, CSV and Parquet files, plain or gzip. Knows no table of the ledger.

Rows come as they are read; only JSON is read whole. A malformed file is refused with its name, line
and field. CSV cells that ``db.writing`` made safe for spreadsheets come back exactly.
"""

import csv
import gzip
import io
import json
import math
import re
import sys
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

from db.errors import ImportRefused, LedgerError
from db.lines import Line, Row

FORMATS = ("jsonl", "csv", "parquet")
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r]")
_ROWS_AT_ONCE = 1_000
_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}

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
    return list(lines_of(path))


def lines_of(path: Path) -> Iterator[Line]:
    """The rows of a file, as they are read.

    Raises:
        ImportRefused: The file or a line of it is malformed; the message names the line.
        LedgerError: The file cannot be opened or its format is not known.
    """
    kind = format_of(path, reading=True)
    read = {"csv": _csv_lines, "json": _json_lines, "jsonl": _jsonl_lines}
    try:
        with _opened(path) as stream:
            if kind == "parquet":
                yield from _parquet_lines(path, stream)
                return
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            yield from read[kind](path, text)
    except UnicodeDecodeError:
        raise ImportRefused(f"{path}: {_not_utf8(path)} (nothing was imported)") from None
    except EOFError:
        raise ImportRefused(f"{path}: the gzip file is cut off; get it again") from None
    except (zlib.error, gzip.BadGzipFile):
        raise ImportRefused(f"{path}: the gzip file is damaged; get it again") from None
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read ({error.strerror or error})") from None


def restored(cell: str) -> str:
    """The cell as it was before ``db.writing.neutralise``."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path, "rb")) if packed else path.open("rb")


def _not_utf8(path: Path) -> str:
    """Where and what a file's text is that is not UTF-8, and what to do."""
    with _opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            if number == 1 and line[:2] in _OTHER_ENCODINGS:
                return f"is {_OTHER_ENCODINGS[line[:2]]} text; save the file as UTF-8"
            try:
                line.decode("utf-8-sig")
            except UnicodeDecodeError:
                return f"line {number}: is not UTF-8 text; save the file as UTF-8"
    return "is not UTF-8 text; save the file as UTF-8"


def _csv_lines(path: Path, text: IO[str]) -> Iterator[Line]:
    reader = csv.reader(text, strict=True)
    try:
        names = _columns(path, next(reader, None))
        start = reader.line_num + 1
        for cells in reader:
            if cells:
                if len(cells) != len(names):
                    raise ImportRefused(
                        f"{path}: line {start}: has {len(cells)} cells where the first line names"
                        f" {len(names)} columns; quote cells that have commas"
                        " (nothing was imported)"
                    )
                yield Line(path, start, dict(zip(names, map(restored, cells), strict=True)))
            start = reader.line_num + 1
    except csv.Error as error:
        raise ImportRefused(
            f"{path}: line {reader.line_num}: is not valid CSV ({error}) (nothing was imported)"
        ) from None


def _columns(path: Path, first: list[str] | None) -> list[str]:
    """The names of the columns.

    Raises:
        ImportRefused: The first line does not name them, or not apart by commas.
    """
    if not first:
        place = "" if first is None else "line 1: "
        raise ImportRefused(f"{path}: {place}is empty; the first line must name the columns")
    names = [name.strip() for name in first]
    if any("\x00" in name for name in names):
        raise ImportRefused(
            f"{path}: line 1: has NULs, as UTF-16 text has; save the file as UTF-8"
            " (nothing was imported)"
        )
    if len(names) == 1:
        for mark, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if mark in names[0]:
                raise ImportRefused(
                    f"{path}: line 1: the columns are apart by {word}; save the file with commas"
                    " (nothing was imported)"
                )
    for name in names:
        if name and names.count(name) > 1:
            raise ImportRefused(f"{path}: line 1: column {name} occurs twice; keep one")
    return names


def _jsonl_lines(path: Path, text: IO[str]) -> Iterator[Line]:
    for number, line in enumerate(_by_line_feed(text), start=1):
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
        yield Line(path, number, cast("Row", row))


def _by_line_feed(text: IO[str]) -> Iterator[str]:
    """Lines that end with a line feed; a carriage return alone ends none."""
    held: list[str] = []
    for part in text:
        held.append(part)
        if part.endswith("\n"):
            yield "".join(held)
            held.clear()
    if held:
        yield "".join(held)


def _json_lines(path: Path, text: IO[str]) -> Iterator[Line]:
    """The records of a list, or the one record that is the whole file."""
    try:
        whole: Any = json.loads(text.read())
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        place = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        raise ImportRefused(
            f"{path}: {place}is not valid JSON ({error}); a file with one record a line is named"
            " .jsonl (nothing was imported)"
        ) from None
    records = cast("list[Any]", whole if isinstance(whole, list) else [whole])
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise ImportRefused(
                f"{path}: record {number}: must be an object of fields (nothing was imported)"
            )
        yield Line(path, number, cast("Row", record), "record")


def _parquet_lines(path: Path, stream: IO[bytes]) -> Iterator[Line]:
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    number = 0
    try:
        file = parquet.ParquetFile(stream)
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ImportRefused(f"{path}: is not a Parquet file ({reason})") from None
    names = cast("list[str]", file.schema_arrow.names)
    for name in names:
        if names.count(name) > 1:
            raise ImportRefused(f"{path}: column {name} occurs twice; keep one")
    try:
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            for row in cast("list[Row]", batch.to_pylist()):
                number += 1
                yield Line(path, number, {n: _no_nan(value) for n, value in row.items()}, "row")
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ImportRefused(
            f"{path}: is damaged after row {number} ({reason}); get it again (nothing was imported)"
        ) from None


def _no_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


__all__ = ["FORMATS", "Line", "Row", "format_of", "lines_of", "read_lines", "restored"]
