"""Checks: what could mislead the ratings, before anybody decides by them."""

import streamlit as st

from annotate_app import filters, findings, interval_charts, panels, queries, work_queries
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


def misfit(checks) -> bool:
    """Whether the pair furthest from the ratings is further than chance takes one."""
    worst = checks.fit.get("worst_pairs") or []
    return bool(worst) and worst[0]["p_value"] < SURE


def circling(checks) -> bool:
    """Whether a circle of three is more than chance."""
    strongest = checks.cycles.get("strongest") or []
    return bool(strongest) and strongest[0]["p_value"] < SURE


def warnings(checks) -> list[str]:
    """What should be looked at, in a few words each."""
    said = pulling(checks)
    if checks.drift_p < SURE:
        said.append("ratings moved between the earlier and the later half")
    if misfit(checks):
        said.append("some pairs went otherwise than the ratings say")
    if circling(checks):
        said.append("three adapters beat each other in a circle")
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
        automatic=sum(section.automatic for section, _ in found),
    )


def pulls(checks, key: str) -> None:
    """Place and length."""
    if checks.pulls.empty:
        panels.quiet("Neither the place nor the length of responses is known here.")
        return
    table = checks.pulls.copy()
    table["said"] = findings.estimates(table)
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
        panels.quiet(
            "The pull of the place over time cannot be seen: too few judgments, or their times are"
            " those of an import."
        )
        return
    table = checks.places.copy()
    table["said"] = findings.estimates(table)
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
        note=f"Chance of a change as large as the largest, if nothing moved: {checks.drift_p:.3f}.",
        columns={"label": "Adapter", "said": "Change", "n": "Judged"},
    )


def model(checks, slug: str | None, key: str) -> None:
    """Whether one number an adapter is enough."""
    worst = checks.fit.get("worst_pairs") or []
    if not worst:
        return
    pairs = checks.fit["pairs"]
    st.markdown(
        "**Some pairs went otherwise than the ratings say**"
        if misfit(checks)
        else f"**No pair of {pairs:,} departs from the ratings by more than chance**"
    )
    table = pd.DataFrame(
        [
            (
                label_of(row["item_a"], slug),
                label_of(row["item_b"], slug),
                findings.percent(row["win_rate_a"]),
                findings.percent(row["expected"]),
                int(row["n"]),
                f"{row['residual']:+.1f}",
            )
            for row in worst
        ],
        columns=["first", "second", "seen", "expected", "n", "residual"],
    )
    with st.expander("Pairs furthest from what the ratings say"):
        panels.small_table(
            table,
            {
                "first": "Adapter",
                "second": "Against",
                "seen": "Won",
                "expected": "By the ratings",
                "n": "Judged",
                "residual": "Standard errors",
            },
        )
        panels.downloads(table, f"fit-{key}")


def circles(checks, slug: str | None, key: str) -> None:
    """A beats B beats C beats A."""
    strongest = checks.cycles.get("strongest") or []
    if not strongest:
        why = checks.cycles.get("explanation")
        st.markdown(
            f"**No circles**: :small[{why or 'head to head, nobody comes back to the top'}]"
        )
        return
    st.markdown(
        "**Three adapters beat each other in a circle**"
        if circling(checks)
        else "**Circles, none more than chance would make**"
    )
    table = pd.DataFrame(
        [
            (
                " beats ".join(
                    label_of(item, slug) for item in [*cycle["items"], cycle["items"][0]]
                ),
                f"{cycle['evidence']:.1f}",
                f"{cycle['p_value']:.3f}",
            )
            for cycle in strongest
        ],
        columns=["circle", "evidence", "p"],
    )
    with st.expander("The circles"):
        panels.small_table(
            table, {"circle": "Head to head", "evidence": "Weakest link, errors", "p": "By chance"}
        )
        panels.downloads(table, f"circles-{key}")


def length(checks) -> None:
    """What a longer answer gains when the ratings are held."""
    told = checks.length
    if told.get("effect") is None:
        return
    low, high = told["ci_low"], told["ci_high"]
    pull = "gains" if low > 0 else "loses" if high < 0 else "neither clearly gains nor loses"
    panels.quiet(
        f"Between equally rated adapters, a response longer by {told['spread']:.0f}"
        f" {told['unit']} {pull}: {told['effect']:+.2f} log-odds ({low:+.2f} to {high:+.2f})."
    )


with top:
    opening()

if not any(section.report for section, _ in found):
    panels.nothing_here(sum(section.n for section, _ in found))
for section, checks in found:
    if section.report is None:
        continue
    key = section.persona or "none"
    if len(found) > 1:
        panels.persona_heading(names.get(section.persona or "", "Other judgments"), section.persona)
    left, right = st.columns(2, gap="large")
    with left:
        pulls(checks, key)
        length(checks)
        moved(checks, section.persona, key)
    with right:
        places(checks, key)
        model(checks, section.persona, key)
        circles(checks, section.persona, key)
