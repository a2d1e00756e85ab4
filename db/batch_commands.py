"""``personaloop batches``: makes, lists, orders and switches batches. Parses options and prints."""

import click
from sqlalchemy import select

from db import audit, batch_changes, batches, pace, reassigning, reranking
from db.batch_making import STRATEGIES, BatchPlan, make_batch
from db.command_options import actor, database_option
from db.errors import Refused
from db.models import Batch, BatchState
from db.reassign_commands import COMMANDS as REASSIGNING
from db.session import readers, require_current, sessions
from preference.finishing import time_to_finish


@click.group("batches")
def group() -> None:
    """Batches: which pairs are asked, how often, in which order and of whom."""


@group.command("list")
@database_option
def list_(database_url: str | None) -> None:
    """List batches, the first asked first: state, priority, judgments of those wanted, order.

    And, where something is open, the time to finish at its own pace of the last 7 days, with the
    range that holds in 8 of 10 cases.
    """
    require_current(database_url)
    with readers(database_url)() as session:
        found = list(session.scalars(select(Batch).order_by(Batch.priority.desc(), Batch.id)))
        recent = pace.recent(session)
        for each in found:
            done = batches.progress(session, each.id)
            left = done.wanted - done.judged
            told = pace.in_words(time_to_finish(recent.get(each.id, []), left)) if left > 0 else ""
            time = f"  {told}" if told and each.state is BatchState.OPEN else ""
            click.echo(
                f"{each.id:>5}  {each.state.value:<7} priority {each.priority:<3}"
                f" {done.judged} of {done.wanted} judged  {each.strategy:<11}"
                f" {each.name}{'  (gold)' if each.purpose == 'gold' else ''}"
                f"{'  (named people only)' if each.named_only else ''}{time}"
            )
    if not found:
        click.echo("no batches yet; `personaloop batches create NAME --persona SLUG` makes one")


@group.command()
@click.argument("batch")
@database_option
def show(batch: str, database_url: str | None) -> None:
    """Show BATCH (its name): settings, how far it is, time to finish, whom it is for, who holds."""
    require_current(database_url)
    with readers(database_url)() as session:
        found = batches.batch(session, batch)
        done = batches.progress(session, found.id)
        names = reassigning.named_for(session, found.id)
        held = reassigning.held(session, found.id)
        left = max(0, done.wanted - done.judged)
        told = pace.finish(session, found.id, left) if found.state is BatchState.OPEN else "–"
    ranked = f"{found.ranked_at:%Y-%m-%d %H:%M} UTC" if found.ranked_at else "never"
    chance = f", {found.random_share:.0%} by chance" if found.strategy == "informative" else ""
    for name, value in (
        ("state", f"{found.state.value}, priority {found.priority}"),
        ("persona", found.persona_slug or "–"),
        ("asks", f"{found.overlap} a pair, up to {found.extra_overlap} more where they disagree"),
        ("judged", f"{done.judged} of {done.wanted} ({done.simulated} simulated)"),
        ("time to finish", told),
        ("order", f"{found.strategy}{chance}, ranked {ranked}"),
        ("mixed in", f"gold {found.gold_rate:.0%}, repeats {found.repeat_rate:.0%}"),
        ("for", ", ".join(names) or "everybody"),
        ("held by", ", ".join(each.annotator for each in held) or "nobody"),
    ):
        click.echo(f"{name:<15} {value}")


@group.command()
@click.argument("name")
@click.option("--persona", required=True, help="Slug of the persona whose candidates are compared.")
@click.option(
    "--adapter", "adapters", multiple=True, help="Adapter id; repeatable.  [default: all]"
)
@click.option("--split", help="Only prompts of this split: loop, heldout (blind), imported.")
@click.option("--journey", help="Only prompts of this journey.")
@click.option("--tag", help="Only prompts with this tag.")
@click.option("--most", type=int, help="Most comparisons.")
@click.option("--overlap", type=int, default=1, show_default=True, help="Judgments a comparison.")
@click.option(
    "--extra-overlap",
    type=int,
    default=0,
    show_default=True,
    help="Judgments that may be added where the first ones disagree.",
)
@click.option("--strategy", type=click.Choice(STRATEGIES), default="informative", show_default=True)
@click.option("--random-share", type=float, default=0.2, show_default=True, help="0 to 1.")
@click.option("--gold-rate", type=float, default=0.0, show_default=True, help="Share, 0 to 0.5.")
@click.option("--repeat-rate", type=float, default=0.0, show_default=True, help="Share, 0 to 0.5.")
@click.option("--rubric", default="", help="What to look at, in Markdown.")
@click.option("--annotator", "annotators", multiple=True, help="Name; repeatable; all without.")
@click.option("--priority", type=int, default=0, show_default=True, help="Higher is asked first.")
@click.option("--open/--paused", default=True, show_default=True, help="Whether it begins at once.")
@database_option
def create(database_url: str | None, **plan: object) -> None:
    """Make the batch NAME from candidates that are in the ledger."""
    require_current(database_url)
    with sessions(database_url).begin() as session:
        made = make_batch(session, BatchPlan(**plan), actor=actor())  # type: ignore[arg-type]
        click.echo(f"batch {made.id} {made.name}: {made.asks.comparisons} comparisons")


@group.command()
@click.argument("batch", required=False)
@click.option("--strategy", type=click.Choice(STRATEGIES), help="Change the order's kind first.")
@click.option("--due", is_flag=True, help="Instead of one: all that a worker would rank now.")
@database_option
def rank(batch: str | None, strategy: str | None, due: bool, database_url: str | None) -> None:
    """Put the open pairs of BATCH (its name) in order anew, with what is known by now.

    A worker (`personaloop work`, part of `personaloop serve`) does so by itself for every open
    batch that asks what teaches most first, after each 20 judgments of it; --due is for a server
    without a worker, say every few minutes.
    """
    if due == bool(batch) or (due and strategy):
        raise click.UsageError("give a BATCH, or --due alone")
    require_current(database_url)
    if batch is None:
        done = reranking.rank_due(sessions(database_url))
        for name, count in done.items():
            audit.record_now(database_url, actor(), "rank batch", name, pairs=count)
            click.echo(f"{name}: {count} pairs in informative order")
        if not done:
            click.echo("no batch is due")
        return
    with sessions(database_url).begin() as session:
        found = batches.batch(session, batch)
        count = batch_changes.order(session, found, strategy, actor=actor())
        click.echo(f"{found.name}: {count} pairs in {found.strategy} order")


@group.command()
@click.argument("batch")
@database_option
def pause(batch: str, database_url: str | None) -> None:
    """Hand out no pair of BATCH (its name) until it is opened again."""
    _switch(batch, BatchState.PAUSED, database_url)


@group.command("open")
@click.argument("batch")
@database_option
def open_(batch: str, database_url: str | None) -> None:
    """Hand out the pairs of BATCH (its name)."""
    _switch(batch, BatchState.OPEN, database_url)


@group.command()
@click.argument("batch")
@database_option
def close(batch: str, database_url: str | None) -> None:
    """Ask no more of BATCH (its name); its judgments stay."""
    _switch(batch, BatchState.CLOSED, database_url)


@group.command()
@click.argument("batch")
@click.argument("value", type=int)
@database_option
def priority(batch: str, value: int, database_url: str | None) -> None:
    """Set the priority of BATCH (its name) to VALUE; higher is asked first."""
    require_current(database_url)
    with sessions(database_url).begin() as session:
        found = batches.batch(session, batch)
        found.priority = value
        audit.record(session, actor(), "batch priority", found.name, priority=value)
        click.echo(f"{found.name}: priority {value}")


@group.command()
@click.argument("batch")
@click.argument("value", type=int)
@click.option("--extra", type=int, help="Judgments added where the first disagree.")
@database_option
def overlap(batch: str, value: int, extra: int | None, database_url: str | None) -> None:
    """Ask for VALUE judgments of each pair of BATCH (its name) that asks for as many as it does."""
    require_current(database_url)
    with sessions(database_url).begin() as session:
        found = batches.batch(session, batch)
        count = batch_changes.ask_for(session, found, value, actor=actor(), extra=extra)
        click.echo(f"{found.name}: {value} judgments a pair, {count} pairs changed")


for _command in REASSIGNING:
    group.add_command(_command)


def _switch(name: str, state: BatchState, database_url: str | None) -> None:
    require_current(database_url)
    with sessions(database_url).begin() as session:
        found = batches.batch(session, name)
        if found.state is state:
            raise Refused(f"batch {found.name!r} is {state.value} already")
        batches.set_state(session, found.id, state)
        audit.record(session, actor(), f"batch {state.value}", found.name)
        click.echo(f"{found.name}: {state.value}")
