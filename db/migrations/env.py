"""Alembic's entry: runs revisions on the engine given by db.migrations.run, in one transaction.

Two processes that start at once take turns: the second finds nothing left to do.
"""

from alembic import context
from sqlalchemy import Engine, text

from db.models import Base
from db.session import open_database

MIGRATING = 7_150_217
"""Key of the advisory lock on PostgreSQL."""

engine: Engine = context.config.attributes.get("engine") or open_database()

with engine.begin() as connection:
    if engine.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=engine.dialect.name == "sqlite",
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()
