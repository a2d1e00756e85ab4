"""Checks: what could mislead the ratings, before anybody decides by them."""

import streamlit as st

from annotate_app import filters, findings, interval_charts, panels, queries, work_queries
from annotate_app.checks import SURE_CIRCLE
from annotate_app.frames import pd
from annotate_app.naming import short, short_names
from annotate_app.session import require
from annotate_app.words import many

SURE = 0.01
"""Below this chance a change or a misfit is called clear."""

require("analyst")
names = work_queries.personas()
short_of = short_names(work_queries.rounds())
top = st.container()
chosen = filters.shown()
found = queries.checks(
    chosen.persona,
    round=chosen.round,
    batch_kind=chosen.kind,
    include_simulated=chosen.include_simulated,
)


def label_of(adapter_id: str, slug: str | None) -> str:
    """The name that a chart shows."""
    return short(adapter_id, short_of, slug)


def pulling(checks) -> list[str]:
    """What clearly pulls verdicts besides quality."""
    said = []
    for _, row in checks.pulls.iterrows():
        if row["ci_low"] > 0.5 or row["ci_high"] < 0.5:
            verb = "wins more often" if row["value"] > 0.5 else "loses more often"
            thing = row["label"].split(",")[0]
            thing = thing[:1].lower() + thing[1:] if thing.startswith("The") else thing
            rate = findings.estimate(row["value"], row["ci_low"], row["ci_high"])
            said.append(f"{thing} {verb} ({rate})")
    return said


def warnings(checks) -> list[str]:
    """What should be looked at, in a few words each."""
    said = pulling(checks)
    if checks.drift_p < SURE:
        said.append("ratings moved between the earlier and the later half")
    if checks.fit is not None and not checks.fit.explanation and checks.fit.p_value < SURE:
        said.append("some pairs went otherwise than the ratings say")
    sure = [cycle for cycle in checks.cycles if cycle.evidence > SURE_CIRCLE]
    if sure:
        said.append(many(len(sure), "circle") + " of three")
    return said


def opening() -> None:
    """What is clear, over all personas shown."""
    told = {section.persona: warnings(checks) for section, checks in found if section.report}
    some = {persona: said for persona, said in told.items() if said}
    if not told:
        panels.opening("Checks", "Nothing to check: no two adapters have been compared here")
    elif not some:
        panels.opening("Checks", "Nothing here speaks against the ratings")
    else:
        persona, said = max(some.items(), key=lambda each: len(each[1]))
        where = f" for {names[persona]}" if persona in names else ""
        more = f"; and {many(len(some) - 1, 'more persona')} to look at" if len(some) > 1 else ""
        panels.opening("Checks", findings.sentence(findings.listed(said)) + where + more)
    latest = [section.latest for section, _ in found if section.latest]
    panels.data_line(
        sum(section.n for section, _ in found),
        max(latest, default=None),
        simulated=sum(section.simulated for section, _ in found),
    )


def pulls(checks, key: str) -> None:
    """Place and length."""
    if checks.pulls.empty:
        panels.quiet("Neither the place nor the length of responses is known here.")
        return
    table = checks.pulls.copy()
    table["said"] = [
        findings.estimate(*row)
        for row in zip(table["value"], table["ci_low"], table["ci_high"], strict=True)
    ]
    clear = pulling(checks)
    title = (
        findings.sentence(findings.listed(clear))
        if clear
        else "Neither place nor length clearly pulls verdicts"
    )
    panels.figure(
        panels.drawn(interval_charts.intervals, table, title=title, ink=panels.ink()),
        table,
        key=f"pulls-{key}",
        note="A tie counts half. Placement is drawn by chance, so its pull cancels in the ratings,"
        " which also fit it; the longer response may win because it says more.",
        columns={"label": "Who", "said": "Wins, %", "n": "Judged"},
    )


def places(checks, key: str) -> None:
    """The place over time."""
    if checks.places.empty:
        panels.quiet("Too few judgments to see the pull of the place over time.")
        return
    table = checks.places.copy()
    table["said"] = [
        findings.estimate(*row)
        for row in zip(table["value"], table["ci_low"], table["ci_high"], strict=True)
    ]
    table["from"] = table["at"].dt.strftime("%Y-%m-%d %H:%M")
    apart = int(((table["ci_low"] > 0.5) | (table["ci_high"] < 0.5)).sum())
    title = (
        f"Response A won clearly more or less than half in {apart} of {len(table)} stretches"
        if apart
        else "The place pulls no more at one time than at another"
    )
    panels.figure(
        panels.drawn(
            interval_charts.over_time,
            table,
            title=title,
            ink=panels.ink(),
            axis_title="Response A won",
        ),
        table,
        key=f"places-{key}",
        note="Whiskers hold for all stretches together.",
        columns={"from": "From (UTC)", "said": "Response A won, %", "n": "Decided"},
    )


def moved(checks, slug: str | None, key: str) -> None:
    """Ratings of the later half less those of the earlier."""
    if checks.drift.empty:
        st.markdown("**Drift cannot be told**")
        panels.quiet(findings.sentence(panels.say(checks.drift_why)) + ".")
        return
    table = checks.drift.copy()
    table["label"] = [label_of(item, slug) for item in table["item"]]
    table["said"] = [
        f"{value:+.2f}, {low:+.2f} to {high:+.2f}"
        for value, low, high in zip(table["value"], table["ci_low"], table["ci_high"], strict=True)
    ]
    clear = checks.drift_p < SURE
    title = (
        "Ratings moved between the earlier and the later half"
        if clear
        else "No clear drift between the earlier and the later half"
    )
    panels.figure(
        panels.drawn(
            interval_charts.intervals,
            table.head(25),
            title=title,
            ink=panels.ink(),
            axis_title="Rating, later less earlier",
            shares=False,
            reference=0.0,
        ),
        table,
        key=f"drift-{key}",
        note=f"All adapters together: p = {checks.drift_p:.3f}.",
        columns={"label": "Adapter", "said": "Change", "n": "Judged"},
    )


def model(checks, slug: str | None, key: str) -> None:
    """Whether one number an adapter is enough."""
    fit = checks.fit
    if fit is None:
        return
    clear = not fit.explanation and fit.p_value < SURE
    st.markdown(
        "**Some pairs went otherwise than the ratings say**"
        if clear
        else "**One rating an adapter is enough to explain the judgments**"
        if not fit.explanation
        else "**Whether the ratings explain the judgments cannot be told**"
    )
    said = f"Pearson's chi-squared {fit.statistic:.1f} on {fit.degrees_of_freedom} degrees"
    said += f", p = {fit.p_value:.3f}." if not fit.explanation else f": {fit.explanation}."
    panels.quiet(panels.say(said))
    worst = pd.DataFrame(
        [
            (label_of(first, slug), label_of(second, slug), f"{residual:+.1f}")
            for first, second, residual in fit.worst[:5]
        ],
        columns=["first", "second", "residual"],
    )
    with st.expander("Pairs furthest from what the ratings say"):
        panels.small_table(
            worst, {"first": "Adapter", "second": "Against", "residual": "Standard errors"}
        )
        panels.downloads(worst, f"fit-{key}")


def circles(checks, slug: str | None, key: str) -> None:
    """A beats B beats C beats A."""
    sure = [cycle for cycle in checks.cycles if cycle.evidence > SURE_CIRCLE]
    if not checks.cycles:
        st.markdown("**No circles: head to head, nobody beats the one who beats them**")
        return
    st.markdown(
        f"**{many(len(sure), 'circle')} that chance hardly explains**"
        if sure
        else f"**{many(len(checks.cycles), 'circle')}, none more than chance would make**"
    )
    table = pd.DataFrame(
        [
            (
                " beats ".join(
                    label_of(item, slug)
                    for item in (cycle.first, cycle.second, cycle.third, cycle.first)
                ),
                f"{cycle.evidence:.1f}",
            )
            for cycle in checks.cycles[:10]
        ],
        columns=["circle", "evidence"],
    )
    with st.expander("The circles"):
        panels.small_table(
            table, {"circle": "Head to head", "evidence": "Weakest link, standard errors"}
        )
        panels.downloads(table, f"circles-{key}")


with top:
    opening()

if not any(section.report for section, _ in found):
    panels.nothing_here()
for section, checks in found:
    if section.report is None:
        continue
    key = section.persona or "none"
    if len(found) > 1:
        panels.persona_heading(names.get(section.persona or "", "Other judgments"), section.persona)
    left, right = st.columns(2, gap="large")
    with left:
        pulls(checks, key)
        moved(checks, section.persona, key)
    with right:
        places(checks, key)
        model(checks, section.persona, key)
        circles(checks, section.persona, key)
