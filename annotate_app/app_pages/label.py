"""The label page: one conversation, two replies, one answer."""

from html import escape

import streamlit as st

from annotate_app import onboarding, panels
from annotate_app.labeling import (
    CHANGING,
    away_words,
    claim_pair,
    first_pairs_words,
    handle_answer,
    keep_pair,
    nothing_words,
    progress_words,
    reasons_at,
    wait_ms,
)
from annotate_app.panel import answer_panel, given_answer
from annotate_app.panel.answers import TAGS, Status, reasons_of
from annotate_app.persona_card import card_html
from annotate_app.session import day_began, me, signed_in
from annotate_app.stage import stage_html
from annotate_app.style import page, persona_colour
from annotate_app.words import many, safe_html
from db import returns
from db.errors import Busy, Paused, PersonaLoopError
from db.labeling import Shown, my_day
from db.onboarding import step as onboarding_step
from db.session import readers


def take_answer() -> None:
    """Store what the panel sent, before anything new is shown. Safe to run again for the same."""
    answer = given_answer(reasons_at)
    person = signed_in()
    if answer is None or person is None:
        return
    told: dict[str, Status] = st.session_state.setdefault("pl-told", {})
    said = told.get(answer.id)
    if said is None or said.kind == "retry":
        done = handle_answer(
            answer,
            person.id,
            on_screen=st.session_state.get("pl-token", ""),
            since=day_began(),
        )
        # Sent again during a slow save it runs beside itself: what was saved is what is said.
        # A plain dict, because at session_state a waiting rerun would end this callback.
        first = told.get(answer.id)
        said = first if first is not None and first.kind == "saved" else done
        told.clear()
        told[answer.id] = said
    st.session_state["pl-status"] = said


@st.fragment(run_every=60)
def stay_alive(token: str, annotator_id: int) -> None:
    """Renew the lease while the page lives; start over where it is gone or the person is."""
    if st.session_state.pop("pl-claimed", "") == token:
        return  # a run of the whole page has just claimed it
    words = "" if signed_in() is None else away_words(token, annotator_id)
    if words is not None:
        st.session_state["pl-away"] = words
        st.rerun(scope="app")


def come_back() -> None:
    """The person is here again: the next run hands them a pair."""
    st.session_state["pl-away"] = ""


@st.fragment(run_every=4)
def look_again(annotator_id: int) -> None:
    """Show the first pair as soon as there is one."""
    try:
        found = signed_in() is None or claim_pair(annotator_id) is not None
    except (Busy, Paused):
        return  # looks again in four seconds
    except PersonaLoopError:
        found = True  # the page says why
    if found:
        st.rerun(scope="app")


person = me()
page("Label", heading=False)
with readers()() as session:
    step = onboarding_step(session, person.id)
    session.expunge_all()
in_hand: str = st.session_state.get("pl-token", "")
if step.must and not (in_hand and keep_pair(in_hand, person.id)):  # a pair in hand comes first
    st.session_state["pl-token"] = ""
    if step.must_read:
        onboarding.show_unread(step)
    else:
        onboarding.show_practice(must=True)
    st.stop()
if onboarding.practising():
    onboarding.show_practice(must=False)
    st.stop()
if st.session_state.get("pl-away"):  # a forgotten page takes no pair by itself
    st.session_state["pl-token"] = ""
    st.info(st.session_state["pl-away"])
    st.button("Go on judging", type="primary", on_click=come_back)
    st.stop()
try:
    shown = claim_pair(person.id)
except Busy:
    st.info("Many people are saving at this moment. Nothing is lost; trying again by itself.")
    look_again(person.id)
    st.stop()
except Paused as error:
    st.session_state["pl-token"] = ""
    st.info(str(error))
    look_again(person.id)  # goes on by itself once somebody resumes them
    st.stop()
except PersonaLoopError as error:
    st.info(str(error))
    st.stop()
with readers()() as session:
    day = my_day(session, person.id, since=day_began())
    came_back = returns.count(session, person.id)


def show_nothing() -> None:
    """Why there is no pair, and what happens next."""
    first = first_pairs_words()
    if "being written" in first:
        title = "Almost ready"
    else:
        title = "All done for now" if day.judged_total else "Nothing to judge yet"
    words = first or nothing_words(person.id)
    st.html(f'<div class="pl-nothing"><h2>{title}</h2><p>{escape(words)}</p></div>')
    st.empty()  # takes the place of the last pair at once, not at the end of this run


def show_pair(pair: Shown) -> None:
    """Who should be speaking, how far the day has come, and the pair itself."""
    name = escape(pair.persona_name) or "Which reply is better?"
    dot = f'<span class="pl-dot" style="background:{persona_colour(pair.persona_slug)}"></span>'
    with st.container(key="pl-head", horizontal=True, vertical_alignment="center"):
        st.html(
            f'<p class="pl-topline"><strong>{dot if pair.persona_name else ""}{name}</strong></p>',
            width="content",
        )
        if pair.persona_name:
            with st.popover("Who is this?", type="tertiary"):
                st.html(card_html(pair.persona_name, pair.persona_summary, pair.persona_card))
        if pair.rubric:
            with st.popover("What to look at", type="tertiary"):
                st.html(f'<div class="pl-text">{safe_html(pair.rubric)}</div>')
        st.html(f'<p class="pl-progress">{progress_words(day, holding=True)}</p>')
    st.html(stage_html(pair.token, pair.messages, pair.response_a, pair.response_b))


token = shown.token if shown else ""
st.session_state["pl-token"] = token
with st.container(key="pl-page"):
    with st.container(key="pl-content"):  # so that the bar is always the second thing here
        if came_back:
            panels.link(
                "my_history",
                f"{many(came_back, 'answer')} came back to you with a note: see My history",
                ":material/undo:",
            )
        if shown is None:
            show_nothing()
        else:
            onboarding.invite(step, judged=day.judged_total)
            show_pair(shown)
    with st.container(key="pl-bar"):
        answer_panel(
            token=token,
            wait_ms=wait_ms(shown),
            can_undo=day.judged_today > 0,
            changing=CHANGING if shown and shown.revising else "",
            status=st.session_state.get("pl-status"),
            on_answer=take_answer,
            reasons=reasons_of(shown.persona_card) if shown else TAGS,
        )

if shown is None:
    look_again(person.id)
else:
    st.session_state["pl-claimed"] = token
    stay_alive(token, person.id)
