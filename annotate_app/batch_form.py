"""The form that makes a batch, with what it would ask counted while it is filled in.

Knows Streamlit and the plan of a batch. Which pairs a plan gives is ``db.batch_making``'s.
"""

from dataclasses import dataclass, replace

import streamlit as st
from sqlalchemy import select

from annotate_app import desk_actions, findings, panels, work_queries
from annotate_app.session import acting
from annotate_app.words import many
from db import batch_making
from db.batch_making import MOST_OVERLAP, BatchPlan, Preview
from db.errors import PersonaLoopError
from db.models import Prompt
from db.session import readers
from db.settings import database_url

SAID, NAME, OPENED = "batch-form-said", "batch-name", "new"
UNNAMED = "a batch without a name yet"
SPLITS = {
    "": "all but held-out",
    "loop": "loop",
    "imported": "imported",
    "heldout": "held-out: a blind comparison, never trained on",
}
STRATEGIES = {
    "informative": "what teaches most, first",
    "random": "by chance",
    "listed": "in the order they were made",
}


@dataclass(frozen=True)
class Choices:
    """What prompts and candidates there are to choose from."""

    adapters: tuple[str, ...]
    journeys: tuple[str, ...]
    tags: tuple[str, ...]


@st.cache_data(ttl=10.0, max_entries=16, show_spinner=False)
def _choices(url: str, persona: str) -> Choices:
    with readers(url)() as session:
        journeys = select(Prompt.journey).where(Prompt.journey.is_not(None)).distinct()
        tagged = session.scalars(select(Prompt.tags).distinct())
        return Choices(
            adapters=tuple(batch_making.adapters_with_candidates(session, persona)),
            journeys=tuple(sorted(filter(None, session.scalars(journeys)))),
            tags=tuple(sorted({str(tag) for tags in tagged for tag in tags or ()})),
        )


@st.cache_data(ttl=10.0, max_entries=16, show_spinner=False)
def _preview(url: str, plan: BatchPlan) -> Preview:
    with readers(url)() as session:
        return batch_making.preview(session, plan)


def show() -> None:
    """The switch that opens the form, and the form."""
    told = st.session_state.pop(SAID, None)
    if told:
        (st.success if told[0] == "ok" else st.error)(panels.say(told[1]))
    if not st.toggle("New batch", key=OPENED, bind="query-params"):
        return
    names = work_queries.personas()
    if not names:
        panels.empty("No persona yet", "A batch compares candidates of a persona.")
        return
    with st.container(border=True, key="batch-form"):
        plan = _fields(names)
        _finish(plan)


def _fields(names: dict[str, str]) -> BatchPlan:
    left, right = st.columns([3, 2])
    name = left.text_input("Name", key=NAME, max_chars=160, placeholder="winter, tone of refunds")
    persona = right.selectbox("Persona", list(names), format_func=names.__getitem__)
    there = _choices(database_url(), persona)
    adapters = st.multiselect(
        "Adapters",
        there.adapters,
        key=f"batch-adapters-{persona}",
        placeholder="every adapter that has candidates",
        help="Two or more are compared with each other, one with itself",
    )
    one, two, three, four = st.columns(4)
    split = one.selectbox("Prompts", list(SPLITS), format_func=SPLITS.__getitem__)
    journey = two.selectbox("Journey", there.journeys, index=None, placeholder="any")
    tag = three.selectbox("Tag", there.tags, index=None, placeholder="any")
    most = four.number_input("At most, pairs", min_value=1, value=None, step=10, placeholder="all")
    one, two, three, four = st.columns(4)
    overlap = one.number_input("Judgments a pair", 1, MOST_OVERLAP, 1)
    extra = two.number_input(
        "Extra where they disagree",
        0,
        MOST_OVERLAP,
        0,
        help="Judgments that may be added to a pair",
    )
    gold = three.number_input("Gold, %", 0, 50, 0, help="Of what each person is asked")
    repeat = four.number_input("Repeats, %", 0, 50, 0, help="Own earlier pairs, asked once more")
    one, two, three = st.columns([2, 1, 1])
    strategy = one.selectbox("Asked first", list(STRATEGIES), format_func=STRATEGIES.__getitem__)
    share = two.number_input(
        "Of these by chance, %", 0, 100, 20, disabled=strategy != "informative"
    )
    priority = three.number_input(
        "Priority", -1000, 1000, 0, key="batch-priority", help="Higher is asked first"
    )
    annotators = st.multiselect(
        "Only for",
        [one.name for one in work_queries.people() if one.active and one.kind == "human"],
        placeholder="everybody",
    )
    rubric = st.text_area("What to look at (Markdown)", max_chars=5000, height=90)
    opened = st.toggle("Hand it out at once", value=True)
    return BatchPlan(
        name=name.strip(),
        persona=persona,
        adapters=tuple(adapters),
        split=split or None,
        journey=journey,
        tag=tag,
        most=None if most is None else int(most),
        overlap=int(overlap),
        extra_overlap=int(extra),
        strategy=strategy,
        random_share=share / 100,
        gold_rate=gold / 100,
        repeat_rate=repeat / 100,
        rubric=rubric,
        annotators=tuple(annotators),
        priority=int(priority),
        open=opened,
    )


def _finish(plan: BatchPlan) -> None:
    """What it would ask, and the button."""
    try:
        asks = _preview(database_url(), plan if plan.name else replace(plan, name=UNNAMED))
    except PersonaLoopError as error:
        st.warning(panels.say(findings.sentence(str(error))))
        asks = None
    if asks is not None:
        st.markdown(f"**{_asks_words(asks)}**")
        if not asks.comparisons:
            panels.quiet(
                "There is nothing to compare: choose other adapters or prompts, or generate more"
                " candidates (`personaloop generate`)."
            )
    if not plan.name:
        panels.quiet("Give it a name to make it.")
    st.button(
        "Make the batch",
        key="make-batch",
        type="primary",
        icon=":material/add:",
        disabled=not plan.name or asks is None or not asks.comparisons,
        on_click=_make,
        args=(plan,),
    )


def _asks_words(asks: Preview) -> str:
    alike = f"; {many(asks.alike, 'pair')} left out as alike" if asks.alike else ""
    return (
        f"{many(asks.comparisons, 'comparison')} on {many(asks.prompts, 'prompt')},"
        f" {many(asks.judgments, 'judgment')} in all{alike}"
    )


def _make(plan: BatchPlan) -> None:
    try:
        made = desk_actions.make_batch(plan, actor=acting("admin"))
    except PersonaLoopError as error:
        st.session_state[SAID] = ("no", findings.sentence(str(error)))
        return
    state = "It is open." if plan.open else "It is paused."
    st.session_state[SAID] = ("ok", f"{made.name} is made: {_asks_words(made.asks)}. {state}")
    st.session_state[NAME] = ""
    st.session_state[OPENED] = False
