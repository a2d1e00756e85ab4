"""Ratings: who is better than whom, by how much, and how sure that is."""

import streamlit as st

from annotate_app import charts, findings, panels, queries, work_queries
from annotate_app.naming import short, short_names
from annotate_app.session import require
from annotate_app.words import many

EVERYTHING, LABEL, BLIND, IMPORTED = "every comparison", "for training", "blind", "imported"
KINDS = {EVERYTHING: None, LABEL: "label", BLIND: "blind", IMPORTED: "imported"}
ALL = "all"

require("analyst")
names = work_queries.personas()
rounds = work_queries.rounds()
short_of = short_names(rounds)
incumbents = {change.adapter for change in work_queries.incumbents().values()}
top = st.container()

with st.container(horizontal=True, vertical_alignment="bottom"):
    persona = st.selectbox(
        "Persona",
        [ALL, *names],
        format_func=lambda slug: "All personas" if slug == ALL else names[slug],
        key="persona",
        bind="query-params",
        width=220,
    )
    numbers = sorted({view.number for view in rounds if persona in (ALL, view.persona)})
    number = st.selectbox(
        "Round", [ALL, *map(str, numbers)], key="round", bind="query-params", width=110
    )
    kind = st.selectbox(
        "Comparisons", list(KINDS), key="comparisons", bind="query-params", width=190
    )
    people_only = st.toggle("People only", key="people", bind="query-params")

found = queries.analysis(
    None if persona == ALL else persona,
    round=None if number == ALL else int(number),
    batch_kind=KINDS[kind],
    include_simulated=not people_only,
)


def label_of(adapter_id: str, slug: str | None) -> str:
    """The name that a chart shows."""
    return short(adapter_id, short_of, slug)


def leading(section) -> str:
    """The section's finding."""
    name = names.get(section.persona or "", "")
    if not section.islands:
        return findings.sentence(
            f"no two adapters of {name or 'these judgments'} have been compared yet"
        )
    island = section.islands[0]
    if island.refusal:
        return f"No ratings{' for ' + name if name else ''} yet"
    rows = [
        (label_of(row["item"], section.persona), row["rating"], row["ci_low"], row["ci_high"])
        for _, row in island.items.head(2).iterrows()
    ]
    return findings.leader(rows, name, island.lead)


def ratings_figure(section, island, place: int) -> None:
    """Points with whiskers, or the reason why there are none."""
    key = f"ratings-{section.persona or 'none'}-{place}"
    table = island.items.copy()
    table["label"] = [label_of(item, section.persona) for item in table["item"]]
    if island.refusal:
        panels.empty("These judgments cannot be turned into ratings", panels.say(island.refusal))
        panels.small_table(
            table, {"label": "Adapter", "wins": "Wins", "losses": "Losses", "ties": "Ties"}
        )
        return
    table["mark"] = ["answers now" if item in incumbents else "" for item in table["item"]]
    table["rated"] = [f"{value:+.2f}" for value in table["rating"]]
    table["between"] = [
        f"{low:+.2f} to {high:+.2f}"
        for low, high in zip(table["ci_low"], table["ci_high"], strict=True)
    ]
    table["wins_said"] = [
        findings.estimate(*row)
        for row in zip(
            table["win_rate"], table["win_rate_ci_low"], table["win_rate_ci_high"], strict=True
        )
    ]
    rows = [
        (row["label"], row["rating"], row["ci_low"], row["ci_high"])
        for _, row in table.head(2).iterrows()
    ]
    panels.figure(
        charts.ratings(
            table,
            title=findings.leader(rows, "", island.lead),
            colour=panels.colour(section.persona),
            ink=panels.ink(),
        ),
        table,
        key=key,
        note=" ".join(island.notes),
        columns={
            "label": "Adapter",
            "rated": "Rating",
            "between": "95 % interval",
            "wins_said": "Win rate, %",
            "wins": "Wins",
            "losses": "Losses",
            "ties": "Ties",
            "both_bad": "Both bad",
            "n": "Judged",
            "flag": "Flag",
        },
    )


def matrix_figure(section) -> None:
    """Every pair's win rate."""
    pairs = section.pairs.copy()
    if pairs.empty:
        return
    order = [item for island in section.islands for item in island.items["item"]]
    rank = {item: place for place, item in enumerate(order)}
    pairs = pairs.sort_values(
        ["item", "opponent"], key=lambda column: column.map(rank), kind="stable"
    )
    pairs["item_id"], pairs["opponent_id"] = pairs["item"], pairs["opponent"]
    for column in ("item", "opponent"):
        pairs[column] = [label_of(item, section.persona) for item in pairs[column]]
    pairs["said"] = [
        findings.estimate(*row)
        for row in zip(pairs["win_rate"], pairs["ci_low"], pairs["ci_high"], strict=True)
    ]
    clear = int((pairs["ci_low"] > 0.5).sum())
    title = f"{clear} of {many(len(pairs) // 2, 'pair')} clearly decided"
    panels.figure(
        charts.win_matrix(pairs, title=title, ink=panels.ink()),
        pairs,
        key=f"matrix-{section.persona or 'none'}",
        columns={
            "item": "Adapter",
            "opponent": "Against",
            "said": "Wins, %",
            "n": "Judged",
            "ties": "Ties",
        },
    )


def facts(section) -> None:
    """Agreement, the pull of the place, what does not rank, in three short lines."""
    lines = []
    if section.alpha is not None:
        value, low, high, units = section.alpha
        lines.append(
            f"**{findings.agreement(value)}** ({low:.2f} to {high:.2f},"
            f" {many(units, 'comparison')} judged by two or more)"
        )
    else:
        lines.append(f"Agreement is not known: {section.alpha_why}.")
    if section.first_place is not None:
        share = section.first_place
        pull = "pulls" if share.low > 0.5 or share.high < 0.5 else "does not pull clearly"
        lines.append(
            f"**The place {pull}**: Response A won"
            f" {findings.estimate(share.value, share.low, share.high)}"
            f" of {share.n:,} decided judgments."
        )
    if section.both_bad:
        lines.append(f"Both responses were bad in {many(section.both_bad, 'judgment')}.")
    if section.same:
        lines.append(
            f"{many(section.same, 'judgment')} compare two responses of one adapter:"
            " they train, they rank nothing."
        )
    st.markdown("\n".join(f"- :small[{line}]" for line in lines))


def show(section, several: bool) -> None:
    """One persona's numbers."""
    if several:
        title = names.get(section.persona or "", "Other judgments")
        panels.persona_heading(title, section.persona)
    if several and section.simulated:
        panels.data_line(section.n, section.latest, simulated=section.simulated)
    if section.disconnected:
        st.warning(
            f"{len(section.islands)} groups of adapters were never compared with each other, so"
            " their ratings share no scale. Each group is shown by itself; comparisons between"
            " them would join the scales.",
            icon=":material/link_off:",
        )
    if not section.islands:
        panels.empty(
            "Nothing to rank yet",
            f"All {many(section.n, 'judgment')} compare responses of one adapter. They are what"
            " the next retraining learns from; a rating needs two adapters.",
        )
    else:
        left, right = st.columns(2, gap="large")
        with left:
            for place, island in enumerate(section.islands):
                ratings_figure(section, island, place)
        with right:
            matrix_figure(section)
    facts(section)


with top:
    if found.sections:
        headline = max(found.sections, key=lambda section: (len(section.islands) > 0, section.n))
        panels.opening("Ratings", leading(headline))
        latest = max(section.latest for section in found.sections if section.latest)
        panels.data_line(found.n, latest, simulated=found.simulated)
    else:
        panels.opening("Ratings", "No judgments under these filters")
        panels.data_line(0, None)

if not found.sections:
    panels.empty(
        "No judgments here",
        "Choose another persona, round or kind of comparison above, or judge some pairs on the"
        " **Label** page. Ratings appear as soon as two adapters have been compared.",
    )
    panels.link("label", "Judge some pairs", ":material/thumbs_up_down:")
for each in found.sections:
    show(each, several=len(found.sections) > 1)
