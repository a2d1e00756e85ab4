"""``personaloop jobs``: what is queued, runs and ended, and cancelling it. Parses and prints."""

import click

from db import audit
from db import jobs as ledger
from db.command_options import actor, database_option
from db.session import readers, require_current, sessions


@click.group()
def jobs() -> None:
    """Work that a worker does: retrainings and new pairs."""


@jobs.command("list")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="At most so many, newest.",
)
@database_option
def list_(limit: int, database_url: str | None) -> None:
    """List jobs, newest first: id, when (UTC), kind, persona, state, stage and share, outcome."""
    require_current(database_url)
    with readers(database_url)() as session:
        found = ledger.jobs(session, limit=limit)
    for each in found:
        at = f"  {each.stage} {each.progress:.0%}" if each.state in ledger.LIVE else ""
        click.echo(
            f"{each.id}  {each.created_at:%Y-%m-%d %H:%M}  {each.kind.value}"
            f"  {each.persona_slug or '–'}  {each.state.value}{at}  {each.message}".rstrip()
        )
    if not found:
        click.echo("no job yet; `personaloop retrain` and `personaloop generate` ask for one")


@jobs.command()
@click.argument("job", type=int)
@database_option
def cancel(job: int, database_url: str | None) -> None:
    """Cancel JOB (its id), queued or running; what it finished so far is kept."""
    require_current(database_url)
    with sessions(database_url).begin() as session:
        ledger.cancel(session, job)
        audit.record(session, actor(), "cancel job", str(job))
    click.echo(f"job {job} is cancelled")
