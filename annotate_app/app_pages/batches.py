"""Batches: what is being asked, how far it is, and what is asked first."""

from datetime import timedelta

import streamlit as st

from annotate_app import actions, batch_form, findings, panels, queries, work_queries
from annotate_app.session import acting, require
from annotate_app.words import ago, many
from db.clock import utcnow
from db.errors import PersonaLoopError

KIND = {"label": "for training", "blind": "blind comparison", "imported": "imported"}

require("admin")


def attempt(work) -> None:
    """Do it, or say why not, after the rerun."""
    try:
        work()
    except PersonaLoopError as error:
        st.session_state["batches-said"] = findings.sentence(str(error))


def set_state(batch_id: int, state: str) -> None:
    """A button's callback."""
    attempt(lambda: actions.set_batch_state(batch_id, state, actor=acting("admin")))


def set_priority(batch_id: int, key: str) -> None:
    """A number field's callback."""
    value = int(st.session_state[key])
    attempt(lambda: actions.set_batch_priority(batch_id, value, actor=acting("admin")))


def pace(batches) -> str:
    """How long what is open still takes at the pace of the last day."""
    left = sum(batch.left for batch in batches if batch.state == "open")
    recent = queries.judged_since(utcnow() - timedelta(days=1))
    if not left or not recent:
        return ""
    days = left / recent
    if days < 1 / 24:
        return "done within the hour at the pace of the last day"
    if days < 1:
        return f"about {many(max(1, round(days * 24)), 'hour')} at the pace of the last day"
    return f"about {many(round(days), 'day')} at the pace of the last day"


def card(batch, names) -> None:
    """One batch with its bar, its counts and its switches."""
    with st.container(border=True):
        head, priority, button = st.columns([6, 2, 2], vertical_alignment="bottom")
        who = names.get(batch.persona, "") if batch.persona else ""
        state = {
            "open": ":green-badge[open]",
            "paused": ":gray-badge[paused]",
            "closed": ":gray-badge[closed]",
        }[batch.state]
        head.markdown(
            f"**{panels.say(batch.name)}** {state}  \n"
            f":small[:gray[{panels.say(', '.join(filter(None, [who, KIND[batch.kind]])))} ·"
            f" {many(batch.comparisons, 'comparison')}, {batch.overlap} each ·"
            f" opened {ago(batch.created_at)}]]"
        )
        key = f"priority-{batch.id}-{batch.priority}"
        priority.number_input(
            "Priority",
            value=batch.priority,
            step=1,
            min_value=-1000,
            max_value=1000,
            key=key,
            on_change=set_priority,
            args=(batch.id, key),
            help="Higher is asked first",
        )
        if batch.state == "open":
            button.button(
                "Pause",
                key=f"pause-{batch.id}",
                on_click=set_state,
                args=(batch.id, "paused"),
                icon=":material/pause:",
                width="stretch",
            )
        else:
            button.button(
                "Open",
                key=f"open-{batch.id}",
                on_click=set_state,
                args=(batch.id, "open"),
                icon=":material/play_arrow:",
                width="stretch",
            )
        if batch.state != "closed":
            button.button(
                "Close",
                key=f"close-{batch.id}",
                on_click=set_state,
                args=(batch.id, "closed"),
                icon=":material/stop_circle:",
                width="stretch",
                type="tertiary",
                help="No more judgments are wanted; it can be opened again",
            )
        counts = [f"{batch.judged:,} of {batch.wanted:,} judgments"]
        if batch.leased:
            counts.append(f"{batch.leased:,} being looked at now")
        if batch.skipped:
            counts.append(many(batch.skipped, "skip"))
        st.progress(min(1.0, batch.judged / max(1, batch.wanted)), text=" · ".join(counts))
        if batch.simulated:
            st.markdown(f":orange-badge[:material/smart_toy: SIMULATED {batch.simulated:,}]")


@st.fragment(run_every=10)
def head() -> None:
    """What is wanted and how long it takes, kept up to date for who may see it."""
    require("admin")
    batches = work_queries.batches()
    opened = [batch for batch in batches if batch.state == "open" and batch.left]
    left = sum(batch.left for batch in opened)
    totals = queries.totals()
    panels.opening(
        "Batches",
        f"{many(left, 'judgment')} wanted in {many(len(opened), 'open batch', 'open batches')}"
        if opened
        else "Nothing is waiting to be judged",
    )
    panels.data_line(
        totals.judgments,
        totals.at,
        simulated=totals.simulated,
        automatic=totals.automatic,
        extra=pace(batches),
    )


@st.fragment(run_every=10)
def body() -> None:
    """Every batch, kept up to date, for as long as its reader may see it."""
    require("admin")
    names = work_queries.personas()
    batches = work_queries.batches()
    said = st.session_state.pop("batches-said", "")
    if said:
        st.error(panels.say(said))
    if not batches:
        panels.empty(
            "No batch yet",
            "A batch is a set of pairs to judge. Generate candidates for a persona, or import;"
            " **New batch** above makes a batch of what is there.",
            "personaloop generate --persona playful_sidekick",
        )
    waiting = [batch for batch in batches if batch.left]
    done = [batch for batch in batches if not batch.left]
    for batch in waiting:
        card(batch, names)
    if done:
        with st.expander(many(len(done), "finished batch", "finished batches")):
            for batch in done:
                card(batch, names)


with panels.live():
    head()
    batch_form.show()
    body()
