"""Pieces of the Flags page: a flag and a pair that was set aside, each with what can be done.

Knows Streamlit and how a pair is shown. Knows no SQL. Texts are never shown with who wrote them:
an admin may have to judge the pair, or decide it.
"""

import streamlit as st

from annotate_app import desk_actions, panels
from annotate_app.pressing import Presses
from annotate_app.session import acting
from annotate_app.stage import pair_html
from annotate_app.words import ago, many, say
from db.flags import COMMENT, Flagged
from db.set_aside import Waiting

SAID = "flags-said"
LONGEST = 500
"""Characters of what was done about a flag."""


_presses = Presses(SAID)
attempt, said = _presses.attempt, _presses.said


def flag_card(flag: Flagged) -> None:
    """A flag that waits, its pair, and what to do about it."""
    with st.container(border=True, key=f"flag-{flag.id}"):
        st.markdown(_head(flag))
        if flag.note:
            st.markdown(f"“{say(flag.note)}”")
        with st.expander("The pair", expanded=True):
            st.html(pair_html(flag.messages, flag.text_a, flag.text_b))
        with st.form(f"resolve-{flag.id}", border=False):
            st.text_input(
                "What was done about it",
                key=f"words-{flag.id}",
                max_chars=LONGEST,
                placeholder="looked at it, nothing personal in it",
            )
            if flag.open_seats:
                st.checkbox(
                    "Take the pair out of the queue"
                    f" ({many(flag.open_seats, 'judgment')} still wanted; those given stay)",
                    key=f"stop-{flag.id}",
                )
            else:
                panels.quiet("Nobody will be asked about this pair any more.")
            st.form_submit_button(
                "Resolve",
                key=f"done-{flag.id}",
                on_click=_resolve,
                args=(flag.id,),
                icon=":material/check:",
            )


def _resolve(flag_id: int) -> None:
    words = str(st.session_state.get(f"words-{flag_id}", ""))
    stop = bool(st.session_state.get(f"stop-{flag_id}", False))
    attempt(
        lambda: desk_actions.resolve_flag(flag_id, words, stop_asking=stop, actor=acting("admin")),
        "The flag is resolved." + (" The pair is out of the queue." if stop else ""),
    )


def _head(flag: Flagged) -> str:
    what = "comment with a skip" if flag.kind == COMMENT else flag.kind
    colour, icon = ("gray", "chat") if flag.kind == COMMENT else ("red", "flag")
    how = "judged all the same" if flag.judged else "skipped"
    parts = [flag.persona, flag.batch, f"comparison {flag.comparison_id}"]
    return (
        f":{colour}-badge[:material/{icon}: {say(what)}] **{say(flag.by)}**, {how},"
        f" {ago(flag.created_at)}  \n"
        f":small[:gray[{' · '.join(say(part) for part in parts if part)}]]"
    )


def resolved_row(flag: Flagged) -> None:
    """A flag that was put away, its pair folded in."""
    when = ago(flag.resolved_at) if flag.resolved_at else ""
    with st.container(border=True):
        st.markdown(_head(flag))
        if flag.note:
            st.markdown(f"“{say(flag.note)}”")
        st.markdown(
            f":material/check: {say(flag.resolution or '')}"
            f" :small[:gray[{say(flag.resolved_by or '')}, {when}]]"
        )
        with st.expander("The pair"):
            st.html(pair_html(flag.messages, flag.text_a, flag.text_b))


def aside_card(aside: Waiting) -> None:
    """A pair that is shown to nobody until somebody decides here."""
    number = aside.comparison_id
    with st.container(border=True, key=f"aside-{number}"):
        st.markdown(
            f":orange-badge[:material/visibility_off: set aside] **{say(aside.reason)}**,"
            f" {ago(aside.created_at)}  \n"
            f":small[:gray[{say(aside.batch)} · comparison {number}]]"
        )
        st.html(pair_html(aside.messages, aside.text_a, aside.text_b))
        with st.container(horizontal=True):
            st.button(
                "Release",
                key=f"release-{number}",
                on_click=_release,
                args=(number,),
                icon=":material/visibility:",
                help="It names nobody: ask for it after all",
            )
            st.button(
                "Drop",
                key=f"drop-{number}",
                on_click=_drop,
                args=(number,),
                icon=":material/block:",
                help="Never show it",
            )


def _release(number: int) -> None:
    attempt(
        lambda: desk_actions.release(number, actor=acting("admin")),
        f"Comparison {number} is asked again.",
    )


def _drop(number: int) -> None:
    attempt(
        lambda: desk_actions.drop(number, actor=acting("admin")),
        f"Comparison {number} will never be shown.",
    )
