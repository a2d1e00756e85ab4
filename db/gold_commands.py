"""``personaloop gold``: comparisons with a known answer. Parses options and prints."""

import click

from db import gold as verbs
from db.batches import batch as find_batch
from db.command_options import actor, database_option
from db.models import Verdict
from db.session import readers, require_current, sessions


@click.group()
def gold() -> None:
    """Comparisons with a known answer, hidden among the others to see who judges with care.

    Import them from a file with `personaloop import comparisons FILE --purpose gold`.
    """


@gold.command()
@click.argument("comparison", type=int)
@click.argument("answer", type=click.Choice([verdict.value for verdict in Verdict]))
@click.option("--batch", help="The gold batch.  [default: gold PERSONA]")
@database_option
def add(comparison: int, answer: str, batch: str | None, database_url: str | None) -> None:
    """Make gold of COMPARISON (its id), whose known ANSWER is in canonical order (a, b, …)."""
    require_current(database_url)
    with sessions(database_url).begin() as session:
        made = verbs.add(session, comparison, answer, actor=actor(), batch=batch)
        click.echo(f"gold comparison {made.id} in batch {made.batch.name}")


@gold.command("list")
@database_option
def list_(database_url: str | None) -> None:
    """List gold: id, known answer, first answers that were right, batch, whether it is asked."""
    require_current(database_url)
    with readers(database_url)() as session:
        known = verbs.listed(session)
    if not known:
        click.echo("no gold yet; `personaloop gold add COMPARISON ANSWER` makes some")
    for each in known:
        state = "" if each.active else "  retired"
        click.echo(
            f"{each.comparison_id:>8}  {each.answer.value:<8}  {each.right} of {each.answered}"
            f" right  {each.batch}{state}"
        )


@gold.command()
@click.argument("comparison", type=int)
@database_option
def retire(comparison: int, database_url: str | None) -> None:
    """Mix the gold COMPARISON (its id) in no more; its answers stay scored."""
    require_current(database_url)
    with sessions(database_url).begin() as session:
        verbs.retire(session, comparison, actor=actor())
    click.echo(f"gold comparison {comparison} is retired")


@gold.command()
@click.argument("batch")
@click.option("--gold", "gold_rate", type=float, help="Share of pairs that are gold, 0 to 0.3.")
@click.option("--repeat", type=float, help="Share that are own earlier pairs mirrored, 0 to 0.3.")
@database_option
def rate(
    batch: str, gold_rate: float | None, repeat: float | None, database_url: str | None
) -> None:
    """Set how much is mixed into the work BATCH (its name)."""
    require_current(database_url)
    with sessions(database_url).begin() as session:
        found = find_batch(session, batch)
        verbs.set_rates(session, found, actor=actor(), gold=gold_rate, repeat=repeat)
        click.echo(f"{batch}: gold {found.gold_rate:g}, repeats {found.repeat_rate:g}")
