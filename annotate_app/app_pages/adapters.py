"""Adapters: what answers for each persona, what wants to replace it, and the way back."""

import streamlit as st

from annotate_app import actions, adapter_files, charts, findings, panels, queries, work_queries
from annotate_app.naming import short, short_names
from annotate_app.session import acting, require
from annotate_app.style import PERSONA_COLOURS
from annotate_app.words import ago, many
from db.errors import PersonaLoopError

require("admin")
names = work_queries.personas()
rounds = work_queries.rounds()
short_of = short_names(rounds)
answering = work_queries.incumbents()
changes = work_queries.alias_changes()
results = queries.blind_results()
batches = {batch.id: batch for batch in work_queries.batches()}
adapters = [one for one in work_queries.adapters() if one.persona is not None]


def label(adapter_id: str, persona: str) -> str:
    """Short name and id, when they differ."""
    name = short(adapter_id, short_of, persona)
    return name if name == adapter_id else f"{name} ({adapter_id})"


def say_done(words: str) -> None:
    """Tell what happened, after the rerun."""
    st.session_state["adapters-said"] = words


@st.dialog("Let another adapter answer")
def promote(persona: str, choices: list[str]) -> None:
    """Asks which and why, then changes the alias."""
    st.markdown(
        f"{panels.say(names[persona])} answers with"
        f" {panels.code(answering[persona].adapter) if persona in answering else 'nothing'} now."
        " Everybody who talks to it meets the new one at once."
    )
    chosen = st.selectbox("Adapter", choices, format_func=lambda one: label(one, persona))
    reason = st.text_input("Why?", placeholder="Won the blind comparison, checked by hand")
    if st.button("Promote", type="primary", icon=":material/arrow_upward:", key="promote-now"):
        try:
            actions.promote(persona, chosen, reason=reason, actor=acting("admin"))
        except PersonaLoopError as error:
            st.error(panels.say(findings.sentence(str(error))))
            return
        say_done(f"{names[persona]} now answers with {chosen}.")
        st.rerun()


@st.dialog("Roll back")
def roll_back(persona: str) -> None:
    """Confirms, then goes back to what answered before."""
    st.markdown(
        f"{panels.say(names[persona])} answers with {panels.code(answering[persona].adapter)} now."
        " Rolling back lets the adapter before it answer again, at once. No judgment and no"
        " adapter is lost."
    )
    if st.button("Roll back", type="primary", icon=":material/undo:", key="rollback-now"):
        try:
            back = actions.roll_back(persona, actor=acting("admin"))
        except PersonaLoopError as error:
            st.error(panels.say(findings.sentence(str(error))))
            return
        say_done(f"{names[persona]} answers with {back} again.")
        st.rerun()


def challenger(persona: str) -> None:
    """The newest round's comparison: progress, result, and the gate's decision."""
    mine = [view for view in rounds if view.persona == persona and view.challenger]
    if not mine:
        st.markdown(":small[No challenger: nothing has been retrained yet.]")
        return
    view = mine[-1]
    assert view.challenger is not None
    rows = results[(results["persona"] == persona) & (results["round"] == view.number)]
    batch = batches.get(view.blind_batch) if view.blind_batch is not None else None
    new, old = (
        short(view.challenger, short_of, persona),
        short(view.incumbent, short_of, persona),
    )
    if len(rows) and int(rows.iloc[0]["n"]):
        row = rows.iloc[0]
        rate = (row["win_rate"], row["ci_low"], row["ci_high"])
        frame = rows.assign(label=f"{new} against {old}")
        frame["said"] = findings.estimate(*rate)
        panels.figure(
            panels.drawn(
                charts.gate_strip,
                frame,
                title=findings.versus(new, old, "", rate, int(row["n"])),
                colours=PERSONA_COLOURS,
                names=names,
                ink=panels.ink(),
            ),
            frame,
            key=f"gate-{persona}",
            columns={
                "label": "Comparison",
                "said": "Challenger wins, %",
                "wins": "Wins",
                "losses": "Losses",
                "ties": "Ties",
                "both_bad": "Both bad",
                "simulated": "Simulated",
            },
        )
        if int(row["simulated"]):
            st.markdown(f":orange-badge[SIMULATED {int(row['simulated'])} of {int(row['n'])}]")
    else:
        st.markdown(f"**{panels.say(new)}** waits for its blind comparison with {panels.say(old)}.")
    if view.decision.get("words"):
        panels.quiet(f"Gate: {panels.say(view.decision['words'])}")
    elif batch is not None:
        st.progress(
            min(1.0, batch.judged / max(1, batch.wanted)),
            text=f"{batch.judged} of {batch.wanted} blind judgments"
            + ("" if batch.left else " · the gate decides next"),
        )
        if batch.left:
            panels.link("label", "Judge the blind pairs", ":material/visibility_off:")


def why(change) -> str:
    """The reason of a change, unless it is the gate's, which stands below with its chart."""
    said = [view.decision.get("words", "") for view in rounds]
    return "" if change.reason in said else f", {panels.say(change.reason)}"


def card(persona: str) -> None:
    """One persona: incumbent, challenger, buttons, history."""
    own = [one for one in adapters if one.persona == persona]
    now = answering.get(persona)
    panels.persona_heading(names[persona], persona)
    if now is None:
        panels.empty(
            "Nothing answers yet", "Set up the shipped adapters.", "personaloop init --sample"
        )
        return
    name = panels.say(short(now.adapter, short_of, persona))
    st.markdown(
        f"**{name}** answers, {panels.code(now.adapter)}"
        f" :small[:gray[since {ago(now.created_at)}{why(now)}]]"
    )
    challenger(persona)
    panels.link(
        "lineage", "Where it comes from", ":material/account_tree:", {"adapter": now.adapter}
    )
    others = [
        one.id
        for one in own
        if one.id != now.adapter and one.kind != "external" and not one.metrics.get("without")
    ]
    with st.container(horizontal=True):
        if st.button(
            "Promote …",
            key=f"promote-{persona}",
            icon=":material/arrow_upward:",
            disabled=not others,
            help="Let another adapter of this persona answer, with a reason",
        ):
            promote(persona, others)
        if st.button(
            "Roll back …",
            key=f"rollback-{persona}",
            icon=":material/undo:",
            disabled=sum(change.persona == persona for change in changes) < 2,
            help="Let what answered before answer again",
        ):
            roll_back(persona)
        check = st.button(
            "Verify files",
            key=f"verify-{persona}",
            icon=":material/verified:",
            help="Compare every file with the checksums that were written with it",
        )
    if check:
        for one in own:
            wrong = adapter_files.damage(one.persona, one.id, one.sha256)
            said = panels.code(one.id)
            st.markdown(
                f":green[:material/check: {said} is as it was written]"
                if not wrong
                else f":red[:material/error: {said}: {panels.say(wrong)}]"
            )
    with st.expander(f"{many(len(own), 'adapter')}, and what answered when"):
        st.markdown(
            "\n".join(
                f"- {panels.code(one.id)} {one.kind}"
                + (f", from {', '.join(map(panels.code, one.parents))}" if one.parents else "")
                + f" :small[:gray[{ago(one.created_at)}]]"
                for one in own
            )
        )
        st.markdown(
            "\n".join(
                f"- {ago(change.created_at)}: {panels.code(change.adapter)} by"
                f" {panels.say(change.actor)}, {panels.say(change.reason)}"
                for change in changes
                if change.persona == persona
            )
        )


undecided = [view for view in rounds if view.state == "blind"]
panels.opening(
    "Adapters",
    f"{many(len(undecided), 'challenger')} in a blind comparison"
    if undecided
    else "Nothing waits for a decision",
)
totals = queries.totals()
panels.data_line(
    totals.judgments, totals.at, simulated=totals.simulated, automatic=totals.automatic
)
said = st.session_state.pop("adapters-said", "")
if said:
    st.success(panels.say(said), icon=":material/check:")
if not names:
    panels.empty("No persona yet", "Set up the sample personas.", "personaloop init --sample")
order = sorted(names, key=lambda slug: slug not in {view.persona for view in rounds})
for start in range(0, len(order), 2):
    for column, slug in zip(st.columns(2, gap="medium"), order[start : start + 2], strict=False):
        with column, st.container(border=True):
            card(slug)


@st.fragment(run_every=3)
def look_again() -> None:
    """Show what the gate decided as soon as it has."""
    require("admin")
    if (work_queries.rounds(), work_queries.incumbents()) != (rounds, answering):
        st.rerun(scope="app")


if undecided:
    look_again()
