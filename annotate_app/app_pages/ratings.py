"""Ratings: who is better than whom, by how much, and how sure that is."""

import streamlit as st

from annotate_app import charts, filters, findings, panels, work_queries
from annotate_app.naming import short, short_names
from annotate_app.session import require
from annotate_app.words import many

require("analyst")
names = work_queries.personas()
short_of = short_names(work_queries.rounds())
incumbents = {change.adapter for change in work_queries.incumbents().values()}
top = st.container()
found = filters.shown().analysis()


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
    table["wins_said"] = findings.estimates(
        table, "win_rate", "win_rate_ci_low", "win_rate_ci_high"
    )
    rows = [
        (row["label"], row["rating"], row["ci_low"], row["ci_high"])
        for _, row in table.head(2).iterrows()
    ]
    panels.figure(
        panels.drawn(
            charts.ratings,
            table,
            title=findings.leader(rows, "", island.lead),
            colour=panels.colour(section.persona),
            ink=panels.ink(),
        ),
        table,
        key=key,
        columns={
            "label": "Adapter",
            "rank": "Rank",
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


def settled(section, island) -> str:
    """Whether more judgments would change the order, and which would teach most; Markdown."""
    verdict = island.enough
    said = f"**{'The order is settled' if verdict.enough else 'More judgments would help'}**:"
    said += f" {panels.say(verdict.reason)}"
    if verdict.more:
        said += f"; about {float(f'{verdict.more:.2g}'):,.0f} more would do"
    if not verdict.enough and island.next is not None:
        one, other = (label_of(item, section.persona) for item in island.next)
        said += f". {findings.sentence(one)} against {other} would teach most"
    return said + "."


def facts(section) -> None:
    """Agreement, the pull of the place, what does not rank, how the intervals were made."""
    lines = []
    if section.alpha is not None:
        alpha = section.alpha
        lines.append(
            f"**{findings.agreement(alpha.value)}** ({alpha.ci_low:.2f} to {alpha.ci_high:.2f},"
            f" {many(alpha.units, 'comparison')} judged by two or more)"
        )
    elif section.report is not None:
        lines.append(f"Agreement is not known: {section.alpha_why}.")
    for island in section.islands:
        if island.enough is not None:
            lines.append(settled(section, island))
    if section.report is not None:
        lines.append(findings.first_place(section.report.bias))
        lines += [findings.sentence(panels.say(note)) + "." for note in section.notes]
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
    if several and (section.simulated or section.automatic):
        panels.data_line(
            section.n, section.latest, simulated=section.simulated, automatic=section.automatic
        )
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
        facts(section)
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        for place, island in enumerate(section.islands):
            ratings_figure(section, island, place)
    with right:
        st.markdown("**How to read this**")
        facts(section)


with top:
    if found.sections:
        headline = max(found.sections, key=lambda section: (len(section.islands) > 0, section.n))
        panels.opening("Ratings", leading(headline))
        latest = max(section.latest for section in found.sections if section.latest)
        panels.data_line(found.n, latest, simulated=found.simulated, automatic=found.automatic)
    else:
        panels.opening("Ratings", "No judgments under these filters")
        panels.data_line(0, None)

if not found.sections:
    panels.nothing_here()
for each in found.sections:
    show(each, several=len(found.sections) > 1)
