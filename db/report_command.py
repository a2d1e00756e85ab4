"""The command `personaloop report`: win rates and ratings, from the ledger or anyone's CSV file.

Parses options, reads, prints. Every number comes from `preference.report`.
"""

import json
import os
import tempfile
from pathlib import Path

import click

from db.command_options import database_option
from db.errors import LedgerError
from preference import report as reports
from preference.bradley_terry import TIES
from preference.errors import PreferenceError
from preference.render_html import html
from preference.render_text import markdown, table, visible
from preference.report_input import Columns

FORMATS = ("table", "json", "markdown", "html")


@click.command()
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path),
    help="Judgments in a CSV file instead of the ledger: columns item_a, item_b, verdict (a, b,"
    " tie, both_bad), optionally annotator, prompt, persona, placement (+1 a first, -1 b first),"
    " weight, strength, created_at, length_a and length_b (or text_a and text_b).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="table for the terminal, json for programs, markdown, or a self-contained html page.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file instead of the terminal.",
)
@click.option(
    "--ties",
    type=click.Choice(TIES),
    default="davidson",
    show_default=True,
    help="How ties count: half a win each, a tie parameter (davidson, rao_kupper), or auto: the"
    " better of the two by held-out likelihood.",
)
@click.option(
    "--prior",
    default="auto",
    show_default=True,
    help="none, firth, ridge or a ridge's precision (1/variance of a log-odds rating); auto uses"
    " firth only where an item has no finite rating, and says so.",
)
@click.option(
    "--ci",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Confidence level of every interval, between 0 and 1.",
)
@click.option(
    "--strength",
    is_flag=True,
    help="Count a 'much better' (column strength, 2) as two judgments instead of one.",
)
@click.option("--persona", help="Only judgments of this persona.")
@click.option("--round", "number", type=int, help="Only this round (ledger only).")
@click.option(
    "--people-only",
    is_flag=True,
    help="Leave out simulated and automatic annotators (ledger only).",
)
@database_option
def report(
    csv_file: Path | None,
    form: str,
    output: Path | None,
    ties: str,
    prior: str,
    ci: float,
    strength: bool,
    persona: str | None,
    number: int | None,
    people_only: bool,
    database_url: str | None,
) -> None:
    """Rank items by people's judgments: ratings and win rates with intervals.

    Intervals are robust to the same annotator (and prompt) judging many times.
    """
    if csv_file is not None and (number is not None or people_only):
        raise click.UsageError("--round and --people-only read the ledger: leave out --csv")
    try:
        if csv_file is not None:
            columns = _of_persona(reports.read_csv(csv_file), persona)
        else:
            columns = _from_ledger(database_url, persona, number, people_only)
        made = reports.build_columns(
            columns, ties=ties, prior=_prior(prior), ci=ci, strength=strength
        )
        text = render(made, form)
    except PreferenceError as error:
        raise LedgerError(visible(str(error))) from None
    if output is None:
        click.echo(text, nl=False)
        return
    write(output, text)
    click.echo(f"wrote {output}", err=True)


def render(made: reports.Report, form: str) -> str:
    """A report as text in one of `FORMATS`, ending in a newline."""
    if form == "json":
        return json.dumps(made.to_json_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return {"table": table, "markdown": markdown, "html": html}[form](made)


def write(output: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        LedgerError: the folder does not exist or cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=output.resolve().parent, prefix=f".{output.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(output)
    except OSError as error:
        raise LedgerError(f"{output}: cannot be written: {error.strerror}") from None


def _prior(text: str) -> float | str | None:
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _of_persona(columns: Columns, persona: str | None) -> Columns:
    if persona is None:
        return columns
    if columns.persona is None:
        raise LedgerError(f"{columns.source}: no column persona, so --persona cannot choose")
    names: list[str] = list(columns.persona.categories)
    if persona not in names:
        raise LedgerError(
            f"{columns.source}: no judgment of persona {persona!r} (found {', '.join(names)})"
        )
    return columns.where(columns.persona.codes == names.index(persona))


def _from_ledger(
    database_url: str | None, persona: str | None, number: int | None, people_only: bool
) -> Columns:
    from db import blocks, judgments, personas
    from db.session import readers, require_current

    require_current(database_url)
    with readers(database_url).begin() as session:
        if persona is not None:
            personas.persona(session, persona)
        known = judgments.tables(session)
        packed = judgments.chosen(
            blocks.standing(session),
            known,
            persona=persona,
            round=number,
            include_simulated=not people_only,
        )
    if packed.n == 0:
        raise LedgerError(
            "no judgments to report on yet: label some (personaloop serve), or import a file"
            " (personaloop import judgments FILE)"
        )
    return judgments.columns_of(packed, known)
