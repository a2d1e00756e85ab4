"""Batches: what is being asked, how far it is, and what is asked first."""

from datetime import timedelta

import streamlit as st

from annotate_app import actions, batch_details, batch_form, panels, queries, work_queries
from annotate_app.batch_details import attempt
from annotate_app.session import acting, require
from annotate_app.words import ago, many
from db import pace as db_pace
from db.clock import utcnow
from db.settings import database_url
from preference.finishing import time_to_finish

KIND = {"label": "for training", "blind": "blind comparison", "imported": "imported"}

require("admin")


def set_state(batch_id: int, state: str) -> None:
    """A button's callback."""
    attempt(lambda: actions.set_batch_state(batch_id, state, actor=acting("admin")))


def set_priority(batch_id: int, key: str) -> None:
    """A number field's callback."""
    value = int(st.session_state[key])
    attempt(lambda: actions.set_batch_priority(batch_id, value, actor=acting("admin")))


@st.cache_data(ttl=20.0, max_entries=2, show_spinner=False)
def recent(url: str) -> dict[int, list[float]]:
    """Hours since each recent judgment, by batch; read for all cards together."""
    del url
    return work_queries.read(db_pace.recent)


def time_left(batch) -> str:
    """When an open batch will be done at its own pace, with a range; or that it cannot be told."""
    if batch.state != "open" or not batch.left:
        return ""
    told = time_to_finish(recent(database_url()).get(batch.id, []), batch.left)
    return db_pace.in_words(told)


def card(batch, names) -> None:
    """One batch with its bar, its counts and its switches."""
    with st.container(border=True):
        head, priority = st.columns([7, 2], vertical_alignment="bottom")
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
            f"{' for named people only ·' if batch.named_only else ''}"
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
        counts = [f"{batch.judged:,} of {batch.wanted:,} judgments"]
        if batch.leased:
            counts.append(f"{batch.leased:,} being looked at now")
        if batch.skipped:
            counts.append(many(batch.skipped, "skip"))
        st.progress(min(1.0, batch.judged / max(1, batch.wanted)), text=" · ".join(counts))
        if told := time_left(batch):
            panels.quiet(f":material/schedule: {panels.say(told)}")
        if batch.simulated:
            st.markdown(f":orange-badge[:material/smart_toy: SIMULATED {batch.simulated:,}]")
        if switches(batch):
            batch_details.show(batch)


def switches(batch) -> bool:
    """The row of what can be done with a batch; whether its details are open."""
    with st.container(horizontal=True, vertical_alignment="center", key=f"row-{batch.id}"):
        opened = batch.state == "open"
        st.button(
            "Pause" if opened else "Open",
            key=f"{'pause' if opened else 'open'}-{batch.id}",
            on_click=set_state,
            args=(batch.id, "paused" if opened else "open"),
            icon=":material/pause:" if opened else ":material/play_arrow:",
        )
        if batch.state != "closed":
            st.button(
                "Close",
                key=f"close-{batch.id}",
                on_click=set_state,
                args=(batch.id, "closed"),
                icon=":material/stop_circle:",
                help="No more judgments are wanted; it can be opened again",
            )
        return st.toggle("Order, people, pairs in hand", key=f"details-{batch.id}")


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
        extra=f"{queries.judged_since(utcnow() - timedelta(days=1)):,} by people in the last day",
    )


@st.fragment(run_every=10)
def body() -> None:
    """Every batch, kept up to date, for as long as its reader may see it."""
    require("admin")
    names = work_queries.personas()
    batches = work_queries.batches()
    batch_details.said()
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
