"""Overview: is the challenger ahead, what needs labeling next, what changed."""

import streamlit as st

from annotate_app import charts, findings, panels, queries, work_queries
from annotate_app.naming import short, short_names
from annotate_app.session import require
from annotate_app.style import PERSONA_COLOURS
from annotate_app.words import ago, many

STATES = {
    "labeling": "collecting judgments",
    "training": "training",
    "blind": "blind comparison",
    "promoted": "promoted",
    "rejected": "rejected",
}

KINDS = {
    "retrain": "Retraining of",
    "sft": "Supervised training of",
    "generate": "Generating candidates for",
}

require("analyst")


@st.fragment(run_every=15)
def body() -> None:
    """The whole page, quietly brought up to date while its reader may see it."""
    require("analyst")
    totals = queries.totals()
    names = work_queries.personas()
    short_of = short_names(work_queries.rounds())
    results = queries.blind_results()
    panels.opening("Overview", _finding(totals.judgments, results, names, short_of))
    panels.data_line(
        totals.judgments,
        totals.at,
        simulated=totals.simulated,
        automatic=totals.automatic,
        extra=many(totals.annotators, "annotator"),
    )
    if totals.judgments == 0:
        _nothing_yet()
    left, right = st.columns([3, 2], gap="large")
    with left:
        _challengers(results, names, short_of)
    with right:
        _next_to_label(names)
        _teaches_most(names, short_of)
        _what_changed(names, short_of)


def _finding(judgments, results, names, short_of) -> str:
    told = results[results["n"] > 0]
    if len(told):
        open_first = told.assign(open=told["state"] == "blind").sort_values(
            ["open", "round", "n"], ascending=False
        )
        row = open_first.iloc[0]
        return findings.versus(
            short(row["challenger"], short_of, row["persona"]),
            short(row["incumbent"], short_of, row["persona"]),
            names.get(row["persona"], row["persona"]),
            (row["win_rate"], row["ci_low"], row["ci_high"]),
            int(row["n"]),
        )
    if not judgments:
        return "No judgments yet"
    best = None
    for section in queries.analysis().sections:
        for island in section.islands:
            if not island.refusal and (best is None or len(island.items) > len(best[1].items)):
                best = (section.persona, island)
    if best is None:
        return "Judgments are coming in; no two adapters have been compared yet"
    persona, island = best
    return findings.leader(
        [
            (short(row["item"], short_of, persona), row["rating"], row["ci_low"], row["ci_high"])
            for _, row in island.items.head(2).iterrows()
        ],
        names.get(persona, ""),
        island.lead,
    )


def _nothing_yet() -> None:
    panels.empty(
        "Nothing has been judged yet",
        "Open the **Label** page and judge a few pairs, or invite somebody who will."
        " The numbers here move with every judgment.",
        'personaloop users invite --name "Ada" --role evaluator',
    )
    panels.link("label", "Judge the first pair", ":material/thumbs_up_down:")


def _challengers(results, names, short_of) -> None:
    if results.empty:
        panels.empty(
            "No blind comparison yet",
            "When a persona is retrained, its new adapter meets the old one here, blind."
            " **Training** shows how many judgments each persona has.",
        )
        return
    latest = results.sort_values("round").groupby("persona").tail(1).sort_values("persona").copy()
    latest["label"] = [
        f"{names.get(row['persona'], row['persona'])}: "
        f"{short(row['challenger'], short_of, row['persona'])} against "
        f"{short(row['incumbent'], short_of, row['persona'])}"
        for _, row in latest.iterrows()
    ]
    latest["standing"] = latest["state"].map(lambda state: STATES.get(state, state))
    judged = latest[latest["n"] > 0]
    if judged.empty:
        panels.empty(
            "No blind judgment yet",
            f"{many(len(latest), 'new adapter waits', 'new adapters wait')} to be compared blind"
            " with what answers now. The blind pairs come first on the **Label** page.",
        )
        panels.link("label", "Judge the blind pairs", ":material/visibility_off:")
        return
    ahead = int((judged["ci_low"] > 0.5).sum())
    title = (
        "No challenger is clearly ahead yet"
        if not ahead
        else "The challenger is clearly ahead"
        if len(latest) == 1
        else f"The challenger is clearly ahead for {ahead} of {many(len(latest), 'persona')}"
    )
    table = latest.copy()
    table["win"] = [findings.percent(value) for value in table["win_rate"]]
    table["interval"] = [
        findings.interval(low, high)
        for low, high in zip(table["ci_low"], table["ci_high"], strict=True)
    ]
    panels.figure(
        panels.drawn(
            charts.gate_strip,
            judged,
            title=title,
            colours=PERSONA_COLOURS,
            names=names,
            ink=panels.ink(),
        ),
        table,
        key="overview-challengers",
        note="Share of blind judgments that the challenger won; a tie counts half.",
        columns={
            "label": "Comparison",
            "win": "Challenger wins",
            "interval": "95 % interval, %",
            "n": "Judged",
            "both_bad": "Both bad",
            "simulated": "Simulated",
            "standing": "State",
        },
    )


def _next_to_label(names) -> None:
    st.markdown("**To label next**")
    waiting = [b for b in work_queries.batches() if b.state == "open" and b.left > 0]
    if not waiting:
        panels.quiet("Nothing is waiting to be judged.")
        return
    for batch in waiting[:4]:
        kind = "blind comparison" if batch.kind == "blind" else "for training"
        who = panels.say(names.get(batch.persona, batch.name) if batch.persona else batch.name)
        st.progress(
            min(1.0, batch.judged / max(1, batch.wanted)),
            text=f"{who}, {kind} · **{batch.left}** of {batch.wanted} left",
        )
    if len(waiting) > 4:
        panels.quiet(f"and {many(len(waiting) - 4, 'more batch', 'more batches')}")
    panels.link("label", "Label now", ":material/thumbs_up_down:")


def _teaches_most(names, short_of) -> None:
    """The pair that each unsettled ranking would learn most from, the least settled first."""
    open_questions = [
        (section.persona, island.next, island.enough.more)
        for section in queries.analysis().sections
        for island in section.islands[:1]
        if island.enough is not None and not island.enough.enough and island.next is not None
    ]
    open_questions.sort(key=lambda each: each[2] or 0, reverse=True)
    for persona, pair, more in open_questions[:3]:
        one, other = (panels.say(short(item, short_of, persona)) for item in pair)
        who = f"{panels.say(names[persona])}: " if persona in names else ""
        about = f"{float(f'{more:.2g}'):,.0f}" if more else ""
        wanted = f"; about {about} more judgments would settle the order" if more else ""
        panels.quiet(f"{who}**{one}** against **{other}** would teach most{wanted}")


def _what_changed(names, short_of) -> None:
    st.markdown("**What changed**")
    lines: list[tuple] = []
    for change in work_queries.alias_changes()[:5]:
        who = panels.say(names.get(change.persona, change.persona))
        what = panels.say(short(change.adapter, short_of, change.persona))
        lines.append((change.created_at, f"{who} answers with **{what}**"))
    for job in work_queries.jobs(10):
        moment = job.finished_at or job.started_at or job.created_at
        what = {
            "queued": "waits for a worker",
            "running": f"is running: {job.stage}",
            "done": "finished",
            "failed": "failed",
            "cancelled": "was cancelled",
        }[job.state]
        who = panels.say(names.get(job.persona or "", job.persona or ""))
        lines.append((moment, f"{KINDS.get(job.kind, job.kind)} {who} {panels.say(what)}"))
    if not lines:
        panels.quiet("Nothing yet.")
    lines.sort(key=lambda line: line[0], reverse=True)
    st.markdown("\n".join(f"- :small[{text} · {ago(at)}]" for at, text in lines[:5]))


with panels.live():
    body()
