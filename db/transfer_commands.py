"""The commands that take files in and write files out. Parses options and prints."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from db import audit
from db.command_options import actor, database_option
from db.errors import ImportRefused, LedgerError
from db.import_options import TOOLS, Problems, Told, to_terminal, told_fields
from db.models import AnnotatorKind
from db.session import readers, require_current, sessions, upgrade

Command = Callable[..., None]
IN_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
FILE_HELP = "FILE is JSONL, JSON, CSV or Parquet by its name, each also with .gz."
PROBLEMS_SHOWN = 10


@click.group("import")
def import_() -> None:
    """Take judgments, prompts or comparisons from a file: all of it or nothing.

    The same file can be imported again; what is known already is left alone.
    """


def _told_options(function: Command) -> Command:
    """What can be said about any file to import."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Count and list problems; write nothing."),
        click.option(
            "--field",
            "fields",
            multiple=True,
            metavar="ROLE=NAME",
            help="For another tool's export: which field is the prompt, a, b, item_a, item_b,"
            " persona or verdict. May be repeated.  [default: by the names]",
        ),
        click.option(
            "--format",
            "tool",
            type=click.Choice(TOOLS),
            help="Which tool wrote the file.  [default: by its content]",
        ),
    ):
        function = option(function)
    return function


@import_.command("judgments", epilog=FILE_HELP)
@IN_FILE
@click.option("--batch", help="Batch for rows that name none.  [default: the file's name]")
@click.option("--annotator", help="Who judged, for rows that do not say.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in AnnotatorKind]),
    help="What that annotator is, for rows that do not say.  [default: human]",
)
@click.option(
    "--with-suggestions",
    is_flag=True,
    help="Also Label Studio's predictions and Argilla's suggestions, as automatic annotators.",
)
@_told_options
@database_option
def import_judgments(
    file: Path,
    batch: str | None,
    annotator: str | None,
    kind: str | None,
    with_suggestions: bool,
    tool: str | None,
    fields: tuple[str, ...],
    dry_run: bool,
    database_url: str | None,
) -> None:
    """Take judgments: item_a, item_b, verdict (a, b, tie, both_bad) and what else is known.

    Also: annotator, prompt, persona, placement (+1 a shown first, -1 b first), weight, strength (1
    better, 2 much better), comment, tags, text_a, text_b, messages, created_at … as `personaloop
    export judgments` writes them; LLMFAO's crowd and judge files; and the exports of Label Studio
    (JSON, JSON-MIN, CSV) and Argilla (JSON, JSONL, Parquet).
    """
    from db.importing import import_judgments as take

    told = _told(tool, fields, dry_run, suggestions=with_suggestions)
    with _importing(database_url, told, file, dry_run) as session:
        done = take(
            session,
            file,
            batch=batch,
            annotator=annotator,
            kind=AnnotatorKind(kind) if kind else None,
            told=told,
        )
        audit.record(session, actor(), "import judgments", file.name, added=done.added)
    parts = [f"{done.added} judgments {_added(dry_run)}"]
    if done.known:
        parts.append(f"{done.known} known already")
    parts += [f"{count} left out: {why}" for why, count in done.left_out.items()]
    click.echo(f"{file}: {', '.join(parts)}{_of_batches(done.batches)}")


@import_.command("prompts", epilog=FILE_HELP)
@IN_FILE
@click.option(
    "--split",
    type=click.Choice(["loop", "heldout"]),
    help="For rows that do not say: loop trains, heldout decides blind.  [default: loop]",
)
@_told_options
@database_option
def import_prompts(
    file: Path,
    split: str | None,
    tool: str | None,
    fields: tuple[str, ...],
    dry_run: bool,
    database_url: str | None,
) -> None:
    """Take prompts: prompt (text) or messages, and journey, intent, locale, tier, tags, split."""
    from db.importing import import_prompts as take

    told = _told(tool, fields, dry_run)
    with _importing(database_url, told, file, dry_run) as session:
        done = take(session, file, split=split, told=told)
        audit.record(session, actor(), "import prompts", file.name, added=done.added)
    known = f", {done.known} known already" if done.known else ""
    click.echo(f"{file}: {done.added} prompts {_added(dry_run)}{known}")


@import_.command("comparisons", epilog=FILE_HELP)
@IN_FILE
@click.option("--batch", help="Batch for rows that name none.  [default: the file's name]")
@click.option(
    "--overlap",
    type=click.IntRange(min=1),
    help="Judgments wanted a pair, by different annotators.  [default: 1 for a new batch]",
)
@click.option("--persona", help="Slug of the persona for rows that name none.")
@click.option(
    "--names",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="For LLMFAO's pairs: its crowd file, which has the models' names."
    "  [default: llmfao_crowd.csv.gz beside FILE]",
)
@click.option(
    "--purpose",
    type=click.Choice(["work", "gold"]),
    default="work",
    show_default=True,
    help="gold: every pair has its known answer (column gold), is mixed into other batches at"
    " their gold rate, and counts in no result.",
)
@_told_options
@database_option
def import_comparisons(
    file: Path,
    batch: str | None,
    overlap: int | None,
    persona: str | None,
    names: Path | None,
    purpose: str,
    tool: str | None,
    fields: tuple[str, ...],
    dry_run: bool,
    database_url: str | None,
) -> None:
    """Take pairs for the label page: prompt or messages, text_a, text_b, and item_a, item_b.

    Also: id (yours, so that judgments can be matched), gold (the known answer), persona; and
    LLMFAO's pairs file, and the exports of Label Studio and Argilla.
    """
    from db.importing import import_comparisons as take

    told = _told(tool, fields, dry_run)
    with _importing(database_url, told, file, dry_run) as session:
        done = take(
            session,
            file,
            batch=batch,
            overlap=overlap,
            persona=persona,
            names=names,
            purpose=purpose,
            told=told,
        )
        audit.record(session, actor(), "import comparisons", file.name, added=done.added)
    parts = [f"{done.added} comparisons {_added(dry_run)}"]
    if done.completed:
        parts.append(f"{done.completed} got their texts")
    if done.known:
        parts.append(f"{done.known} known already")
    if done.hidden:
        parts.append(f"{done.hidden} with an empty response are shown to nobody")
    click.echo(f"{file}: {', '.join(parts)}{_of_batches(done.batches)}")


def _told(
    tool: str | None, fields: tuple[str, ...], dry_run: bool, *, suggestions: bool = False
) -> Told:
    return Told(
        tool=tool,
        fields=told_fields(fields),
        suggestions=suggestions,
        problems=Problems(PROBLEMS_SHOWN if dry_run else 0),
        progress=to_terminal(),
    )


@contextmanager
def _importing(
    database_url: str | None, told: Told, file: Path, dry_run: bool
) -> Generator[Session]:
    """A transaction for an import; of a dry run nothing stays, and its problems are said.

    Raises:
        ImportRefused: A dry run found problems.
    """
    if dry_run:
        require_current(database_url)
    else:
        upgrade(database_url)
    with sessions(database_url)() as session:
        try:
            yield session
        finally:
            told.progress.end()
        if not dry_run:
            session.commit()
            return
        session.rollback()
    if told.problems.count:
        for problem in told.problems.found:
            click.echo(problem, err=True)
        raise ImportRefused(
            f"{file}: {told.problems.count} rows would be refused (nothing was written)"
        )


def _added(dry_run: bool) -> str:
    return "would be added; nothing was written" if dry_run else "added"


def _of_batches(names: Sequence[str]) -> str:
    return f" (batch {', '.join(names)})" if names else ""


@click.group("export")
def export() -> None:
    """Write judgments, preference pairs or adapters to a file or to standard output."""


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
    """Write standing judgments with their full provenance; `personaloop import` takes them."""
    from db.exporting import JUDGMENT_COLUMNS, judgment_rows

    with _reading(database_url, persona) as session:
        rows = judgment_rows(session, persona=persona, people_only=people_only, history=history)
        _write(output, rows, JUDGMENT_COLUMNS, form, "judgments")


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
        shapes = {
            "trl": pair_export.trl_rows,
            "trl-unpaired": pair_export.trl_unpaired_rows,
            "cookbook": pair_export.cookbook_rows,
        }
        if form in shapes:
            _write(output, shapes[form](rows), (), _nested(output, form), "rows")
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
    from db.exporting import ADAPTER_COLUMNS, adapter_rows

    with _reading(database_url, persona) as session:
        _write(output, adapter_rows(session, persona=persona), ADAPTER_COLUMNS, form, "adapters")


def _reading(database_url: str | None, persona: str | None) -> Session:
    from db.personas import persona as known

    require_current(database_url)
    session = readers(database_url)()
    if persona is not None:
        known(session, persona)
    _record_export(database_url)
    return session


def _record_export(database_url: str | None) -> None:
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
    columns: Sequence[str],
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
