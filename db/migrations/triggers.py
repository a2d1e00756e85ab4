"""What makes a table append-only, on each database. Used by revisions; knows no table by itself."""

import sqlalchemy as sa
from alembic import op


def append_only(table: str) -> None:
    """Refuse UPDATE and DELETE (and TRUNCATE) on a table from now on."""
    message = f"{table} is append-only"
    if op.get_bind().dialect.name == "sqlite":
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
    )


def erasable(table: str, columns: tuple[str, ...], whose: str) -> None:
    """Let an erasure that is under way change these columns of an append-only table, and no others.

    Args:
        table: Append-only so far.
        columns: What may change; in ``judgment`` only to null.
        whose: SQL that says which open rows of ``erasure`` allow a row of ``OLD`` to change.
    """
    connection = op.get_bind()
    message = f"{table} is append-only"
    open_ = f"EXISTS (SELECT 1 FROM erasure WHERE finished_at IS NULL AND {whose})"  # noqa: S608 - revisions' own words
    blank = " AND NEW.comment IS NULL" if table == "judgment" else ""
    if connection.dialect.name == "sqlite":
        names = [column["name"] for column in sa.inspect(connection).get_columns(table)]
        kept = " AND ".join(f"NEW.{n} IS OLD.{n}" for n in names if n not in columns)
        op.execute(f"DROP TRIGGER {table}_no_update")
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table}"
            f" WHEN NOT ({open_} AND {kept}{blank})"
            f" BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        return
    less = "".join(f" - '{column}'" for column in columns)
    op.execute(f"DROP TRIGGER {table}_no_change ON {table}")
    op.execute(
        f"CREATE TRIGGER {table}_no_change BEFORE DELETE OR TRUNCATE ON {table}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
    )
    op.execute(
        f"CREATE FUNCTION {table}_erasable() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF {open_} AND to_jsonb(NEW){less} = to_jsonb(OLD){less}{blank}"
        f" THEN RETURN NEW; END IF; RAISE EXCEPTION '{message}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION {table}_erasable()"
    )
