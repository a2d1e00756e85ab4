"""``personaloop flags``: what annotators flagged, and what was adjudicated. Parses and prints."""

import click

from db import desk_commands
from db.command_options import actor, database_option
from db.session import readers, require_current, sessions


@click.group()
def flags() -> None:
    """What annotators say is wrong with pairs, and decisions where they disagree."""


@flags.command("list")
@click.option("--resolved", is_flag=True, help="Those that were resolved instead, latest first.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many flags."
)
@database_option
def list_flags(resolved: bool, limit: int, database_url: str | None) -> None:
    """List flags that wait, oldest first: id, when (UTC), kind, who, pair, note."""
    from db import flags as ledger

    require_current(database_url)
    with readers(database_url)() as session:
        read = ledger.resolved if resolved else ledger.waiting
        found = read(session, limit=limit)
    for each in found:
        done = f"  resolved by {each.resolved_by}: {each.resolution}" if each.resolution else ""
        note = f"  {each.note!r}" if each.note else ""
        click.echo(
            f"{each.id}  {each.created_at:%Y-%m-%d %H:%M}  {each.kind}  {each.by}"
            f"  comparison {each.comparison_id} of {each.batch}{note}{done}"
        )
    if not found:
        click.echo("no flag was resolved yet" if resolved else "no flag waits")


@flags.command()
@click.argument("flag_id", type=int)
@click.option("--words", required=True, help="What was done about it, for the record.")
@click.option(
    "--stop-asking", is_flag=True, help="Also take the pair out of the queue; judgments stay."
)
@database_option
def resolve(flag_id: int, words: str, stop_asking: bool, database_url: str | None) -> None:
    """Put flag FLAG_ID away with what was done about it."""
    from db import flags as ledger

    require_current(database_url)
    with sessions(database_url).begin() as session:
        if stop_asking:
            ledger.stop_asking(session, flag_id, actor=actor())
        ledger.resolve(session, flag_id, words, actor=actor())
    click.echo(f"flag {flag_id} is resolved")


@flags.command()
@click.option("--waiting", is_flag=True, help="The pairs that wait for a decision instead.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many pairs."
)
@database_option
def adjudications(waiting: bool, limit: int, database_url: str | None) -> None:
    """List decisions that stand, newest first: when (UTC), pair, verdict (canonical), who, note."""
    from db import adjudication

    require_current(database_url)
    with readers(database_url)() as session:
        if waiting:
            queue = adjudication.waiting(session)
            for each in queue[:limit]:
                split = "  no majority" if each.split else ""
                click.echo(f"comparison {each.comparison_id}  {each.judgments} judgments{split}")
            if not queue:
                click.echo("no pair waits for a decision")
            return
        found = adjudication.decisions(session, limit=limit)
    for each in found:
        much = f" {each.strength}" if each.strength else ""
        note = f"  {each.note!r}" if each.note else ""
        click.echo(
            f"{each.created_at:%Y-%m-%d %H:%M}  comparison {each.comparison_id} of {each.batch}"
            f"  {each.verdict.value}{much}  {each.by}  {each.judgments} judgments{note}"
        )
    if not found:
        click.echo("nothing was adjudicated yet")


for _command in desk_commands.COMMANDS:
    flags.add_command(_command)
