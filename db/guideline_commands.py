"""``personaloop guidelines``: what evaluators go by, and what is asked of them before they judge.

Parses options and prints; what is done is in ``db.guidelines``, ``db.practice``, ``db.onboarding``.
"""

from pathlib import Path

import click

from db import audit, people, practice
from db import guidelines as ledger
from db import onboarding as asking
from db.command_options import actor, database_option
from db.errors import NotFound
from db.session import sessions, upgrade

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def guidelines() -> None:
    """What evaluators go by, in versions; who must read and practise before judging."""


@guidelines.command()
@click.option(
    "--version",
    "number",
    type=click.IntRange(min=1),
    show_default="the current one",
    help="Which version.",
)
@database_option
def show(number: int | None, database_url: str | None) -> None:
    """Print the guidelines as Markdown."""
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        found = ledger.current(session) if number is None else ledger.version(session, number)
        if found is None:
            raise NotFound("no guidelines yet; `personaloop init` loads the first ones")
        click.echo(found.text)


@guidelines.command()
@click.argument("file", type=FILE)
@database_option
def publish(file: Path, database_url: str | None) -> None:
    """Make the Markdown in FILE the current version; evaluators are asked to accept it anew."""
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        made = ledger.publish(session, file.read_text(encoding="utf-8"), actor())
        click.echo(f"version {made.version} of the guidelines is published")


@guidelines.command()
@database_option
def versions(database_url: str | None) -> None:
    """List every version: number, when it was published (UTC), by whom, how long it is."""
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        every = ledger.versions(session)
        if not every:
            click.echo("no guidelines yet; `personaloop init` loads the first ones")
        for each in every:
            click.echo(
                f"{each.version:>3}  {each.created_at:%Y-%m-%d %H:%M}  {each.author}"
                f"  {len(each.text.split())} words"
            )


@guidelines.command()
@click.option(
    "--acceptance/--no-acceptance",
    default=None,
    show_default="as it is",
    help="Whether evaluators must accept the current version before a pair is shown.",
)
@click.option(
    "--practice/--no-practice",
    "practise",
    default=None,
    show_default="as it is",
    help="Whether evaluators must practise before their first pair; else practice is offered.",
)
@click.option("--hide-practice", is_flag=True, help="Do not even offer practice.")
@click.option(
    "--name", show_default="everybody", help="Of this person alone, instead of everybody."
)
@database_option
def require(
    acceptance: bool | None,
    practise: bool | None,
    hide_practice: bool,
    name: str | None,
    database_url: str | None,
) -> None:
    """Say what comes before judging; without options, print what is asked now.

    Nothing is required until this says so. Analysts and admins are never held up.
    """
    if hide_practice and practise:
        raise click.UsageError("--practice and --hide-practice exclude each other")
    wanted = None if practise is None else ("required" if practise else "offered")
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        whose = people.person(session, name).id if name else None
        if acceptance is None and wanted is None and not hide_practice:
            asked = asking.asked(session, whose)
        else:
            asked = asking.require(
                session,
                actor=actor(),
                guidelines=None if acceptance is None else _word(acceptance),
                practice="off" if hide_practice else wanted,
                annotator_id=whose,
            )
    click.echo(
        f"{name or 'everybody'}: accepting the guidelines is {asked.guidelines},"
        f" practice is {asked.practice}"
    )


@guidelines.command()
@click.argument("name")
@database_option
def ready(name: str, database_url: str | None) -> None:
    """Let NAME judge at once, whatever is required of others (trained elsewhere)."""
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        asking.mark_ready(session, people.person(session, name).id, actor=actor())
    click.echo(f"{name} may judge at once")


@guidelines.command("practice")
@click.argument("file", type=FILE)
@database_option
def load_practice(file: Path, database_url: str | None) -> None:
    """Practise on exactly the pairs in FILE (YAML, as data/practice.yaml) from now on."""
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        found = practice.load(session, file)
        audit.record(session, actor(), "practice", file.name, pairs=found)
    click.echo(f"{found} practice pairs loaded")


def _word(required: bool) -> str:
    return "required" if required else "offered"
