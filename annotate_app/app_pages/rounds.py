"""Rounds and lineage: from judgments to the adapter that answers, round by round."""

from typing import Any

import streamlit as st

from annotate_app import charts, findings, gate_part, panels, queries, work_queries
from annotate_app.frames import pd
from annotate_app.naming import short, short_names
from annotate_app.session import require
from annotate_app.style import PERSONA_COLOURS
from annotate_app.words import ago, many

ALL = "all"
BADGES = {
    "labeling": ("blue", "collecting judgments"),
    "training": ("blue", "training"),
    "blind": ("violet", "blind comparison under way"),
    "promoted": ("green", "promoted"),
    "rejected": ("gray", "not promoted"),
}
ARROW = " :gray[→] "

require("analyst")
names = work_queries.personas()
every = work_queries.rounds()
short_of = short_names(every)
results = queries.blind_results()
top = st.container()


def against_start(views) -> Any:
    """Rating of each round's adapter less that of the start, with the joint interval."""
    rows = []
    for section in queries.analysis(batch_kind="blind").sections:
        for island in section.islands:
            for view in views:
                if view.persona != section.persona or view.challenger is None:
                    continue
                start = next(one.incumbent for one in views if one.persona == view.persona)
                gap = island.gaps[
                    (island.gaps["item"] == view.challenger) & (island.gaps["opponent"] == start)
                ]
                n = island.items[island.items["item"] == view.challenger]["n"]
                for _, row in gap.iterrows():
                    rows.append(
                        (
                            view.persona,
                            view.number,
                            row["value"],
                            row["ci_low"],
                            row["ci_high"],
                            int(n.iloc[0]),
                        )
                    )
    return pd.DataFrame(rows, columns=["persona", "round", "value", "low", "high", "n"])


def tables(frame, value: str):
    """The columns under a chart over rounds."""
    shown = frame.copy()
    shown["who"] = [names.get(slug, slug) for slug in shown["persona"]]
    shown["said"] = [
        findings.percent(row[0]) if value != "Rating" else f"{row[0]:+.2f}"
        for row in zip(shown["value"], strict=True)
    ]
    shown["between"] = [
        findings.interval(low, high) if value != "Rating" else f"{low:+.2f} to {high:+.2f}"
        for low, high in zip(shown["low"], shown["high"], strict=True)
    ]
    return shown, {
        "who": "Persona",
        "round": "Round",
        "said": value,
        "between": "95 % interval",
        "n": "Judged",
    }


def charts_over_rounds(chosen, views) -> None:
    """Each step against the one before, and all steps against the start."""
    rates = chosen[chosen["n"] > 0].rename(
        columns={"win_rate": "value", "ci_low": "low", "ci_high": "high"}
    )
    if rates.empty:
        return
    gains = against_start(views)
    left, right = st.columns(2, gap="large")
    with left:
        won = int((rates["low"] > 0.5).sum())
        first = f"Round {int(rates['round'].iloc[0])}"
        title = (
            f"{won} of {many(len(rates), 'round')} clearly beat the one before"
            if len(rates) > 1
            else f"{first} {'clearly' if won else 'did not clearly'} beat the one before"
        )
        table, columns = tables(rates, "Win rate")
        panels.figure(
            panels.drawn(
                charts.over_rounds,
                rates,
                title=title,
                colours=PERSONA_COLOURS,
                names=names,
                ink=panels.ink(),
            ),
            table,
            key="rounds-steps",
            note="Blind win rate of each round's adapter against the one it would replace.",
            columns=columns,
        )
    with right:
        if gains.empty:
            return
        last = gains.sort_values("round").groupby("persona").tail(1)
        better = int((last["low"] > 0).sum())
        title = (
            f"{better} of {many(len(last), 'persona')} now clearly better than at the start"
            if better and len(last) > 1
            else "Clearly better than at the start"
            if better
            else "Not clearly better than at the start yet"
        )
        table, columns = tables(gains, "Rating")
        panels.figure(
            panels.drawn(
                charts.over_rounds,
                gains,
                title=title,
                colours=PERSONA_COLOURS,
                names=names,
                value="Rating",
                reference=0.0,
                ink=panels.ink(),
            ),
            table,
            key="rounds-gains",
            note="Bradley-Terry rating above the start, from every blind judgment so far."
            " +1 is odds of 2.7 to 1.",
            columns=columns,
        )


def badge(colour: str, text: str, icon: str = "") -> str:
    """One step of the chain."""
    mark = f":material/{icon}: " if icon else ""
    return f":{colour}-badge[{mark}{panels.say(text)}]"


def chain(view, result) -> str:
    """A round as steps: judgments, snapshot, run, adapter, blind comparison, alias."""
    steps = []
    if view.snapshot:
        people = view.snapshot_judgments - view.snapshot_simulated
        steps.append(badge("gray", many(view.snapshot_judgments, "judgment"), "how_to_vote"))
        if view.snapshot_simulated:
            steps[-1] += badge("orange", f"SIMULATED {view.snapshot_simulated}, people {people}")
        steps.append(badge("gray", f"snapshot {view.snapshot[:8]}", "photo_camera"))
    else:
        steps.append(badge("gray", "judgments", "how_to_vote"))
    if view.run is not None:
        steps.append(badge("gray", f"run {view.run}", "model_training"))
    if view.challenger is not None:
        steps.append(badge("gray", view.challenger, "extension"))
    gate = gate_part.blind_said(view.decision)
    if gate is not None:
        steps.append(badge("blue", f"blind {gate}", "visibility_off"))
        others = int(view.decision.get("simulated", 0))
        if others:
            steps[-1] += badge("orange", f"SIMULATED {others}")
    elif result is not None and result["n"]:
        said = findings.estimate(result["win_rate"], result["ci_low"], result["ci_high"])
        steps.append(badge("blue", f"blind {said} of {int(result['n'])}", "visibility_off"))
        if result["simulated"]:
            steps[-1] += badge("orange", f"SIMULATED {int(result['simulated'])}")
    elif view.blind_batch is not None:
        steps.append(badge("blue", "blind, nothing judged yet", "visibility_off"))
    colour, word = BADGES.get(view.state, ("gray", view.state))
    steps.append(badge(colour, word, "check_circle" if view.state == "promoted" else ""))
    return ARROW.join(steps)


def tree(node, depth: int = 0, seen: int = 0) -> list[str]:
    """An adapter's ancestors as a nested list."""
    indent = "    " * depth
    taken = node.get("snapshot")
    told = f" · {node['kind']}" if node.get("kind") else ""
    lines = [f"{indent}- {panels.code(node.get('id', '?'))}{told}"]
    if taken:
        by = taken.get("by_kind", {})
        simulated = by.get("simulated", 0) + by.get("automatic", 0)
        mark = f" :orange-badge[SIMULATED {simulated}]" if simulated else ""
        lines.append(
            f"{indent}    - learned from {many(taken['judgments'], 'judgment')} by"
            f" {many(taken['annotators'], 'annotator')},"
            f" snapshot {panels.code(taken['sha256'][:8])}{mark}"
        )
    if seen < 30:
        for parent in node.get("parents", []):
            lines += tree(parent, depth + 1, seen + 1)
    return lines


def round_card(view) -> None:
    """One round, its chain and the gate's words."""
    rows = results[(results["persona"] == view.persona) & (results["round"] == view.number)]
    result = rows.iloc[0] if len(rows) else None
    with st.container(border=True):
        st.markdown(
            f"**Round {view.number}** :small[:gray[begun {ago(view.created_at)}"
            + (f", decided {ago(view.decided_at)}" if view.decided_at else "")
            + "]]"
        )
        st.markdown(chain(view, result))
        gate_part.words(view.decision)
        gate_part.why(
            view.decision,
            f"{view.persona}-{view.number}",
            panels.colour(view.persona),
            opened=view.state == "blind",
        )


persona = st.selectbox(
    "Persona",
    [ALL, *names],
    format_func=lambda slug: "All personas" if slug == ALL else names[slug],
    key="persona",
    bind="query-params",
    width=220,
)
views = [view for view in every if persona in (ALL, view.persona)]
chosen = results[results["persona"].isin({view.persona for view in views})]

with top:
    told = chosen[chosen["n"] > 0].sort_values("round")
    if len(told):
        row = told.iloc[-1]
        found = findings.over_rounds(
            names.get(str(row["persona"]), str(row["persona"])),
            [(int(row["round"]), row["win_rate"], row["ci_low"], row["ci_high"])],
            "the round before" if row["round"] > 1 else "the start",
        )
    else:
        found = "No round has been judged blind yet" if views else "No round has begun yet"
    panels.opening("Rounds and lineage", found)
    totals = queries.totals()
    panels.data_line(
        totals.judgments, totals.at, simulated=totals.simulated, automatic=totals.automatic
    )

if not views:
    panels.empty(
        "No round yet",
        "A round begins when candidates are generated for a persona, and ends when its new adapter"
        " has met the old one blind. Generate candidates, judge them, then press **Retrain**.",
        "personaloop generate --persona playful_sidekick",
    )
else:
    charts_over_rounds(chosen, views)

answering = work_queries.incumbents()
for slug in dict.fromkeys(view.persona for view in views):
    panels.persona_heading(names.get(slug, slug), slug)
    for view in sorted((v for v in views if v.persona == slug), key=lambda v: -v.number):
        round_card(view)
    if slug in answering:
        now = answering[slug].adapter
        with st.expander(f"Where {short(now, short_of, slug)}, which answers now, comes from"):
            st.markdown("\n".join(tree(work_queries.lineage(now))))
            panels.link("lineage", "Down to the pairs", ":material/account_tree:", {"adapter": now})
