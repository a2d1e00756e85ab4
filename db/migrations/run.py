"""Runs migrations from code, and says whether the models have drifted from them."""

import re

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.pool import StaticPool

from db.errors import LedgerError, MigrationNeeded
from db.models import Base
from db.settings import REPOSITORY


def config(engine: Engine) -> Config:
    """An alembic configuration bound to an open engine; there is no alembic.ini."""
    made = Config()
    made.set_main_option("script_location", str(REPOSITORY / "db" / "migrations"))
    made.attributes["engine"] = engine
    return made


def upgrade_to_head(engine: Engine) -> None:
    """Apply what is missing.

    Raises:
        MigrationNeeded: The database is newer than this code.
        LedgerError: It holds tables that are not a ledger's.
    """
    has_tables = inspect(engine.execution_options(ledger_reader=True)).has_table(
        "judgment"
    )  # first: tables and revision come together
    current, head = revisions(engine)
    if current == head:
        return
    _known(current)
    if current is None and has_tables:
        raise LedgerError(
            "this database has tables named like the ledger's but no migration history;"
            " give an empty one with --database-url"
        )
    command.upgrade(config(engine), "head")


def upgrade_to(engine: Engine, revision: str) -> None:
    """Make the tables of an earlier revision in an empty database."""
    command.upgrade(config(engine), revision)


def require_head(engine: Engine) -> None:
    """Check that the database is at this code's revision.

    Raises:
        MigrationNeeded: It is not; the message says what to run.
    """
    current, head = revisions(engine)
    if current == head:
        return
    _known(current)
    what = "empty" if current is None else f"at revision {current}, this code wants {head}"
    raise MigrationNeeded(f"the database is {what}: run `personaloop init`")


def revisions(engine: Engine) -> tuple[str | None, str]:
    """The database's revision (None where there is none) and this code's newest."""
    head = ScriptDirectory.from_config(config(engine)).get_current_head()
    assert head is not None
    reading = engine.execution_options(ledger_reader=True)
    with reading.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision(), head


def drift() -> list[str]:
    """Differences between the tables that migrations make and those of the models; empty is good.

    Compares the definitions themselves, so that CHECK constraints, partial indexes and foreign
    keys count too, which alembic's own comparison leaves out.
    """
    migrated = create_engine("sqlite://", poolclass=StaticPool)
    modelled = create_engine("sqlite://", poolclass=StaticPool)
    command.upgrade(config(migrated), "head")
    Base.metadata.create_all(modelled)
    ours, theirs = _definitions(migrated), _definitions(modelled)
    found: list[str] = []
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs:
            found.append(f"{name}: made by the migrations, not in db/models.py")
        elif name not in ours:
            found.append(f"{name}: in db/models.py, made by no migration")
        elif ours[name] != theirs[name]:
            only = sorted(ours[name] ^ theirs[name])
            found.append(f"{name}: differs in {'; '.join(only)}")
    return found


def _definitions(engine: Engine) -> dict[str, set[str]]:
    """Tables and indexes of a SQLite database, each as the set of its parts."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT type || ' ' || name, sql FROM sqlite_master WHERE sql IS NOT NULL"
                " AND type IN ('table', 'index') AND name <> 'alembic_version'"
            )
        ).all()
    return {str(name): _parts(str(sql)) for name, sql in rows}


def _parts(definition: str) -> set[str]:
    """What stands before, between and after the outer parentheses, commas at any depth apart.

    Neither line breaks nor the order of columns count: SQLite writes an added column last.
    """
    flat = re.sub(r"[\s\"]+", " ", definition)
    first, last = flat.index("("), flat.rindex(")")
    return {
        part.strip()
        for part in (flat[:first], *flat[first + 1 : last].split(","), flat[last + 1 :])
    }


def known_revisions() -> set[str]:
    """Every revision that this code can bring up to date."""
    folder = str(REPOSITORY / "db" / "migrations")
    return {each.revision for each in ScriptDirectory(folder).walk_revisions()}


def _known(revision: str | None) -> None:
    if revision is None:
        return
    if revision not in known_revisions():
        raise MigrationNeeded(
            f"the database is at revision {revision}, which this code does not know:"
            " it was written by a newer PersonaLoop; update the code"
        )
