"""``personaloop rounds``: where each round stands, why it was decided so, and deciding early.

Parses options and prints; what is done is in the modules that are called. Needs no torch.
"""

import json
from typing import Any

import click

from db.command_options import actor, database_option
from db.errors import NotFound


@click.group()
def rounds() -> None:
    """Rounds: what is compared now, and why each adapter was or was not promoted."""


@rounds.command("list")
@click.option("--persona", help="Only of this slug.")
@database_option
def list_rounds(persona: str | None, database_url: str | None) -> None:
    """List rounds: persona, number, state, challenger, win rate with its bounds."""
    from db import rounds as ledger
    from db.session import readers, require_current

    require_current(database_url)
    with readers(database_url).begin() as session:
        found = [
            (each.persona_slug, each.number, each.state.value, each.challenger_id, each.decision)
            for each in ledger.rounds(session, persona)
        ]
    for slug, number, state, challenger, told in found:
        line = f"{slug:<20} {number:>3}  {state:<9} {challenger or '–':<36} {_rate(told or {})}"
        click.echo(line.rstrip())
    if not found:
        click.echo("no rounds yet; `personaloop generate` begins one")


@rounds.command()
@click.argument("persona")
@click.option("--round", "number", type=click.IntRange(1), help="Its number.  [default: the last]")
@click.option("--json", "as_json", is_flag=True, help="The whole evidence as JSON.")
@database_option
def show(persona: str, number: int | None, as_json: bool, database_url: str | None) -> None:
    """Say why PERSONA's round was or was not promoted, with every guard and the counts."""
    from db.session import readers, require_current

    require_current(database_url)
    with readers(database_url).begin() as session:
        current = _round(session, persona, number)
        told = dict(current.decision or {})
        state, number = current.state.value, current.number
    if as_json:
        click.echo(json.dumps({"state": state, "round": number, **told}, indent=2, default=str))
        return
    click.echo(f"{persona} round {number}: {state}")
    for line in explained(told):
        click.echo(line)


@rounds.command()
@click.argument("persona")
@click.option("--reason", required=True, help="Why now, for the record.")
@database_option
def decide(persona: str, reason: str, database_url: str | None) -> None:
    """Decide PERSONA's blind comparison now, by the same rule on the judgments so far.

    What does not clearly win is not promoted; `personaloop adapters promote` passes the gate by.
    """
    from db.session import require_current, sessions
    from training.deciding import decide_round

    require_current(database_url)
    with sessions(database_url).begin() as session:
        round_id = _round(session, persona, None).id
        decision = decide_round(session, round_id, actor=actor(), early=reason)
    click.echo(decision.words)


@rounds.command()
@click.argument("persona")
@database_option
def ask(persona: str, database_url: str | None) -> None:
    """Ask again for the judgments that PERSONA's comparison lacks, after asking had failed."""
    from db import audit
    from db.session import require_current, sessions
    from training.deciding import ask_again

    require_current(database_url)
    with sessions(database_url).begin() as session:
        current = _round(session, persona, None)
        ask_again(session, current.id)
        audit.record(session, actor(), "ask again", f"{persona} round {current.number}")
    click.echo("the next worker that looks asks again (`personaloop work`)")


def explained(told: dict[str, Any]) -> list[str]:
    """A round's evidence as lines."""
    if not told:
        return ["Nothing was decided or looked at yet."]
    lines = [str(told.get("words", ""))]
    if told.get("judgments"):
        lines.append(
            f"  judgments: {told['wins']} won, {told['losses']} lost, {told['ties']} ties, "
            f"{told['both_bad']} both bad; {told['judgments']} count of {told['wanted']} asked, "
            f"on {told['prompts']} prompts, by {told['annotators']}"
        )
    for guard in told.get("guards") or []:
        lines.append(
            f"  {guard['name']}: {guard['verdict']} ({guard['reason']}; wanted: {guard['bound']})"
        )
    if told.get("looked_at"):
        rule = told.get("rule") or {}
        lines.append(
            f"  looked at {told.get('looks', 1)} times, last {told['looked_at'][:16]} UTC; decides "
            f"from {rule.get('fewest_judgments')} judgments on, asks for "
            f"{rule.get('most_judgments')} at most"
        )
    return lines


def _rate(told: dict[str, Any]) -> str:
    if told.get("win_rate") is None:
        return ""
    return (
        f"{told['win_rate']:.0%} [{told['ci_low']:.0%}, {told['ci_high']:.0%}] of "
        f"{told['judgments']}"
    )


def _round(session: Any, persona: str, number: int | None) -> Any:
    from db import rounds as ledger

    found = [one for one in ledger.rounds(session, persona) if number in (None, one.number)]
    if not found:
        which = "rounds" if number is None else f"round {number}"
        raise NotFound(f"{persona!r} has no {which}; `personaloop rounds list` lists them")
    return found[-1]
