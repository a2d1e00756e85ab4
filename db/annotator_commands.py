"""``personaloop annotators``: how everybody judges, and returning an answer. Prints only."""

import json
from typing import Any

import click
import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import blocks, gold, judgments, repeat_answers, returns
from db.command_options import actor, database_option
from db.models import Annotator
from db.session import readers, require_current, sessions
from preference.consistency import self_consistency
from preference.covariance import quantile
from preference.win_rate import wilson

TIES_FROM = 2
"""Codes of verdicts below this one name a winner."""
NOTHING: dict[str, Any] = {
    "judgments": 0,
    "first_place": None,
    "first_place_low": None,
    "first_place_high": None,
    "decided": 0,
    "seconds": None,
}
"""Of somebody who answered nothing but gold."""


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
    """Show everybody who judged, with 95 % intervals.

    Judgments of work, how often Response A won (50 % is expected), median seconds a pair, gold
    answered right the first time, the same answer to a mirrored repeat, and who is paused.
    """
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
        click.echo(_line(row))


@annotators.command("return")
@click.argument("judgment", type=int)
@click.option("--note", required=True, help="What to look at again, for the annotator.")
@database_option
def return_(judgment: int, note: str, database_url: str | None) -> None:
    """Give JUDGMENT (its id) back to its annotator; it stands until they revise it."""
    require_current(database_url)
    with sessions(database_url).begin() as session:
        returns.give_back(session, judgment, note, actor=actor())
    click.echo(f"judgment {judgment} came back to its annotator")


def _rows(session: Session) -> list[dict[str, Any]]:
    """Everybody who judged work or gold, by name."""
    scores, twice = gold.scores(session), repeat_answers.twice(session)
    worked = _worked(session)
    known = {*scores, *worked, *(each.annotator_id for each in twice)}
    everybody = session.execute(
        select(Annotator.id, Annotator.name, Annotator.paused_at).order_by(Annotator.name)
    ).tuples()
    rows: list[dict[str, Any]] = []
    for who, name, paused_at in everybody:
        if who not in known:
            continue
        right, of = scores.get(who, (0, 0))
        gold_low, gold_high = _interval(right, of)
        mine = [each for each in twice if each.annotator_id == who]
        told = self_consistency(
            [each.first.value for each in mine],
            [each.again.value for each in mine],
        )
        rows.append(
            {
                "annotator": name,
                **worked.get(who, NOTHING),
                "gold_right": right,
                "gold": of,
                "gold_low": gold_low,
                "gold_high": gold_high,
                "repeats_same": told.same,
                "repeats": told.n,
                "repeats_low": told.low,
                "repeats_high": told.high,
                "same_side": told.same_side,
                "paused": paused_at is not None,
            }
        )
    return rows


def _worked(session: Session) -> dict[int, dict[str, Any]]:
    """Counts, place and pace of the standing judgments, by annotator; gold is not among them."""
    known = judgments.tables(session)
    packed = judgments.chosen(blocks.standing(session), known)
    if not packed.n:
        return {}
    seconds = np.where(packed.dwell_ms == blocks.NO_DWELL, np.nan, packed.dwell_ms / 1000)
    decided = (packed.verdict < TIES_FROM) & (packed.placement != 0)
    first = decided & ((packed.verdict == 0) == (packed.placement > 0))
    found: dict[int, dict[str, Any]] = {}
    ids, codes = judgments.ranked_ids(packed.annotator)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(ids)))[:-1]
    for who, mine in zip(ids, np.split(order, ends), strict=True):
        won, of = int(first[mine].sum()), int(decided[mine].sum())
        low, high = _interval(won, of)
        timed = seconds[mine][~np.isnan(seconds[mine])]
        found[int(who)] = {
            "judgments": len(mine),
            "first_place": won / of if of else None,
            "first_place_low": low,
            "first_place_high": high,
            "decided": of,
            "seconds": float(np.median(timed)) if len(timed) else None,
        }
    return found


def _interval(good: int, n: int) -> tuple[float | None, float | None]:
    """Wilson's 95 % interval of a share; None without any."""
    if not n:
        return None, None
    low, high = wilson(good / n, n, quantile(0.95))
    return float(low), float(high)


def _line(row: dict[str, Any]) -> str:
    """One annotator as text."""
    parts = [f"{row['annotator']:<24}", f"{row['judgments']:>7} judgments"]
    if row["first_place"] is not None:
        parts.append(
            f"A won {_percent(row['first_place'])}"
            f" ({_span(row['first_place_low'], row['first_place_high'])})"
        )
    if row["seconds"] is not None:
        parts.append(f"{row['seconds']:.0f} s")
    parts.append(f"gold {row['gold_right']} of {row['gold']}")
    if row["gold"]:
        parts[-1] += f" ({_span(row['gold_low'], row['gold_high'])})"
    parts.append(f"same again {row['repeats_same']} of {row['repeats']}")
    if row["repeats"]:
        parts[-1] += f" ({_span(row['repeats_low'], row['repeats_high'])})"
    return "  ".join([*parts, *(["PAUSED"] if row["paused"] else [])])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _span(low: float, high: float) -> str:
    return f"{100 * low:.0f} to {100 * high:.0f} %"
