"""The commands that write files out: `personaloop export`. Parses options and prints."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from db import audit
from db.command_options import actor, database_option
from db.errors import LedgerError
from db.session import readers, require_current
from db.writing import Columns

Command = Callable[..., None]


@click.group("export")
def export() -> None:
    """Write judgments, skips, preference pairs or adapters to a file or to standard output."""


def _output_options(formats: list[str]) -> Callable[[Command], Command]:
    def decorate(function: Command) -> Command:
        function = database_option(function)
        function = click.option(
            "--output",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Write here (gzip where the name ends in .gz); standard output without it.",
        )(function)
        function = click.option("--persona", help="Only of this persona's slug.")(function)
        return click.option(
            "--format",
            "form",
            type=click.Choice(formats),
            help="What to write.  [default: by the name of --output, else jsonl]",
        )(function)

    return decorate


@export.command("judgments")
@_output_options(["jsonl", "csv", "parquet"])
@click.option("--people-only", is_flag=True, help="Leave out simulated and automatic annotators.")
@click.option("--history", is_flag=True, help="Also judgments that were undone or revised.")
def export_judgments(
    form: str | None,
    persona: str | None,
    output: Path | None,
    database_url: str | None,
    people_only: bool,
    history: bool,
) -> None:
    """Write standing judgments with their full provenance; `personaloop import` takes them.

    Of each: the pair with its texts, who judged when and how, gold and repeats, adjudications,
    returns, flags, and the runs that trained on it. Skips are none: `personaloop export skips`.
    """
    from db.exporting import JUDGMENT_COLUMNS, judgment_rows

    with _reading(database_url, persona) as session:
        rows = judgment_rows(session, persona=persona, people_only=people_only, history=history)
        _write(output, rows, JUDGMENT_COLUMNS, form, "judgments")


@export.command("skips")
@_output_options(["jsonl", "csv", "parquet"])
@click.option("--people-only", is_flag=True, help="Leave out simulated and automatic annotators.")
def export_skips(
    form: str | None,
    persona: str | None,
    output: Path | None,
    database_url: str | None,
    people_only: bool,
) -> None:
    """Write who skipped which pair and why; `personaloop import skips` takes them."""
    from db.exporting import SKIP_COLUMNS, skip_rows

    with _reading(database_url, persona) as session:
        rows = skip_rows(session, persona=persona, people_only=people_only)
        _write(output, rows, SKIP_COLUMNS, form, "skips")


@export.command("pairs")
@_output_options(["jsonl", "csv", "parquet", "trl", "trl-unpaired", "cookbook"])
@click.option("--people-only", is_flag=True, help="Leave out simulated and automatic annotators.")
@click.option(
    "--include-blind", is_flag=True, help="Also comparisons that decide between two adapters."
)
def export_pairs(
    form: str | None,
    persona: str | None,
    output: Path | None,
    database_url: str | None,
    people_only: bool,
    include_blind: bool,
) -> None:
    """Write decided judgments as chosen and rejected; ties and both-bad never become a pair.

    trl: explicit-prompt preference format (prompt, chosen, rejected as message lists).
    trl-unpaired: prompt, completion, label. cookbook: tinker-cookbook's comparison JSONL.
    """
    from db import pair_export

    left_out = pair_export.LeftOut()
    with _reading(database_url, persona) as session:
        rows = pair_export.pair_rows(
            session,
            left_out,
            persona=persona,
            people_only=people_only,
            include_blind=include_blind,
        )
        if form in pair_export.SHAPES:
            shape, columns = pair_export.SHAPES[form]
            _write(output, shape(rows), columns, _nested(output, form), "rows")
        else:
            _write(output, rows, pair_export.PAIR_COLUMNS, form, "pairs")
    if str(left_out):
        click.echo(f"left out: {left_out}", err=True)


@export.command("adapters")
@_output_options(["jsonl", "csv", "parquet"])
def export_adapters(
    form: str | None, persona: str | None, output: Path | None, database_url: str | None
) -> None:
    """Write adapters with parents, run, snapshot and checksums (not their files)."""
    from db.export_adapters import ADAPTER_COLUMNS, adapter_rows

    with _reading(database_url, persona) as session:
        _write(output, adapter_rows(session, persona=persona), ADAPTER_COLUMNS, form, "adapters")


def _reading(database_url: str | None, persona: str | None) -> Session:
    from db.personas import persona as known

    require_current(database_url)
    session = readers(database_url)()
    if session.get_bind().dialect.name == "postgresql":  # all statements see one moment
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    if persona is not None:
        known(session, persona)
    _record(database_url)
    return session


def _record(database_url: str | None) -> None:
    """Write down who takes what out and how, before anything is: the options of the command."""
    context = click.get_current_context()
    told = {name: value for name, value in context.params.items() if value not in (None, False)}
    told.pop("database_url", None)
    output = told.pop("output", None)
    where = "standard output" if output is None else Path(output).name
    told = {name: str(value) if isinstance(value, Path) else value for name, value in told.items()}
    audit.record_now(database_url, actor(), f"export {context.info_name}", where, **told)


def _nested(output: Path | None, form: str) -> str:
    """What holds rows of message lists: JSONL, or Parquet where the file's name says so."""
    from db.files import format_of

    kind = "jsonl" if output is None else format_of(output)
    if kind == "csv":
        raise LedgerError(f"{output}: {form} has lists, which CSV does not; use .jsonl or .parquet")
    return kind


def _write(
    output: Path | None,
    rows: Iterable[Mapping[str, Any]],
    columns: Columns,
    form: str | None,
    what: str,
) -> None:
    from db.files import format_of
    from db.writing import write_rows

    if form is None:
        form = "jsonl" if output is None else format_of(output)
    count = write_rows(output, rows, columns, form)
    if output is not None:
        click.echo(f"{output}: {count} {what}")
