"""What the Flags page does, as commands: pairs set aside, decisions, notices. Parses and prints."""

import click

from db import adjudication, notices, people, set_aside
from db.command_options import actor, database_option
from db.errors import Refused
from db.models import Role, Verdict
from db.session import readers, require_current, sessions

COMPARISON = click.argument("comparison", type=int)


@click.group("set-aside")
def aside() -> None:
    """Pairs that are shown to nobody because a text names who wrote it."""


@aside.command("list")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many pairs."
)
@database_option
def list_aside(limit: int, database_url: str | None) -> None:
    """List pairs that wait, oldest first: since when (UTC), pair, batch, the words."""
    require_current(database_url)
    with readers(database_url)() as session:
        found = set_aside.waiting(session, limit)
        total = set_aside.count_waiting(session)
    for each in found:
        click.echo(
            f"{each.created_at:%Y-%m-%d %H:%M}  comparison {each.comparison_id} of {each.batch}"
            f"  {each.reason}"
        )
    if not found:
        click.echo("no pair is set aside")
    elif total > len(found):
        click.echo(f"and {total - len(found)} more; --limit shows them", err=True)


@aside.command()
@COMPARISON
@database_option
def restore(comparison: int, database_url: str | None) -> None:
    """Ask for COMPARISON (its id) after all: it names nobody; it is not caught again."""
    require_current(database_url)
    with sessions(database_url).begin() as session:
        set_aside.release(session, comparison, actor=actor())
    click.echo(f"comparison {comparison} is asked again")


@aside.command()
@COMPARISON
@database_option
def retire(comparison: int, database_url: str | None) -> None:
    """Never show COMPARISON (its id)."""
    require_current(database_url)
    with sessions(database_url).begin() as session:
        set_aside.drop(session, comparison, actor=actor())
    click.echo(f"comparison {comparison} will never be shown")


@click.command()
@COMPARISON
@click.argument("verdict", required=False, type=click.Choice([each.value for each in Verdict]))
@click.option("--by", required=True, metavar="NAME", help="The admin's account that decides.")
@click.option("--much", is_flag=True, help="Much better, for a and b.")
@click.option("--note", default="", help="Why, for the record.")
@database_option
def decide(
    comparison: int,
    verdict: str | None,
    by: str,
    much: bool,
    note: str,
    database_url: str | None,
) -> None:
    """Decide COMPARISON (its id), on which annotators disagree; `flags adjudications --waiting`.

    Without VERDICT it shows the pair as NAME sees it, blind: a is Response A. With it, that is what
    stands, beside the judgments and in the audit log under NAME.
    """
    require_current(database_url)
    with sessions(database_url).begin() as session:
        who = people.person(session, by)
        if who.role is not Role.ADMIN or not who.active:
            raise Refused(f"{who.name} is no admin who can sign in; `users role` makes one")
        case = adjudication.case(session, comparison, who.id)
        if verdict is not None:
            strength = 2 if much and verdict in {"a", "b"} else None
            adjudication.decide(
                session, comparison, who.id, verdict, seen=case.seen, strength=strength, note=note
            )
            click.echo(f"comparison {comparison} is decided by {who.name}: {verdict}")
            return
    click.echo(f"{case.persona or 'No persona'}: {case.summary}")
    for turn in case.messages:
        click.echo(f"\n[{turn['role']}] {turn['content']}")
    click.echo(f"\n--- Response A\n{case.response_a}\n\n--- Response B\n{case.response_b}")


@click.command("notices")
@click.option("--put-away", type=int, metavar="ID", help="Put this one away first.")
@database_option
def list_notices(put_away: int | None, database_url: str | None) -> None:
    """List what admins should know and nobody put away: id, when (UTC), kind, about, words."""
    require_current(database_url)
    if put_away is not None:
        with sessions(database_url).begin() as session:
            notices.put_away(session, put_away, actor())
    with readers(database_url)() as session:
        found = notices.open_(session)
    for each in found:
        click.echo(
            f"{each.id}  {each.created_at:%Y-%m-%d %H:%M}  {each.kind}  {each.subject}  {each.text}"
        )
    if not found:
        click.echo("nothing waits")


COMMANDS = (aside, decide, list_notices)
