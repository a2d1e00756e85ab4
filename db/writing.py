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
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

from db.errors import LedgerError

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def write_rows(
    path: Path | None, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], kind: str
) -> int:
    """Write rows to a file (gzip where its name ends in .gz), or to standard output for None.

    Without columns rows keep their own fields, lists as lists (not for CSV).

    Returns:
        The number of rows.

    Raises:
        LedgerError: The place cannot be written, or Parquet was asked on standard output.
    """
    count = 0

    def counted() -> Iterable[Mapping[str, Any]]:
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
    if kind == "parquet":
        table = _parquet_bytes(list(counted()), columns)
        write_atomically(path, lambda stream: stream.write(table))
        return count

    def fill(stream: IO[bytes]) -> None:
        with packed_if_named(path, stream) as target:
            text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
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


def _parquet_bytes(rows: list[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    if columns:
        rows = [{name: _flat(row.get(name)) for name in columns} for row in rows]
    data = arrow.table({name: [] for name in columns})
    sink = arrow.BufferOutputStream()
    parquet.write_table(arrow.Table.from_pylist(rows) if rows else data, sink)
    return cast("bytes", sink.getvalue().to_pybytes())


def _write_text(
    stream: Any, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], kind: str
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
