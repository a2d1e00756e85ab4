"""Opening ledgers, migrations, and what happens when many write at once."""

import sqlite3
import threading
import time
from pathlib import Path

import filling
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import db.session as opening
from db.clock import utcnow
from db.errors import Busy, LedgerError, MigrationNeeded
from db.migrations.run import drift
from db.models import Annotator
from db.session import (
    close_database,
    ledger_url,
    open_database,
    readers,
    require_current,
    sessions,
    transact,
    upgrade,
)


def test_the_migrations_make_exactly_the_tables_of_the_models() -> None:
    assert drift() == []


def test_a_new_ledger_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "ledger.db"
    url = f"sqlite:///{path}"
    upgrade(url)
    upgrade(url)
    require_current(url)
    assert path.stat().st_mode & 0o077 == 0
    with open_database(url).connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    close_database(url)


def test_an_empty_or_newer_database_says_what_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with pytest.raises(MigrationNeeded, match="run `personaloop init`"):
        require_current(url)
    upgrade(url)
    with open_database(url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for check in (require_current, upgrade):
        with pytest.raises(MigrationNeeded, match="newer PersonaLoop"):
            check(url)
    close_database(url)


def test_somebody_elses_tables_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE judgment (id INTEGER)")
    connection.close()
    with pytest.raises(LedgerError, match="no migration history"):
        upgrade(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("not a url", "is not a database URL; give sqlite:///FILE"),
        ("mysql://x/y", "mysql databases are not supported"),
        ("sqlite:////proc/none/ledger.db", "cannot open the database /proc/none/ledger.db"),
    ],
)
def test_an_unusable_url_is_one_clear_line(url: str, message: str) -> None:
    with pytest.raises(LedgerError) as refused:
        open_database(url)
    assert message in str(refused.value)


def test_postgres_urls_get_the_driver_that_is_installed() -> None:
    for given in ("postgres://u@h/n", "postgresql://u@h/n", "postgresql+psycopg://u@h/n"):
        assert ledger_url(given).drivername == "postgresql+psycopg"


def test_leaving_with_an_error_writes_nothing(url: str) -> None:
    with pytest.raises(ZeroDivisionError), sessions(url).begin() as session:
        filling.somebody(session)
        _ = 1 / 0
    with readers(url)() as session:
        assert session.query(Annotator).count() == 0


def test_a_naive_time_cannot_be_stored(url: str) -> None:
    with pytest.raises(Exception, match="without a zone"), sessions(url).begin() as session:
        session.add(Annotator(name="x", created_at=utcnow().replace(tzinfo=None)))


def test_a_reader_holds_up_no_writer_and_sees_one_moment(sqlite_url: str) -> None:
    with readers(sqlite_url)() as reader:
        assert reader.query(Annotator).count() == 0
        with sessions(sqlite_url).begin() as writer:
            filling.somebody(writer)
        assert reader.query(Annotator).count() == 0
    with readers(sqlite_url)() as reader:
        assert reader.query(Annotator).count() == 1


def test_a_writer_waits_for_another_instead_of_failing(sqlite_url: str) -> None:
    make = sessions(sqlite_url)
    inside = threading.Event()

    def slow() -> None:
        with make.begin() as session:
            filling.somebody(session, "slow")
            inside.set()
            time.sleep(0.3)

    thread = threading.Thread(target=slow)
    thread.start()
    inside.wait()
    with make.begin() as session:
        filling.somebody(session, "patient")
    thread.join()
    with make() as session:
        assert session.query(Annotator).count() == 2


def test_a_database_locked_for_too_long_is_told_in_plain_words(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.02)
    close_database(sqlite_url)
    holder = sqlite3.connect(opening.sqlite_file(sqlite_url), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        told = pytest.raises(Busy, match="nothing was changed; try again")
        with told, sessions(sqlite_url).begin() as session:
            filling.somebody(session)
    finally:
        holder.close()


def test_a_deadlock_is_run_again(url: str) -> None:
    attempts: list[int] = []

    def work(session: Session) -> int:
        attempts.append(1)
        filling.somebody(session)
        if len(attempts) < 3:
            raise OperationalError("x", {}, sqlite3.OperationalError("database is locked"))
        return 7

    assert transact(url, work) == 7
    assert len(attempts) == 3

    def broken(session: Session) -> None:
        raise OperationalError("x", {}, sqlite3.OperationalError("no such table"))

    with pytest.raises(OperationalError):
        transact(url, broken)
