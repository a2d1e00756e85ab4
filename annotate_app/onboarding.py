"""What comes before judging, as the pages ask it: guidelines to accept, practice with feedback.

Knows streamlit and the ledger's verbs; decides nothing: ``db.onboarding`` says what is asked.
"""

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from annotate_app.guideline_words import changes_html, guide_html
from annotate_app.panel import answer_panel, given_answer
from annotate_app.panel.answers import TAGS, Status
from annotate_app.persona_card import card_html
from annotate_app.session import me, signed_in
from annotate_app.stage import stage_html
from annotate_app.style import persona_colour
from annotate_app.words import safe_html
from db import guidelines, onboarding, practice
from db.errors import PersonaLoopError
from db.labeling import min_dwell_ms
from db.session import readers, transact

MARK = "practice-"
WORDS = {"a": "A is better", "b": "B is better", "tie": "a tie", "both_bad": "both bad"}


def accept(version: int) -> None:
    """A button's callback: note that the person at this browser goes by a version."""
    person = signed_in()
    if person is None:
        return
    try:
        transact(None, lambda session: guidelines.accept(session, person.id, version))
    except PersonaLoopError as error:
        st.session_state["pl-onboarding-note"] = str(error)


def show_unread(step: onboarding.Step) -> None:
    """The guidelines that are not accepted yet, what changed first, and one button."""
    assert step.unread is not None
    if note := st.session_state.pop("pl-onboarding-note", ""):
        st.info(note)
    if step.accepted is not None:
        with readers()() as session:
            old = guidelines.version(session, step.accepted).text
        if changed := changes_html(old, step.unread.text):
            st.markdown("**What is new**")
            st.html(changed)
    st.subheader("How to judge")
    st.button(
        "I have read this and go by it",
        key=f"accept-{step.unread.version}",
        type="primary",
        shortcut="Enter",
        on_click=accept,
        args=(step.unread.version,),
    )
    st.html(guide_html(step.unread.text))


def invite(step: onboarding.Step, *, judged: int) -> None:
    """One slim line for newcomers: what may be read and practised, and a way to put it away."""
    if st.session_state.get("pl-not-now") or judged >= 10:
        return
    if step.unread is None and not step.may_practise:
        return
    with st.container(key="pl-invite", horizontal=True, vertical_alignment="center"):
        st.html("<p class='pl-quiet-line'>New here?</p>", width="content")
        if step.unread is not None and st.button("How to judge", type="tertiary"):
            st.switch_page("app_pages/guidelines.py")
        if step.may_practise:
            st.button("Practise first", type="tertiary", on_click=start_practice)
        st.button("Not now", type="tertiary", on_click=_put_away)


def who_speaks(slug: str, name: str, summary: str, front_matter: Mapping[str, Any]) -> None:
    """The persona's name, and its card behind a press."""
    dot = f'<span class="pl-dot" style="background:{persona_colour(slug)}"></span>'
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(f'<p class="pl-topline"><strong>{dot}{escape(name)}</strong></p>', width="content")
        with st.popover("Who is this?", type="tertiary"):
            st.html(card_html(name, summary, front_matter))


def start_practice() -> None:
    """From the first practice pair."""
    stop_practice()
    st.session_state["pl-practice"] = 0


def stop_practice() -> None:
    """Back to the real pairs."""
    for name in ("pl-practice", "pl-feedback", "pl-practice-status", "pl-status"):
        st.session_state.pop(name, None)


def practising() -> bool:
    """Whether this browser is in practice."""
    return "pl-practice" in st.session_state


def show_practice(*, must: bool) -> None:
    """One practice pair, or what was answered and why, and the way on."""
    with readers()() as session:
        items = practice.items(session)
        left = practice.next_item(session, me().id)
        speakers = practice.speakers(session, items)
        session.expunge_all()
    at: int = st.session_state.get("pl-practice", 0)
    if must and not practising() and left is not None:
        at = next(index for index, item in enumerate(items) if item.id == left.id)
        st.session_state["pl-practice"] = at
    if at >= len(items):
        st.html(
            '<div class="pl-nothing"><h2>That was practice</h2>'
            "<p>From here on your answers count.</p></div>"
        )
        st.button("Judge the first pair", type="primary", shortcut="Enter", on_click=stop_practice)
        return
    item = items[at]
    speaker = speakers.get(item.persona_slug)
    feedback: practice.Feedback | None = st.session_state.get("pl-feedback")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(
            f"<p class='pl-quiet-line'>Practice {at + 1} of {len(items)}: nothing here counts.</p>",
            width="content",
        )
        if not must:
            st.button("Stop practising", type="tertiary", on_click=stop_practice)
    token = "" if feedback else f"{MARK}{item.id}"
    st.session_state["pl-practice-token"] = token
    with st.container(key="pl-page"):
        with st.container(key="pl-content"):
            if feedback is not None:  # above the texts: a new state starts at the top
                _show_feedback(feedback)
            if speaker is not None:
                who_speaks(speaker.slug, speaker.name, speaker.summary, speaker.front_matter)
            st.html(stage_html(token, item.messages, item.response_a, item.response_b))
        with st.container(key="pl-bar"):
            answer_panel(
                token=token,
                wait_ms=min_dwell_ms(item.response_a, item.response_b),
                can_undo=False,
                changing="",
                status=st.session_state.get("pl-practice-status"),
                on_answer=take_practice,
                practice=True,
            )


def take_practice() -> None:
    """The panel's callback in practice: keep the answer as practice, never as a judgment."""
    answer = given_answer(lambda token: TAGS)
    person = signed_in()
    if answer is None or person is None:
        return
    on_screen: str = st.session_state.get("pl-practice-token", "")
    try:
        if answer.act == "judge" and answer.token and answer.token == on_screen:
            item = int(on_screen.removeprefix(MARK))
            st.session_state["pl-feedback"] = transact(
                None,
                lambda session: practice.answer(session, person.id, item, answer.verdict or ""),
            )
            st.session_state["pl-practice-token"] = ""  # the same sent again is not another answer
            said = Status(answer.id, "note", "")
        elif answer.act == "judge":
            said = Status(answer.id, "note", "")
        else:
            said = Status(answer.id, "note", "In practice there is nothing to skip or take back.")
    except PersonaLoopError as error:
        said = Status(answer.id, "note", str(error))
    st.session_state["pl-practice-status"] = said


def _show_feedback(feedback: practice.Feedback) -> None:
    title = (
        "That is how we see it too."
        if feedback.right
        else f"We see it differently: {WORDS[feedback.expected.value]}."
    )
    st.html(
        f'<div class="pl-text" role="status"><p><strong>{escape(title)}</strong></p>'
        f"{safe_html(feedback.explanation)}</div>"
    )
    st.button("Next", key="practice-next", type="primary", shortcut="Enter", on_click=_go_on)


def _go_on() -> None:
    st.session_state["pl-practice"] = st.session_state.get("pl-practice", 0) + 1
    st.session_state.pop("pl-feedback", None)


def _put_away() -> None:
    st.session_state["pl-not-now"] = True


__all__ = [
    "accept",
    "invite",
    "practising",
    "show_practice",
    "show_unread",
    "start_practice",
    "stop_practice",
]
