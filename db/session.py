"""Opens the ledger: engines, sessions, migrations. Knows how a database locks, not what it holds.

Entry points write ``with sessions(url).begin() as session:``; verbs take the session first and
never commit. On SQLite such a transaction starts with BEGIN IMMEDIATE, so that no read can turn
into a write that fails half-way; ``readers(url)`` gives sessions that only read and hold up nobody.
"""

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from db.errors import Busy, LedgerError
from db.settings import database_url
from db.turns import end_turn, take_turn

BUSY_SECONDS = 15.0
"""How long SQLite waits for a lock in one attempt."""
BUSY_ATTEMPTS = 4
"""How many such attempts are made before a person is told."""
_BUSY_MESSAGE = (
    "the database is busy and nothing was changed; try again in a moment"
    " (another process has been writing for a long time)"
)

_TURN = "ledger_turn"

T = TypeVar("T")
_engines: dict[tuple[str, int], Engine] = {}
_made: dict[Engine, tuple[sessionmaker[Session], sessionmaker[Session]]] = {}
_engines_lock = threading.Lock()


def ledger_url(url: str | URL | None = None) -> URL:
    """The URL as SQLAlchemy wants it, with psycopg 3 for PostgreSQL.

    Args:
        url: A database URL; None for the configured one.

    Raises:
        LedgerError: It is not a URL of SQLite or PostgreSQL.
    """
    text = url or database_url()
    try:
        parsed = make_url(text)
    except ArgumentError:
        raise LedgerError(
            f"{str(text)!r} is not a database URL; give sqlite:///FILE or"
            " postgresql://USER:PASSWORD@HOST/NAME (--database-url or DATABASE_URL)"
        ) from None
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise LedgerError(
            f"{parsed.get_backend_name()} databases are not supported; use sqlite:///FILE or"
            " postgresql://USER:PASSWORD@HOST/NAME"
        )
    return parsed


def open_database(url: str | URL | None = None) -> Engine:
    """The engine of a ledger, one a process and URL. Creates a SQLite file's folder and file.

    Raises:
        LedgerError: The URL is not usable or the file cannot be made.
    """
    parsed = ledger_url(url)
    key = (parsed.render_as_string(hide_password=False), os.getpid())
    with _engines_lock:
        if key not in _engines:
            _engines[key] = _new_engine(parsed)
        return _engines[key]


def close_database(url: str | URL | None = None) -> None:
    """Close the pooled connections of one ledger (before its file is replaced, after tests)."""
    key = (ledger_url(url).render_as_string(hide_password=False), os.getpid())
    with _engines_lock:
        engine = _engines.pop(key, None)
        if engine is not None:
            _made.pop(engine, None)
    if engine is not None:
        engine.dispose()


def sessions(url: str | URL | None = None) -> sessionmaker[Session]:
    """A factory of sessions that may write; ``sessions(url).begin()`` opens a transaction."""
    return _factories(open_database(url))[0]


def readers(url: str | URL | None = None) -> sessionmaker[Session]:
    """What makes sessions that only read: one consistent view, holding up no writer."""
    return _factories(open_database(url))[1]


def _factories(engine: Engine) -> tuple[sessionmaker[Session], sessionmaker[Session]]:
    """A writing and a reading factory, kept: making one makes a class."""
    with _engines_lock:
        found = _made.get(engine)
        if found is None:
            reading = engine.execution_options(ledger_reader=True)
            found = _made[engine] = (
                sessionmaker(engine, expire_on_commit=False),
                sessionmaker(reading, expire_on_commit=False),
            )
        return found


def transact(url: str | URL | None, work: Callable[[Session], T], attempts: int = 5) -> T:
    """Run ``work(session)`` in one transaction, again where the database asks for a repeat.

    PostgreSQL ends one of two transactions that wait for each other; that one can simply be run
    again. ``work`` must therefore change nothing but the ledger.

    Raises:
        Busy: Every attempt met another writer.
    """
    make = sessions(url)
    for attempt in range(attempts):
        try:
            with make.begin() as session:
                return work(session)
        except OperationalError as error:
            if not is_transient(error):
                raise
            if attempt + 1 == attempts:
                raise Busy(_BUSY_MESSAGE) from error
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise AssertionError("unreachable")


def is_transient(error: OperationalError) -> bool:
    """Whether a repeat can help: a lock, a deadlock or a serialization failure."""
    original = error.orig
    if isinstance(original, sqlite3.OperationalError):
        return "locked" in str(original) or "busy" in str(original)
    return getattr(original, "sqlstate", None) in {"40001", "40P01", "55P03"}


def upgrade(url: str | URL | None = None) -> None:
    """Bring the database to this code's tables, creating them where there are none.

    Raises:
        MigrationNeeded: The database is newer than this code.
    """
    from db.blocks import pending, seal
    from db.migrations.run import upgrade_to_head

    upgrade_to_head(open_database(url))
    with readers(url).begin() as session:
        sealed = pending(session)
    while sealed:  # a transaction each, so that nobody who labels waits for all of them
        with sessions(url).begin() as session:
            sealed = seal(session)


def require_current(url: str | URL | None = None) -> None:
    """Check that the database has exactly this code's tables.

    Raises:
        MigrationNeeded: It has not, or there is no such file, which is then not made either; the
            message says what to run.
    """
    from db.errors import MigrationNeeded
    from db.migrations.run import require_head

    path = sqlite_file(url)
    if path is not None and not path.is_file():
        raise MigrationNeeded(
            f"the database is empty: run `personaloop init` (there is no ledger at {path})"
        )
    require_head(open_database(url))


def sqlite_file(url: str | URL | None = None) -> Path | None:
    """The file of a SQLite ledger; None for PostgreSQL or a ledger in memory."""
    parsed = ledger_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in {None, "", ":memory:"}:
        return None
    return Path(str(parsed.database)).resolve()


def _new_engine(url: URL) -> Engine:
    engine = _engine_of(url)
    event.listen(engine, "handle_error", _name_unreachable)
    return engine


def _name_unreachable(context: ExceptionContext) -> None:
    """A database that cannot be opened at all is a person's to mend: say which and why."""
    error = context.original_exception
    if context.connection is not None or context.engine is None:
        return
    if isinstance(error, sqlite3.OperationalError):
        return  # locks and full disks
    url = context.engine.url.render_as_string(hide_password=True)
    raise LedgerError(
        f"cannot open the database {url}: {' '.join(str(error).split())};"
        " start it, or choose another with --database-url or DATABASE_URL"
    ) from None


def _engine_of(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_size=20, max_overflow=30, pool_pre_ping=True)
    path = sqlite_file(url)
    if path is not None:
        _create_private(path)
        engine = create_engine(
            url, pool_size=20, max_overflow=30, connect_args={"timeout": BUSY_SECONDS}
        )
    else:
        engine = create_engine(url)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "checkin", _end_turn)
    return engine


def _create_private(path: Path) -> None:
    """Make the file with mode 0600: comments and sign-in hashes are nobody else's business."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise LedgerError(
            f"cannot open the database {path}: {error.strerror};"
            " choose another place with --database-url or DATABASE_URL"
        ) from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for attempt in range(BUSY_ATTEMPTS):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:
            if attempt + 1 == BUSY_ATTEMPTS:
                raise
            time.sleep(random.uniform(0.01, 0.1))
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA cache_size=-32000")
    cursor.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("ledger_reader", False):
        connection.exec_driver_sql("BEGIN")
        return
    path = connection.engine.url.database
    if path not in {None, "", ":memory:"} and _TURN not in connection.info:
        try:
            connection.info[_TURN] = take_turn(Path(str(path)), BUSY_SECONDS * BUSY_ATTEMPTS)
        except TimeoutError:
            raise Busy(_BUSY_MESSAGE) from None
    for attempt in range(BUSY_ATTEMPTS):
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        except OperationalError as error:
            if is_transient(error) and attempt + 1 < BUSY_ATTEMPTS:
                time.sleep(random.uniform(0, 0.1))
                continue
            end_turn(connection.info.pop(_TURN, None))
            if is_transient(error):
                raise Busy(_BUSY_MESSAGE) from error
            raise


def _end_turn(_connection: object, record: ConnectionPoolEntry) -> None:
    """The connection is back in its pool, so its transaction is over."""
    end_turn(record.info.pop(_TURN, None))
