"""Annotators: whom to trust, who leans to one place, how far an automatic judge agrees."""

import streamlit as st

from annotate_app import filters, findings, interval_charts, panels, queries
from annotate_app.session import require
from annotate_app.words import many

MOST = 25
"""Rows in a chart and its table; the files have everybody."""

require("analyst")
top = st.container()
chosen = filters.shown()
told = queries.people(
    chosen.persona,
    round=chosen.round,
    batch_kind=chosen.kind,
    include_simulated=chosen.include_simulated,
)


def finding(people) -> str:
    """How many follow the common ranking."""
    rated = people.table[people.table["standing"] != ""]
    if rated.empty:
        return f"{many(len(people.table), 'annotator')}; nobody's reliability can be told yet"
    counts = rated["standing"].value_counts()
    parts = [
        f"{counts.get('follows', 0)} of {many(len(rated), 'annotator')} follow the common ranking"
    ]
    if counts.get("unclear"):
        parts.append(f"{counts['unclear']} cannot be told from a coin")
    if counts.get("against"):
        parts.append(
            f"{counts['against']} {'judges' if counts['against'] == 1 else 'judge'} against it"
        )
    return findings.sentence(findings.listed(parts))


def searched(table):
    """Those whose name has what was typed."""
    typed = st.text_input(
        "Find an annotator", key="find", bind="query-params", icon=":material/search:", width=320
    )
    if not typed.strip():
        return table
    names = table["annotator"].str.casefold()
    return table[names.str.contains(typed.strip().casefold(), regex=False)]


def figure(table, name: str, n: str, *, title: str, axis: str, note: str, unit: str) -> None:
    """One measure of everybody, with its interval."""
    rows = table[table[name].notna()].head(MOST)
    if rows.empty:
        st.markdown(f"**{axis}: not known yet**")
        panels.quiet(note)
        return
    shown = rows.assign(
        label=rows["annotator"],
        value=rows[name],
        ci_low=rows[f"{name}_low"],
        ci_high=rows[f"{name}_high"],
        n=rows[n],
    )
    shown["said"] = findings.estimates(shown)
    left_out = int(table[name].notna().sum()) - len(rows)
    more = f" Shown are {len(rows)}; {left_out:,} more are in the files below." if left_out else ""
    panels.figure(
        panels.drawn(
            interval_charts.intervals,
            shown,
            title=title,
            ink=panels.ink(),
            axis_title=axis,
            reference=None if name == "agreement" else 0.5,
            unit=unit,
        ),
        shown,
        key=f"annotators-{name}",
        note=note + more,
        columns={"label": "Annotator", "kind": "Kind", "said": f"{axis}, %", "n": "From"},
    )


def reliability(table) -> None:
    """Who follows the ranking that all judgments make together."""
    figure(
        table,
        "reliability",
        "n",
        title="Reliability: the least reliable first",
        axis="Follows the common ranking",
        note="Fitted together with the ratings (crowd Bradley-Terry): 100 % follows the common"
        " ranking, 50 % is a coin, below works against it. Few judgments pull towards ordinary.",
        unit="judgment",
    )


def agreement(table) -> None:
    """How often others said the same of the same comparison."""
    rows = table.sort_values(["agreement", "annotator"], na_position="last")
    figure(
        rows,
        "agreement",
        "agreement_n",
        title="Agreement: who differs most from others on the same pair",
        axis="Others said the same",
        note="Share of other people's verdicts on the same comparisons that were the same; with"
        " four verdicts to choose from, chance is well below 50 %.",
        unit="shared judgment",
    )


def places(table) -> None:
    """Who prefers what stands first, whatever it says."""
    lean = (table["first_place"] - 0.5).abs()
    rows = table.assign(lean=lean).sort_values(["lean", "annotator"], ascending=[False, True])
    clear = int(((rows["first_place_low"] > 0.5) | (rows["first_place_high"] < 0.5)).sum())
    title = (
        f"Place: {many(clear, 'annotator')} clearly {'lean' if clear != 1 else 'leans'} to one"
        if clear
        else "Place: nobody clearly leans to one"
    )
    figure(
        rows,
        "first_place",
        "decided",
        title=title,
        axis="Response A won",
        note="Sides are drawn by chance, so 50 % is expected; one in twenty lies outside by luck.",
        unit="decided judgment",
    )


def everybody(table) -> None:
    """All numbers of all annotators."""
    shown = table.head(MOST).copy()
    for name in ("reliability", "agreement", "first_place", "gold", "again"):
        shown[f"{name}_said"] = [
            findings.estimate(*row)
            for row in zip(shown[name], shown[f"{name}_low"], shown[f"{name}_high"], strict=True)
        ]
    shown["ties_said"] = [findings.percent(share) for share in shown["ties"]]
    shown["bad_said"] = [findings.percent(share) for share in shown["both_bad"]]
    shown["seconds_said"] = [
        "–" if value != value else f"{value:.0f} s" for value in shown["seconds"]
    ]
    columns = {
        "annotator": "Annotator",
        "kind": "Kind",
        "n": "Judged",
        "reliability_said": "Reliability, %",
        "agreement_said": "Agrees, %",
        "first_place_said": "Response A won, %",
        "ties_said": "Ties",
        "bad_said": "Both bad",
        "seconds_said": "Median time",
    }
    if shown["gold_n"].sum():
        columns["gold_said"] = "Gold right, %"
    if shown["again_n"].sum():
        columns["again_said"] = "Same answer again, %"
    st.markdown("**Everybody**" if len(table) <= MOST else f"**The first {MOST}**")
    panels.small_table(shown, columns)
    panels.downloads(table, "annotators")


def together(people) -> None:
    """Agreement of all, and of automatic judges with people."""
    lines = []
    if people.alpha is not None:
        alpha = people.alpha
        lines.append(
            f"**{findings.agreement(alpha.value)}** ({alpha.ci_low:.2f} to {alpha.ci_high:.2f},"
            f" {many(alpha.units, 'comparison')} judged by two or more)"
        )
    else:
        lines.append(findings.sentence(f"agreement is not known: {people.alpha_why}."))
    if people.automatic is not None:
        kappa = people.automatic
        lines.append(
            findings.automatic(kappa)
            + (f" ({many(kappa.units, 'comparison')} judged by both)" if kappa.units else "")
        )
    if people.refusal:
        lines.append(findings.sentence(f"no reliabilities: {panels.say(people.refusal)}"))
    st.markdown("\n".join(f"- :small[{line}]" for line in lines))


with top:
    if told is None:
        panels.opening("Annotators", "Nobody has judged anything under these filters")
        panels.data_line(0, None)
    else:
        panels.opening("Annotators", finding(told))
        kinds = told.table.groupby("kind")["n"].sum()
        panels.data_line(
            int(told.table["n"].sum()),
            None,
            simulated=int(kinds.get("simulated", 0)),
            automatic=int(kinds.get("automatic", 0)),
            extra=many(len(told.table), "annotator"),
        )

if told is None:
    panels.nothing_here()
else:
    together(told)
    table = searched(told.table)
    if table.empty:
        panels.empty("Nobody of that name", "Clear the field above to see everybody.")
    else:
        left, right = st.columns(2, gap="large")
        with left:
            reliability(table)
            places(table)
        with right:
            agreement(table)
        everybody(table)
