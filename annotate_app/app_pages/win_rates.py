"""Win rates: every adapter against every other, and one pair in full."""

import streamlit as st

from annotate_app import (
    charts,
    filters,
    findings,
    interval_charts,
    panels,
    queries,
    work_queries,
)
from annotate_app.naming import short, short_names
from annotate_app.session import require
from annotate_app.words import many

require("analyst")
names = work_queries.personas()
short_of = short_names(work_queries.rounds())
top = st.container()
chosen = filters.shown()
found = chosen.analysis()
told = [section for section in found.sections if not section.pairs.empty]


def label_of(adapter_id: str, slug: str | None) -> str:
    """The name that a chart shows."""
    return short(adapter_id, short_of, slug)


def ordered(section) -> list[str]:
    """The adapters, best first."""
    return [item for island in section.islands for item in island.items["item"]]


def finding(section) -> str:
    """How much of the matrix is decided."""
    pairs = section.pairs
    clear = int((pairs["ci_low"] > 0.5).sum())
    name = names.get(section.persona or "", "")
    where = f" for {name}" if name else ""
    return f"{clear} of {many(len(pairs) // 2, 'pair')} clearly decided{where}"


def matrix_figure(section) -> None:
    """Every pair's win rate."""
    pairs = section.pairs.copy()
    rank = {item: place for place, item in enumerate(ordered(section))}
    pairs = pairs.sort_values(
        ["item", "opponent"], key=lambda column: column.map(rank), kind="stable"
    )
    for column in ("item", "opponent"):
        pairs[f"{column}_id"] = pairs[column]
        pairs[column] = [label_of(item, section.persona) for item in pairs[column]]
    pairs["said"] = findings.estimates(pairs, "win_rate", "ci_low", "ci_high")
    panels.figure(
        panels.drawn(charts.win_matrix, pairs, title=finding(section), ink=panels.ink()),
        pairs,
        key=f"matrix-{section.persona or 'none'}",
        note="Share of judgments that the adapter at the left won against the one above; a tie"
        " counts half, both bad not at all.",
        columns={
            "item": "Adapter",
            "opponent": "Against",
            "said": "Wins, %",
            "n": "Judged",
            "wins": "Wins",
            "losses": "Losses",
            "ties": "Ties",
            "both_bad": "Both bad",
        },
    )


def one_pair(section) -> None:
    """Two adapters head to head: the plain rate, what holds at any time, and at equal length."""
    items = ordered(section)
    met = set(zip(section.pairs["item"], section.pairs["opponent"], strict=True))
    key = section.persona or "none"
    left, right = st.columns(2)
    first = left.selectbox(
        "Adapter",
        items,
        format_func=lambda item: label_of(item, section.persona),
        key=f"first-{key}",
        bind="query-params",
    )
    others = [item for item in items if (first, item) in met]
    if not others:
        panels.quiet("It met no other adapter in a judgment that counts.")
        return
    second = right.selectbox(
        "Against",
        others,
        format_func=lambda item: label_of(item, section.persona),
        key=f"second-{key}",
        bind="query-params",
    )
    told = queries.head_to_head(
        first,
        second,
        section.persona,
        round=chosen.round,
        batch_kind=chosen.kind,
        include_simulated=chosen.include_simulated,
    )
    one, other = label_of(first, section.persona), label_of(second, section.persona)
    panels.figure(
        panels.drawn(
            interval_charts.intervals, told.rates, title=told.finding(one, other), ink=panels.ink()
        ),
        told.rates,
        key=f"pair-{key}",
        note=" ".join(told.notes),
        columns={"label": "Win rate", "said": "%", "n": "Judged", "why": "What it says"},
    )


with top:
    if told:
        panels.opening("Win rates", finding(max(told, key=lambda section: section.n)))
        latest = max(section.latest for section in found.sections if section.latest)
        panels.data_line(found.n, latest, simulated=found.simulated, automatic=found.automatic)
    else:
        panels.opening("Win rates", "No two adapters have been compared under these filters")
        panels.data_line(found.n, None, simulated=found.simulated, automatic=found.automatic)

if not told:
    panels.nothing_here(found.n)
for section in told:
    if len(told) > 1:
        panels.persona_heading(names.get(section.persona or "", "Other judgments"), section.persona)
    left, right = st.columns([3, 2], gap="large")
    with left:
        matrix_figure(section)
    with right:
        st.markdown("**One pair in full**")
        one_pair(section)
