"""Backups of a whole ledger, and putting one back. Copies while everything goes on.

A SQLite ledger becomes a SQLite file by SQLite's own backup. A PostgreSQL ledger, or any ledger
where the file's name says .jsonl, becomes a logical dump (``db.dump``) that either database takes.
"""

import gzip
import hashlib
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from db.dump import load_postgres, load_sqlite, write_dump
from db.errors import LedgerError, Refused
from db.migrations.run import known_revisions
from db.session import close_database, ledger_url, open_database, sqlite_file, upgrade
from db.writing import write_atomically


@dataclass(frozen=True)
class BackedUp:
    """What a backup holds.

    Attributes:
        judgments: Judgments in it, retracted ones too.
        bytes: Size of the file.
        sha256: Of the file; also in ``FILE.sha256``.
    """

    judgments: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Attributes:
        judgments: Judgments in the ledger now.
        aside: Where the old ledger is kept: a file, or a schema of the database; None if none was.
    """

    judgments: int
    aside: str | None


def back_up(url: str | None, file: Path) -> BackedUp:
    """Write a consistent copy of a ledger, and its checksum beside it.

    Raises:
        LedgerError: There is no ledger, or the place cannot be written.
    """
    source = sqlite_file(url)
    logical = source is None or ".jsonl" in file.suffixes
    if source is not None and not _is_ledger(source):
        raise LedgerError(f"there is no ledger at {source} to back up")
    if source is not None and file.resolve() == source:
        raise LedgerError(f"{file} is the ledger itself; choose another file")
    if logical:
        judgments = write_dump(open_database(url), file)
    else:
        assert source is not None
        judgments = _copy_sqlite(source, file)
    file.chmod(0o600)
    digest = _sha256(file)
    line = f"{digest}  {file.name}\n".encode()
    write_atomically(_checksum_file(file), lambda stream: stream.write(line))
    return BackedUp(judgments, file.stat().st_size, digest)


def put_back(url: str | None, file: Path, *, force: bool = False) -> Restored:
    """Put the ledger of a backup in place of the present one.

    The backup is verified before anything is touched, and the present ledger is kept aside.

    Raises:
        Refused: The present ledger holds judgments and ``force`` is not given, or is in use.
        LedgerError: The backup is damaged, or of a newer version.
    """
    _verify_checksum(file)
    target = sqlite_file(url)
    if not force:
        held = _judgments_at(url, target)
        if held:
            raise Refused(
                f"the ledger {ledger_url(url).render_as_string()} holds {held} judgments;"
                " give --force to replace it (the old one is kept aside)"
            )
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        plain = _unpacked(file, Path(folder))
        is_sqlite = plain.read_bytes()[:16] == b"SQLite format 3\x00"
        if target is None:
            if is_sqlite:
                raise LedgerError(
                    f"{file} is a backup of a SQLite ledger; for PostgreSQL back that ledger up to"
                    " a .jsonl file and restore this"
                )
            loaded = load_postgres(ledger_url(url), plain, _stamp())
            upgrade(url)
            return Restored(*loaded)
        fresh = target.with_name(f".{target.name}.restoring-{os.getpid()}")
        try:
            if is_sqlite:
                _check_sqlite(plain, file)
                shutil.copyfile(plain, fresh)
                fresh.chmod(0o600)
            else:
                load_sqlite(fresh, plain)
            with fresh.open("rb+") as stream:
                os.fsync(stream.fileno())
            close_database(url)
            aside = _move_aside(target)
            fresh.replace(target)
            _sync_folder(target.parent)
        finally:
            for each in (fresh, Path(f"{fresh}-wal"), Path(f"{fresh}-shm")):
                each.unlink(missing_ok=True)
    upgrade(url)
    return Restored(_judgments_at(url, target), str(aside) if aside else None)


def _copy_sqlite(source: Path, file: Path) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as folder:
        copy = Path(folder) / "ledger.db"
        with (
            closing(sqlite3.connect(source, timeout=60)) as old,
            closing(sqlite3.connect(copy)) as new,
        ):
            old.backup(new)
            new.execute("PRAGMA journal_mode=DELETE")
            problem = new.execute("PRAGMA integrity_check").fetchone()[0]
            if problem != "ok":
                raise LedgerError(f"the ledger {source} is damaged: {problem}; nothing was written")
            judgments = int(new.execute("SELECT count(*) FROM judgment").fetchone()[0])
        if file.suffix == ".gz":
            packed = Path(folder) / "packed"
            with copy.open("rb") as plain, gzip.open(packed, "wb") as stream:
                shutil.copyfileobj(plain, stream)
            copy = packed
        with copy.open("rb+") as stream:
            os.fsync(stream.fileno())
        copy.replace(file)
    _sync_folder(file.parent)
    return judgments


def _check_sqlite(plain: Path, file: Path) -> None:
    try:
        with closing(sqlite3.connect(plain)) as connection:
            problem = connection.execute("PRAGMA integrity_check").fetchone()[0]
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{file} is not a ledger's backup ({error})") from None
    if problem != "ok":
        raise LedgerError(f"{file} is damaged: {problem}; use another backup")
    if row is None or row[0] not in known_revisions():
        raise LedgerError(f"{file} was written by a newer PersonaLoop; update the code first")


def _move_aside(target: Path) -> Path | None:
    if not target.exists() or target.stat().st_size == 0:
        return None
    try:
        with closing(sqlite3.connect(target, timeout=2)) as connection:
            # Leaving WAL takes the file for itself, so it fails while anybody has it open.
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError:
        raise Refused(
            f"the ledger {target} is in use; stop `personaloop serve` and `personaloop work` first"
        ) from None
    except sqlite3.DatabaseError:
        pass  # damaged: that is why it gets replaced; kept as it is
    aside = target.with_name(f"{target.name}.before-restore-{_stamp()}")
    target.replace(aside)
    return aside


def _judgments_at(url: str | None, target: Path | None) -> int:
    if target is not None:
        if not target.exists():
            return 0
        try:
            with closing(sqlite3.connect(target, timeout=10)) as connection:
                return int(connection.execute("SELECT count(*) FROM judgment").fetchone()[0])
        except sqlite3.DatabaseError as error:
            if "no such table" in str(error):
                return 0
            raise Refused(
                f"the ledger {target} cannot be read ({error});"
                " give --force to replace it (the old one is kept aside)"
            ) from None
    with open_database(url).connect() as connection:
        if connection.execute(text("SELECT to_regclass('judgment')")).scalar() is None:
            return 0
        return int(connection.execute(text("SELECT count(*) FROM judgment")).scalar_one())


def _is_ledger(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT 1 FROM judgment LIMIT 1")
    except sqlite3.DatabaseError:
        return False
    return True


def _verify_checksum(file: Path) -> None:
    beside = _checksum_file(file)
    if not beside.is_file():
        return
    said = beside.read_text(encoding="utf-8").split()
    if not said or said[0] != _sha256(file):
        raise LedgerError(f"{file} does not match its checksum in {beside}; use another backup")


def _unpacked(file: Path, folder: Path) -> Path:
    with file.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            return file
    plain = folder / "plain"
    try:
        with gzip.open(file, "rb") as packed, plain.open("wb") as stream:
            shutil.copyfileobj(packed, stream)
    except (EOFError, gzip.BadGzipFile) as error:
        raise LedgerError(f"{file} is damaged ({error}); use another backup") from None
    return plain


def _checksum_file(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
