"""``personaloop annotators``: how everybody judges, and returning an answer. Prints only."""

import json
import os
from typing import Any

import click
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import gold, repeats, returns
from db.command_options import database_option
from db.models import Annotator, Batch, Comparison, Judgment, Retraction
from db.session import readers, require_current, sessions
from preference.consistency import self_consistency


@click.group(invoke_without_command=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="text: a table; json: a list of objects, shares from 0 to 1.",
)
@database_option
@click.pass_context
def annotators(context: click.Context, form: str, database_url: str | None) -> None:
    """Show everybody who judged: judgments, gold right, self-consistency, paused."""
    if context.invoked_subcommand is not None:
        return
    require_current(database_url)
    with readers(database_url)() as session:
        rows = _rows(session)
    if form == "json":
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    if not rows:
        click.echo("nobody has judged yet")
    for row in rows:
        paused = "  PAUSED" if row["paused"] else ""
        click.echo(
            f"{row['annotator']:<24}  {row['judgments']:>7} judgments"
            f"  gold {row['gold_right']} of {row['gold']}"
            f"  same again {row['repeats_same']} of {row['repeats']}{paused}"
        )


@annotators.command("return")
@click.argument("judgment", type=int)
@click.option("--note", required=True, help="What to look at again, for the annotator.")
@database_option
def return_(judgment: int, note: str, database_url: str | None) -> None:
    """Give JUDGMENT (its id) back to its annotator; it stands until they revise it."""
    require_current(database_url)
    who = os.environ.get("USER") or os.environ.get("LOGNAME") or "unknown"
    with sessions(database_url).begin() as session:
        returns.give_back(session, judgment, note, actor=f"command line ({who})")
    click.echo(f"judgment {judgment} came back to its annotator")


def _rows(session: Session) -> list[dict[str, Any]]:
    judged = session.execute(
        select(Annotator.id, Annotator.name, Annotator.paused_at, func.count(Judgment.id))
        .join(Judgment, Judgment.annotator_id == Annotator.id)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(Retraction.judgment_id.is_(None), Batch.purpose != "gold")
        .group_by(Annotator.id, Annotator.name, Annotator.paused_at)
        .order_by(Annotator.name)
    ).tuples()
    scores, twice = gold.scores(session), repeats.twice(session)
    rows: list[dict[str, Any]] = []
    for who, name, paused_at, count in judged:
        right, of = scores.get(who, (0, 0))
        mine = [each for each in twice if each.annotator_id == who]
        told = self_consistency(
            [each.first.value for each in mine],
            [each.again.value for each in mine],
        )
        rows.append(
            {
                "annotator": name,
                "judgments": count,
                "gold_right": right,
                "gold": of,
                "repeats_same": told.same,
                "repeats": told.n,
                "repeats_low": told.low,
                "repeats_high": told.high,
                "same_side": told.same_side,
                "paused": paused_at is not None,
            }
        )
    return rows
