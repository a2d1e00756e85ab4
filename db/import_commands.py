"""The commands that take files in: `personaloop import`. Parses options and prints."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy.orm import Session

from db.command_options import database_option
from db.errors import ImportRefused
from db.import_options import TOOLS, Problems, Told, to_terminal, told_fields
from db.import_record import record_import
from db.models import AnnotatorKind
from db.session import require_current, sessions, upgrade

Command = Callable[..., None]
IN_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
FILE_HELP = "FILE is JSONL, JSON, CSV or Parquet by its name, each also with .gz."
PROBLEMS_SHOWN = 10


@click.group("import")
def import_() -> None:
    """Take judgments, skips, prompts or comparisons from a file: all of it or nothing.

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


def _who_options(function: Command) -> Command:
    """Whose rows they are and into which batch they go, where the rows do not say."""
    for option in (
        click.option(
            "--kind",
            type=click.Choice([kind.value for kind in AnnotatorKind]),
            help="What that annotator is, for rows that do not say.  [default: human]",
        ),
        click.option("--annotator", help="Who judged or skipped, for rows that do not say."),
        click.option("--batch", help="Batch for rows that name none.  [default: the file's name]"),
    ):
        function = option(function)
    return function


@import_.command("judgments", epilog=FILE_HELP)
@IN_FILE
@_who_options
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
    better, 2 much better), comment, tags, text_a, text_b, author_a, author_b (the person who wrote
    a text, who is never asked about it), messages, created_at … as `personaloop export judgments`
    writes them; LLMFAO's crowd and judge files; the exports of Label Studio (JSON, JSON-MIN, CSV)
    and Argilla (JSON, JSONL, Parquet); and pairs of chosen and rejected (TRL, tinker-cookbook).
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
        record_import(session, "judgments", file, done.added, batch=batch)
    parts = [f"{done.added} judgments {_added(dry_run)}"]
    if done.known:
        parts.append(f"{done.known} known already")
    parts += [f"{count} left out: {why}" for why, count in done.left_out.items()]
    click.echo(f"{file}: {', '.join(parts)}{_of_batches(done.batches)}")


@import_.command("skips", epilog=FILE_HELP)
@IN_FILE
@_who_options
@click.option("--dry-run", is_flag=True, help="Count and list problems; write nothing.")
@database_option
def import_skips(
    file: Path,
    batch: str | None,
    annotator: str | None,
    kind: str | None,
    dry_run: bool,
    database_url: str | None,
) -> None:
    """Take skips as `personaloop export skips` writes them; a skip is never a judgment.

    item_a, item_b, annotator, and what else is known: reason, flags, leased_at, shown_at, placement
    and what tells the pair. Who skipped a pair is not asked it again.
    """
    from db.importing import import_skips as take

    told = _told(None, (), dry_run)
    with _importing(database_url, told, file, dry_run) as session:
        done = take(
            session,
            file,
            batch=batch,
            annotator=annotator,
            kind=AnnotatorKind(kind) if kind else None,
            told=told,
        )
        record_import(session, "skips", file, done.added, batch=batch)
    known = f", {done.known} known already" if done.known else ""
    click.echo(f"{file}: {done.added} skips {_added(dry_run)}{known}{_of_batches(done.batches)}")


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
        record_import(session, "prompts", file, done.added)
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

    Also: id (yours, so that judgments can be matched), gold (the known answer), persona, author_a
    and author_b (the person who wrote a text, who is never asked about it); and LLMFAO's pairs
    file, the exports of Label Studio and Argilla, and pairs of chosen and rejected.
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
        record_import(session, "comparisons", file, done.added, batch=batch)
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
