"""The ledger's commands: init, users, backup, restore, doctor, import, export.

Parses options and prints; what is done is in the modules that are called.
"""

from datetime import timedelta
from pathlib import Path

import click

from db import audit, people, sign_in_commands
from db.command_options import actor as _actor
from db.command_options import database_option
from db.export_commands import export
from db.import_commands import import_
from db.models import AnnotatorKind, Role
from db.session import ledger_url, require_current, sessions, upgrade
from db.settings import app_url

__all__ = ["backup", "doctor", "export", "import_", "init", "restore", "users"]

ROLES = click.Choice([role.value for role in Role])


@click.command()
@click.option(
    "--sample",
    is_flag=True,
    help="Also load the personas, prompts and adapters that ship with the project.",
)
@database_option
def init(sample: bool, database_url: str | None) -> None:
    """Create the database, or bring it to this version's tables. Safe to repeat."""
    from db import guidelines
    from db.sample import load_sample

    upgrade(database_url)
    audit.record_now(database_url, _actor(), "init", sample=sample)
    with sessions(database_url).begin() as session:
        guidelines.load_first(session)
    shown = ledger_url(database_url).render_as_string(hide_password=True)
    click.echo(f"ledger ready: {shown}")
    if not sample:
        return
    with sessions(database_url).begin() as session:
        loaded = load_sample(session)
    click.echo(
        f"sample loaded: {loaded.personas} personas, {loaded.prompts} prompts,"
        f" {loaded.adapters} adapters, {loaded.practice} practice pairs"
    )


@click.group()
def users() -> None:
    """Who may sign in, and what they may do."""


@users.command()
@click.option("--name", required=True, help="Who is invited; the account's unique name.")
@click.option(
    "--role",
    type=ROLES,
    show_default="evaluator for a new account; one that exists keeps its role",
    help="evaluator judges, analyst also reads results, admin does everything.",
)
@click.option(
    "--base-url",
    default=app_url,
    show_default="env PERSONALOOP_URL, else where the app was last served",
    help="Where the app answers, as the invited person's browser sees it.",
)
@click.option(
    "--days",
    type=click.FloatRange(min=0.01, max=365),
    default=7.0,
    show_default=True,
    help="How long the link can be used, in days.",
)
@database_option
def invite(
    name: str, role: str | None, base_url: str, days: float, database_url: str | None
) -> None:
    """Print a one-time link that signs a person in; makes the account if there is none."""
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        token = people.invite(session, name, role, valid=timedelta(days=days))
        given = people.put_annotator(session, name).role.value
        audit.record(session, _actor(), "invite", name, role=given, days=days)
    click.echo(f"{base_url.rstrip('/')}/invite/{token}")


@users.command("list")
@click.option(
    "--all", "everyone", is_flag=True, help="Also annotators of imports and simulated ones."
)
@database_option
def list_people(everyone: bool, database_url: str | None) -> None:
    """List who was invited: name, role, kind, active or off, since when (UTC), how they sign in.

    They sign in by a password, an account at a provider (its host is shown), or a link that
    waits; "new link needed" where they have none of these.
    """
    from db.ways_in import ways_in

    upgrade(database_url)
    with sessions(database_url).begin() as session:
        everybody = people.people(session, invited=not everyone)
        ways = ways_in(session)
    if not everybody:
        click.echo("nobody yet; `personaloop users invite --name NAME` invites somebody")
    width = max((len(each.name) for each in everybody), default=0)
    for each in everybody:
        state = "active" if each.active else "off"
        way = ", ".join(ways.get(each.id, [])) or "new link needed"
        click.echo(
            f"{each.name:<{width}}  {each.role.value:<9}  {each.kind.value:<9}  {state:<6}"
            f"  {each.created_at:%Y-%m-%d %H:%M}"
            + (f"  {way}" if each.kind is AnnotatorKind.HUMAN else "")
        )


@users.command()
@click.argument("name")
@click.argument("role", type=ROLES)
@database_option
def role(name: str, role: str, database_url: str | None) -> None:
    """Give NAME another ROLE (evaluator, analyst or admin), at once."""
    with sessions(database_url).begin() as session:
        people.set_role(session, name, role)
        audit.record(session, _actor(), "set role", name, role=role)
    click.echo(f"{name} is now {role}")


@users.command()
@click.argument("name")
@database_option
def deactivate(name: str, database_url: str | None) -> None:
    """Switch NAME off: signed out at once, the pair in hand goes back to the queue."""
    _set_active(name, False, database_url)


@users.command()
@click.argument("name")
@click.option("--keep-comments", is_flag=True, help="Only the name goes; comments and notes stay.")
@click.option("--yes", is_flag=True, help="Do it. Without it nothing is changed.")
@database_option
def erase(name: str, keep_comments: bool, yes: bool, database_url: str | None) -> None:
    """Give NAME a pseudonym for good, blank their comments, switch them off; counts stay.

    Judgments stand as they are, under the pseudonym. It cannot be taken back.
    """
    from db import erasing
    from db.errors import Refused

    require_current(database_url)
    with sessions(database_url).begin() as session:
        people.person(session, name)
        if not yes:
            raise Refused(
                f"nothing was changed: erasing {name} cannot be taken back; give --yes."
                f" {erasing.STAYS}"
            )
        done = erasing.erase(session, name, actor=_actor(), keep_comments=keep_comments)
    click.echo(done.in_words())


@users.command()
@click.argument("name")
@database_option
def activate(name: str, database_url: str | None) -> None:
    """Switch NAME on again."""
    _set_active(name, True, database_url)


@users.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, as a sentence for that person.")
@database_option
def pause(name: str, reason: str, database_url: str | None) -> None:
    """Hand NAME no pair any more, until `personaloop users resume NAME`."""
    from db import pausing

    with sessions(database_url).begin() as session:
        pausing.pause(session, people.person(session, name), reason, actor=_actor())
    click.echo(f"{name} is paused")


@users.command()
@click.argument("name")
@database_option
def resume(name: str, database_url: str | None) -> None:
    """Let NAME, who was paused, judge again; earlier gold answers pause them no more."""
    from db import pausing

    with sessions(database_url).begin() as session:
        pausing.resume(session, people.person(session, name), actor=_actor())
    click.echo(f"{name} goes on")


for _command in sign_in_commands.COMMANDS:
    users.add_command(_command)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@database_option
def backup(file: Path, database_url: str | None) -> None:
    """Write a consistent copy of the ledger to FILE while everything goes on.

    FILE.sha256 gets its checksum. A SQLite ledger becomes a SQLite file, a PostgreSQL ledger a
    JSONL file (gzip where FILE ends in .gz); `personaloop restore` takes both.
    """
    from db.backup import back_up

    done = back_up(database_url, file)
    audit.record_now(database_url, _actor(), "backup", file.name, sha256=done.sha256)
    click.echo(f"{file}: {done.judgments} judgments, {done.bytes} bytes, sha256 {done.sha256}")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--force",
    is_flag=True,
    help="Also over a ledger that holds judgments; the old one is kept aside.",
)
@database_option
def restore(file: Path, force: bool, database_url: str | None) -> None:
    """Put the ledger of a backup FILE in place, its checksum verified first.

    Stop `personaloop serve` and `personaloop work` before.
    """
    from db.backup import put_back

    done = put_back(database_url, file, force=force)
    audit.record_now(database_url, _actor(), "restore", file.name, aside=done.aside)
    aside = f"; the old one is kept as {done.aside}" if done.aside else ""
    click.echo(f"restored {done.judgments} judgments from {file}{aside}")


@click.command()
@click.option(
    "--migrations",
    is_flag=True,
    help="Only compare the migrations with the models (needs no database).",
)
@click.option(
    "--rebuild-blocks",
    is_flag=True,
    help="First make the blocks that reports read anew from the judgments.",
)
@database_option
def doctor(migrations: bool, rebuild_blocks: bool, database_url: str | None) -> None:
    """Check the ledger and what lies around it; changes nothing unless asked to.

    Integrity and foreign keys, seats against leases and judgments, which judgments stand, the
    blocks that reports read against the judgments, adapter files against their checksums, file
    modes of secrets, migrations against models. Exit status 1 when something is wrong.
    """
    if rebuild_blocks:
        from db import blocks
        from db.session import require_current

        require_current(database_url)
        with sessions(database_url).begin() as session:
            made = blocks.rebuild(session)
            audit.record(session, _actor(), "rebuild blocks", blocks=made)
        click.echo(f"{made} blocks made again")
    from db.doctor import examine, migration_findings

    findings = migration_findings() if migrations else examine(database_url)
    for finding in findings:
        click.echo(f"{'ok  ' if finding.ok else 'BAD '} {finding.text}")
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


def _set_active(name: str, active: bool, database_url: str | None) -> None:
    with sessions(database_url).begin() as session:
        people.set_active(session, name, active)
        audit.record(session, _actor(), "activate" if active else "deactivate", name)
    click.echo(f"{name} is {'active again' if active else 'switched off'}")
