"""Logical dumps: every row of every table as a line of JSON, in one transaction.

The first line says format, revision and time; the last one how many rows came before. Either
database takes a dump of the other.
"""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from sqlalchemy import (
    Connection,
    Engine,
    LargeBinary,
    Table,
    TableClause,
    column,
    create_engine,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy import table as table_of
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from db.clock import UTCDateTime, utcnow
from db.errors import LedgerError, Refused
from db.migrations.run import known_revisions, revisions, upgrade_to, upgrade_to_head
from db.models import Base
from db.session import close_database, open_database
from db.writing import packed_if_named, write_atomically

FORMAT = "personaloop ledger 1"
DERIVED = ("judgment_block",)
"""Tables that are made of the others, and made again after loading."""
CHUNK = 500


def write_dump(engine: Engine, file: Path) -> int:
    """Write every row of a ledger, as of one moment; returns the number of judgments.

    Raises:
        LedgerError: There is no ledger of this version, or the place cannot be written.
    """
    current, head = revisions(engine)
    if current != head:
        raise LedgerError("there is no ledger of this version to back up: run `personaloop init`")
    judgments = 0

    def fill(stream: IO[bytes]) -> None:
        nonlocal judgments
        reading = engine.execution_options(ledger_reader=True)
        if engine.dialect.name == "postgresql":
            reading = reading.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        with packed_if_named(file, stream) as target, reading.connect() as connection:
            judgments = _dump(connection, target, head)

    write_atomically(file, fill)
    return judgments


def load_sqlite(fresh: Path, dump: Path) -> int:
    """Make a SQLite ledger of a dump; returns the number of judgments.

    Raises:
        LedgerError: The dump is damaged or of another version.
    """
    url = f"sqlite:///{fresh}"
    try:
        engine = open_database(url)
        upgrade_to(engine, _revision(dump))
        with engine.begin() as connection:
            judgments = _load(connection, dump)
        upgrade_to_head(engine)
        with engine.connect() as connection:
            connection.commit()
            raw: Any = connection.connection.driver_connection
            raw.rollback()
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return judgments
    finally:
        close_database(url)


def load_postgres(url: URL, dump: Path, stamp: str) -> tuple[int, str | None]:
    """Make a PostgreSQL ledger of a dump; returns the judgments and the old one's schema.

    The rows are loaded into a schema of their own, which then takes the place of ``public`` in one
    transaction.

    Raises:
        Refused: The database holds tables that are not a ledger's.
        LedgerError: The dump is damaged or of another version.
    """
    engine = open_database(url)
    ours = {table.name for table in Base.metadata.sorted_tables} | {"alembic_version"}
    there = set(inspect(engine).get_table_names(schema="public"))
    if there - ours:
        raise Refused(
            f"the database also holds {', '.join(sorted(there - ours))};"
            " restore into a database of its own"
        )
    staging = f"restoring_{stamp.lower()}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {staging}"))
    loading = create_engine(
        url, poolclass=NullPool, connect_args={"options": f"-csearch_path={staging}"}
    )
    try:
        upgrade_to(loading, _revision(dump))
        with loading.begin() as connection:
            judgments = _load(connection, dump)
        upgrade_to_head(loading)
        with loading.begin() as connection:
            _set_sequences(connection)
    except BaseException:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {staging} CASCADE"))
        raise
    aside = f"ledger_before_{stamp.lower()}" if there else None
    with engine.begin() as connection:
        if aside:
            connection.execute(text(f"ALTER SCHEMA public RENAME TO {aside}"))
        else:
            connection.execute(text("DROP SCHEMA public"))
        connection.execute(text(f"ALTER SCHEMA {staging} RENAME TO public"))
    close_database(url)
    return judgments, f"schema {aside}" if aside else None


def _dump(connection: Connection, stream: IO[bytes], head: str) -> int:
    rows = judgments = 0
    header = {"format": FORMAT, "revision": head, "created": utcnow().isoformat()}
    stream.write((json.dumps(header) + "\n").encode())
    for table in Base.metadata.sorted_tables:
        if table.name in DERIVED:
            continue
        query = select(table).order_by(*table.primary_key.columns)
        for row in connection.execution_options(yield_per=1000).execute(query).mappings():
            values = {column.name: _plain(row[column.name]) for column in table.columns}
            line = json.dumps([table.name, values], ensure_ascii=False)
            stream.write((line + "\n").encode())
            rows += 1
            judgments += table.name == "judgment"
    stream.write((json.dumps({"rows": rows}) + "\n").encode())
    return judgments


def _load(connection: Connection, dump: Path) -> int:
    tables = {table.name: table for table in Base.metadata.sorted_tables}
    made_by: dict[str, int] = {}
    judgments = 0
    try:
        for name, rows in _chunks(dump):
            table = tables[name]
            values = [_typed(table, row) for row in rows]
            if name == "adapter":  # its run comes after it, and that run names it
                made_by.update({row["id"]: row["run_id"] for row in values if row["run_id"]})
                values = [{**row, "run_id": None} for row in values]
            connection.execute(insert(_only(table, values[0])), values)
            judgments += len(values) if name == "judgment" else 0
        adapter = tables["adapter"]
        for adapter_id, run_id in made_by.items():
            connection.execute(
                update(adapter).where(adapter.c.id == adapter_id).values(run_id=run_id)
            )
    except (KeyError, TypeError, ValueError, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0]
        raise LedgerError(f"{dump.name}: is not a complete ledger dump ({reason})") from None
    return judgments


def _only(table: Table, row: dict[str, Any]) -> TableClause:
    """A table of the columns that a dump has: an earlier version's knows no defaults of today."""
    return table_of(table.name, *(column(name, table.c[name].type) for name in row))


def _revision(dump: Path) -> str:
    """The revision that a dump was written at.

    Raises:
        LedgerError: It is no dump, or a newer PersonaLoop's.
    """
    with dump.open(encoding="utf-8") as lines:
        try:
            header: Any = json.loads(lines.readline() or "null")
        except ValueError:
            header = None
    if not isinstance(header, dict) or cast("Any", header).get("format") != FORMAT:
        raise LedgerError(f"{dump.name}: is not a ledger's backup")
    revision = str(cast("Any", header).get("revision"))
    if revision not in known_revisions():
        raise LedgerError(
            f"{dump.name}: was written at revision {revision}, which this code does not know:"
            " update the code first"
        )
    return revision


def _chunks(dump: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Rows of one table after the other, at most CHUNK at a time; checks the end."""
    rows = 0
    name, gathered = "", list[dict[str, Any]]()
    ended = False
    with dump.open(encoding="utf-8") as lines:
        lines.readline()
        for line in lines:
            value = json.loads(line)
            if isinstance(value, dict):
                ended = cast("Any", value).get("rows") == rows
                break
            table, row = cast("tuple[str, dict[str, Any]]", value)
            if table != name or len(gathered) >= CHUNK:
                if gathered:
                    yield name, gathered
                name, gathered = table, []
            gathered.append(row)
            rows += 1
    if gathered:
        yield name, gathered
    if not ended:
        raise LedgerError(f"{dump.name}: is cut off after {rows} rows; use another backup")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def _typed(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    typed = dict(row)
    for each in table.columns:
        value = typed.get(each.name)
        if value is None:
            continue
        if isinstance(each.type, UTCDateTime):
            typed[each.name] = datetime.fromisoformat(value).astimezone(UTC)
        elif isinstance(each.type, LargeBinary):
            typed[each.name] = base64.b64decode(value)
    return typed


def _set_sequences(connection: Connection) -> None:
    for table in Base.metadata.sorted_tables:
        column = table.columns.get("id")
        if column is None or column.type.python_type is not int:
            continue
        top = connection.execute(select(func.max(column))).scalar()
        if top:
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, 'id'), :top)"),
                {"table": table.name, "top": top},
            )
