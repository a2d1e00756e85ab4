"""Writes rows to JSONL, CSV and Parquet files, plain or gzip. Knows no table of the ledger.

CSV cells that a spreadsheet would run as a formula get a leading apostrophe; ``db.files`` takes it
off again. Files are written beside their place, synced and renamed.
"""

import csv
import gzip
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from db.errors import LedgerError

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
Columns = Collection[str] | Mapping[str, str]
"""Names of columns; as a mapping with what each holds: ``text``, ``integer``, ``number``,
``truth``, ``json`` (lists and objects, as JSON text where a format has cells), ``messages`` or
``comparison`` (nested, for Parquet)."""
ROW_GROUP = 5_000
"""Rows of a Parquet file that are in memory at once."""


def write_rows(
    path: Path | None, rows: Iterable[Mapping[str, Any]], columns: Columns, kind: str
) -> int:
    """Write rows to a file (gzip where its name ends in .gz), or to standard output for None.

    Rows are written as they come and not kept; only Parquet without told types needs all of them
    first. Without columns rows keep their own fields, lists as lists (not for CSV).

    Returns:
        The number of rows.

    Raises:
        LedgerError: The place cannot be written, or Parquet was asked on standard output.
    """
    count = 0

    def counted() -> Generator[Mapping[str, Any]]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    if path is None:
        if kind == "parquet":
            raise LedgerError("Parquet is a binary format: give a file with --output")
        _write_text(sys.stdout, counted(), columns, kind)
        sys.stdout.flush()
        return count

    def fill(stream: IO[bytes]) -> None:
        if kind == "parquet":
            _write_parquet(stream, counted(), columns)
            return
        with packed_if_named(path, stream) as target:
            text = io.TextIOWrapper(target, encoding="utf-8", newline="")
            _write_text(text, counted(), columns, kind)
            text.flush()
            text.detach()

    write_atomically(path, fill)
    return count


@contextmanager
def packed_if_named(path: Path, stream: IO[bytes]) -> Generator[IO[bytes]]:
    """The stream, through gzip where the file's name ends in .gz; the same rows, the same bytes."""
    if path.suffix != ".gz":
        yield stream
        return
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0, filename="") as packed:
        yield cast("IO[bytes]", packed)


def write_atomically(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Fill a file beside its place, sync it, and rename it there: all of it or nothing.

    Raises:
        LedgerError: The place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        raise LedgerError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        with os.fdopen(handle, "wb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def neutralise(cell: Any) -> Any:
    """A CSV cell that no spreadsheet takes for a formula; anything but text stays as it is."""
    if isinstance(cell, str) and _FORMULA.match(cell):
        return "'" + cell
    return cell


def _write_parquet(stream: IO[bytes], rows: Generator[Mapping[str, Any]], columns: Columns) -> None:
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    if not isinstance(columns, Mapping):
        every = [{n: _flat(row.get(n)) for n in columns} if columns else row for row in rows]
        empty = arrow.table({name: [] for name in columns})
        parquet.write_table(arrow.Table.from_pylist(every) if every else empty, stream)
        return
    types = cast("Mapping[str, str]", columns)
    schema = arrow.schema([(name, _arrow_type(holds)) for name, holds in types.items()])
    nested = {name for name, holds in types.items() if holds in {"messages", "comparison"}}
    with parquet.ParquetWriter(stream, schema) as writer:
        while some := list(islice(rows, ROW_GROUP)):
            flat = [
                {n: row.get(n) if n in nested else _flat(row.get(n)) for n in types} for row in some
            ]
            writer.write_table(arrow.Table.from_pylist(flat, schema=schema))


def _arrow_type(holds: str) -> Any:
    arrow: Any = import_module("pyarrow")
    turn = arrow.struct([("role", arrow.string()), ("content", arrow.string())])
    turns = arrow.list_(turn)
    sides = ("prompt_conversation", "completion_A", "completion_B")
    return {
        "text": arrow.string(),
        "json": arrow.string(),
        "integer": arrow.int64(),
        "number": arrow.float64(),
        "truth": arrow.bool_(),
        "messages": turns,
        "comparison": arrow.struct([(name, turns) for name in sides]),
    }[holds]


def _write_text(
    stream: Any, rows: Iterable[Mapping[str, Any]], columns: Columns, kind: str
) -> None:
    if kind == "csv":
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([neutralise(_flat(row.get(name))) for name in columns])
        return
    for row in rows:
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _flat(value: Any) -> Any:
    """Lists and objects as JSON text, for formats that have cells."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return value
