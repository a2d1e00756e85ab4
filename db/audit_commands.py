"""``personaloop audit``: who did what to whom. Parses options and prints."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from db.clock import utcnow
from db.command_options import database_option
from db.session import readers, require_current

_AGO = re.compile(r"(\d+)\s*([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class Moment(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - generic in stubs only
    """A time such as ``2026-01-31`` or ``2026-01-31T12:00`` (UTC), or ``24h``, ``7d``, ``2w``."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The moment in UTC."""
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value.strip())
        if ago:
            return utcnow() - int(ago.group(1)) * _UNITS[ago.group(2)]
        try:
            told = datetime.fromisoformat(value.strip())
        except ValueError:
            self.fail(f"{value!r} is no time: give 2026-01-31, 24h, 7d or 2w", param, ctx)
        return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)


@click.command()
@click.option("--actor", help="Only what this person or command line did; the exact name.")
@click.option("--act", help="Only this act, such as invite or 'set role'.")
@click.option("--subject", default="", help="Only acts whose subject has these words.")
@click.option(
    "--since",
    type=Moment(),
    help="Not before: a date or time (UTC), or how long ago as 24h, 7d, 2w.  [default: ever]",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    show_default="200 as text, all as a file format",
    help="At most so many acts, the newest.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "jsonl", "csv", "parquet"]),
    default="text",
    show_default=True,
    help="text is for reading; the others have every detail.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write here (gzip where the name ends in .gz); standard output without it.",
)
@database_option
def audit(
    actor: str | None,
    act: str | None,
    subject: str,
    since: datetime | None,
    limit: int | None,
    form: str,
    output: Path | None,
    database_url: str | None,
) -> None:
    """List administrative acts, newest first: when (UTC), who, what, on whom or what, details."""
    from db import audit as log
    from db.writing import write_rows

    if form == "text" and output is not None:
        raise click.UsageError("text goes to standard output; give --format jsonl, csv or parquet")
    require_current(database_url)
    asked = log.Asked(actor, act, subject, since)
    most = limit or (200 if form == "text" else None)
    with readers(database_url)() as session:
        found = log.rows(log.entries(session, asked, limit=most))
        total = log.count(session, asked)
    if form != "text":
        written = write_rows(output, found, log.COLUMNS, form)
        if output is not None:
            click.echo(f"{output}: {written} acts")
        return
    for row in found:
        detail = json.dumps(row["detail"], ensure_ascii=False) if row["detail"] else ""
        when = str(row["created_at"])[:19].replace("T", " ")
        click.echo(
            "  ".join(filter(None, (when, row["actor"], row["act"], row["subject"], detail)))
        )
    if not found:
        click.echo("no act under these options")
    elif total > len(found):
        click.echo(f"and {total - len(found)} earlier ones; --limit shows more", err=True)
