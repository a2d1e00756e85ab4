"""What can be changed of one batch, folded under its card: how it asks, for whom, who holds what.

Read only while it is open. Knows Streamlit; what each change does is the ledger's.
"""

import streamlit as st

from annotate_app import desk_actions, panels, work_queries
from annotate_app.batch_form import STRATEGIES
from annotate_app.pressing import Presses
from annotate_app.session import acting
from annotate_app.views import BatchView
from annotate_app.words import ago, many
from db import reassigning
from db.batch_making import MOST_OVERLAP

SAID = "batches-said"
MOST_HELD = 20
"""Pairs in hand that are listed; the longest held come first."""


_presses = Presses(SAID)
attempt, said = _presses.attempt, _presses.said


def show(batch: BatchView) -> None:
    """Order, judgments a pair, for whom, and what is in hand."""
    _how(batch)
    _for_whom(batch)
    _in_hand(batch)


def _how(batch: BatchView) -> None:
    order, wanted, extra = st.columns([3, 2, 2], vertical_alignment="bottom")
    key = f"strategy-{batch.id}-{batch.strategy}"
    order.selectbox(
        "Asked first",
        list(STRATEGIES),
        index=list(STRATEGIES).index(batch.strategy),
        format_func=STRATEGIES.__getitem__,
        key=key,
        on_change=_order,
        args=(batch.id, key),
    )
    keys = f"overlap-{batch.id}-{batch.overlap}", f"extra-{batch.id}-{batch.extra_overlap}"
    wanted.number_input(
        "Judgments a pair",
        1,
        MOST_OVERLAP,
        batch.overlap,
        key=keys[0],
        on_change=_ask_for,
        args=(batch.id, *keys),
    )
    extra.number_input(
        "Extra where they disagree",
        0,
        MOST_OVERLAP,
        batch.extra_overlap,
        key=keys[1],
        on_change=_ask_for,
        args=(batch.id, *keys),
    )
    ranked = f"put in this order {ago(batch.ranked_at)}" if batch.ranked_at else "never ranked"
    itself = (
        "; a worker ranks it again after each 20 judgments"
        if batch.strategy == "informative"
        else ""
    )
    words, button = st.columns([7, 3], vertical_alignment="center")
    words.markdown(f":small[:gray[{panels.say(ranked + itself)}]]")
    button.button(
        "Rank now",
        key=f"rank-{batch.id}",
        on_click=_order,
        args=(batch.id, ""),
        icon=":material/sort:",
        width="stretch",
    )


def _for_whom(batch: BatchView) -> None:
    names = work_queries.who_can_sign_in()
    chosen = work_queries.read(lambda session: reassigning.named_for(session, batch.id))
    key = f"for-{batch.id}-{'|'.join(chosen)}"
    whom, button = st.columns([7, 3], vertical_alignment="bottom")
    whom.multiselect(
        "Only for",
        sorted({*names, *chosen}),
        default=chosen,
        key=key,
        placeholder="everybody",
        help="What is left goes to these people; what others hold of it goes back to the queue",
    )
    asked = list(st.session_state.get(key, chosen))
    button.button(
        "Give it to them" if asked else "Give it to everybody",
        key=f"give-rest-{batch.id}",
        on_click=_give_rest,
        args=(batch, key),
        disabled=sorted(asked) == sorted(chosen),
        icon=":material/group:",
        width="stretch",
    )


def _in_hand(batch: BatchView) -> None:
    held = work_queries.read(lambda session: reassigning.held(session, batch.id))
    if not held:
        panels.quiet("Nobody holds a pair of it now.")
        return
    st.markdown(f"**{many(len(held), 'pair')} in hand**")
    free = work_queries.who_can_sign_in()
    for each in held[:MOST_HELD]:
        since = ago(each.leased_at)
        state = f"since {since}" if each.opened else f"given {since}, not opened yet"
        who, to, back = st.columns([4, 3, 3], vertical_alignment="center")
        who.markdown(
            f"{panels.say(each.annotator)}  \n"
            f":small[:gray[comparison {each.comparison_id}, {panels.say(state)}]]"
        )
        key = f"give-{each.comparison_id}-{each.annotator}"
        to.selectbox(
            f"Give comparison {each.comparison_id} to",
            [name for name in free if name != each.annotator],
            index=None,
            placeholder="give it to …",
            key=key,
            label_visibility="collapsed",
            on_change=_give,
            args=(each, key),
        )
        back.button(
            "Take back",
            key=f"take-{each.comparison_id}-{each.annotator}",
            on_click=_take_back,
            args=(batch.id, each),
            icon=":material/undo:",
            width="stretch",
        )
    if len(held) > MOST_HELD:
        panels.quiet(
            f"and {many(len(held) - MOST_HELD, 'more', 'more')}: `personaloop batches held`"
        )


def _order(batch_id: int, key: str) -> None:
    strategy = str(st.session_state[key]) if key else None
    attempt(lambda: desk_actions.order_batch(batch_id, strategy, actor=acting("admin")))


def _ask_for(batch_id: int, overlap: str, extra: str) -> None:
    wanted, more = int(st.session_state[overlap]), int(st.session_state[extra])
    attempt(lambda: desk_actions.ask_for(batch_id, wanted, more, actor=acting("admin")))


def _give_rest(batch: BatchView, key: str) -> None:
    names = list(st.session_state[key])
    attempt(
        lambda: desk_actions.give_rest(batch.id, names, actor=acting("admin")),
        f"{batch.name} is for {', '.join(names) or 'everybody'} from now on.",
    )


def _give(held: reassigning.Held, key: str) -> None:
    name = st.session_state[key]
    if name is None:
        return
    st.session_state[key] = None
    attempt(
        lambda: desk_actions.give(
            held.comparison_id, str(name), from_=held.annotator, actor=acting("admin")
        ),
        f"It is the next pair on {name}'s page, and goes back to the queue after a day.",
    )


def _take_back(batch_id: int, held: reassigning.Held) -> None:
    attempt(
        lambda: desk_actions.take_back(
            batch_id, held.comparison_id, held.annotator, actor=acting("admin")
        ),
        f"Taken back from {held.annotator}; it goes to whoever comes next.",
    )
