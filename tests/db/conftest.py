"""Fresh ledgers on both databases; every test that takes `url` or `make` runs on each."""

import itertools
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from db.session import close_database, open_database, sessions, upgrade
from tests.proof.postgres import postgres_server

NUMBERS = itertools.count(1)
BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite ledger to copy."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    url = f"sqlite:///{path}"
    upgrade(url)
    with open_database(url).connect() as connection:
        connection.execute(text("SELECT 1"))
    close_database(url)
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A real PostgreSQL server with a migrated, empty ledger to copy."""
    with postgres_server() as url:
        _create(url, "template_ledger", "template0")
        template = _named(url, "template_ledger")
        upgrade(template)
        close_database(template)
        yield url


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty ledger, once on SQLite and once on PostgreSQL."""
    yield from _fresh(request, tmp_path, request.param)


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty SQLite ledger."""
    yield from _fresh(request, tmp_path, "sqlite")


@pytest.fixture
def empty_url(tmp_path: Path) -> Iterator[str]:
    """The URL of a SQLite database that is not there yet."""
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    yield url
    close_database(url)


@pytest.fixture
def make(url: str) -> sessionmaker[Session]:
    """Sessions of a migrated, empty ledger; `with make.begin() as session:`."""
    return sessions(url)


@pytest.fixture
def another(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a second empty ledger on the same kind of database."""
    kind = "sqlite" if url.startswith("sqlite") else "postgresql"
    yield from _fresh(request, tmp_path / "another", kind)


def _fresh(request: pytest.FixtureRequest, folder: Path, kind: str) -> Iterator[str]:
    if kind == "sqlite":
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "ledger.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        path.chmod(0o600)
        url = f"sqlite:///{path}"
        yield url
        close_database(url)
        return
    server = request.getfixturevalue("postgres")
    name = f"ledger_{next(NUMBERS)}"
    _create(server, name, "template_ledger")
    url = _named(server, name)
    yield url
    close_database(url)
    with open_database(server).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(
            text(f"DROP DATABASE {name} WITH (FORCE)")
        )


def _create(server: str, name: str, template: str) -> None:
    with open_database(server).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(
            text(f"CREATE DATABASE {name} TEMPLATE {template}")
        )


def _named(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)
