"""``personaloop batches held``, ``take-back`` and ``reassign``. Parses options and prints."""

from datetime import timedelta

import click

from db import reassigning
from db.batches import batch as find_batch
from db.command_options import actor, database_option
from db.models import Comparison
from db.session import readers, require_current, sessions

FROM = click.option("--from", "from_", metavar="NAME", help="Only what this person holds.")
COMPARISON = click.option("--comparison", type=int, help="Only this pair (its id).")


@click.command()
@click.argument("batch")
@database_option
def held(batch: str, database_url: str | None) -> None:
    """List who holds which pair of BATCH (its name): pair, name, since, until (UTC)."""
    require_current(database_url)
    with readers(database_url)() as session:
        found = reassigning.held(session, find_batch(session, batch).id)
    for each in found:
        waits = "" if each.opened else "  given, not opened yet"
        click.echo(
            f"comparison {each.comparison_id}  {each.annotator}"
            f"  {each.leased_at:%Y-%m-%d %H:%M}  until {each.expires_at:%Y-%m-%d %H:%M}{waits}"
        )
    if not found:
        click.echo(f"nothing of {batch} is held now")


@click.command("take-back")
@click.argument("batch")
@COMPARISON
@FROM
@database_option
def take_back(
    batch: str, comparison: int | None, from_: str | None, database_url: str | None
) -> None:
    """Take what is held of BATCH (its name) back, so that it goes to whoever comes next.

    Who has it before them is told that it is kept no longer when they answer after somebody else
    did; `personaloop batches pause` keeps everybody from taking it up.
    """
    require_current(database_url)
    with sessions(database_url).begin() as session:
        taken = reassigning.take_back(
            session, batch, actor=actor(), comparison_id=comparison, annotator=from_
        )
    click.echo(f"taken back from {', '.join(taken)}")


@click.command()
@click.argument("batch")
@click.option("--to", multiple=True, metavar="NAME", help="Who gets it; repeat for several.")
@click.option("--everybody", is_flag=True, help="Instead of --to: nobody is named any more.")
@COMPARISON
@FROM
@click.option(
    "--hours",
    type=click.FloatRange(min=0.1, max=24 * 30),
    default=24.0,
    show_default=True,
    help="How long a pair waits for who gets it, in hours; then it goes back to the queue.",
)
@database_option
def reassign(
    batch: str,
    to: tuple[str, ...],
    everybody: bool,
    comparison: int | None,
    from_: str | None,
    hours: float,
    database_url: str | None,
) -> None:
    """Give one pair of BATCH (its name) to somebody, or its whole rest to the people named.

    With --comparison, that pair is the next one on the page of --to, taken from who holds it where
    no seat is free. Without, the batch is for the people named only, and what others hold of it
    goes back; their judgments stay.
    """
    if everybody == bool(to):
        raise click.UsageError("give --to NAME (repeat for several), or --everybody")
    require_current(database_url)
    if comparison is None:
        if from_ is not None:
            raise click.UsageError("--from goes with --comparison")
        with sessions(database_url).begin() as session:
            gave_up = reassigning.give_rest(session, batch, to, actor=actor())
        back = f"; taken back from {', '.join(gave_up)}" if gave_up else ""
        click.echo(f"{batch} is for {', '.join(to) or 'everybody'}{back}")
        return
    if len(to) != 1:
        raise click.UsageError("--comparison goes to one person: give --to once")
    with sessions(database_url).begin() as session:
        batch_id = find_batch(session, batch).id
        pair = session.get(Comparison, comparison)
        if pair is None or pair.batch_id != batch_id:
            raise click.UsageError(f"comparison {comparison} is not of batch {batch}")
        kept = timedelta(hours=hours)
        reassigning.give(session, comparison, to[0], actor=actor(), from_=from_, kept=kept)
    click.echo(f"comparison {comparison} waits for {to[0]}, {hours:g} hours at most")


COMMANDS = (held, take_back, reassign)
