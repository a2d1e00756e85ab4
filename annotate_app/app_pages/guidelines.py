"""How to judge: the current guidelines, what changed, practice; admins write the next version."""

import streamlit as st

from annotate_app.guideline_words import changes_html, guide_html
from annotate_app.onboarding import accept, start_practice
from annotate_app.session import acting, me
from annotate_app.style import page
from annotate_app.words import ago, say
from db import guidelines, onboarding, practice
from db.errors import PersonaLoopError
from db.session import readers, transact


def publish() -> None:
    """The button's callback."""
    try:
        author = acting("admin")
        text = st.session_state.get("guide-draft", "")
        made = transact(None, lambda session: guidelines.publish(session, text, author).version)
        st.session_state["guide-said"] = f"Version {made} is published."
    except PersonaLoopError as error:
        st.session_state["guide-said"] = str(error)


def ask() -> None:
    """The two choices' callback."""
    try:
        actor = acting("admin")
        transact(
            None,
            lambda session: onboarding.require(
                session,
                actor=actor,
                guidelines=st.session_state["ask-guidelines"],
                practice=st.session_state["ask-practice"],
            ),
        )
    except PersonaLoopError as error:
        st.session_state["guide-said"] = str(error)


def practise() -> None:
    """The button's callback."""
    start_practice()
    st.session_state["pl-go-practice"] = True


person = me()
if st.session_state.pop("pl-go-practice", False):
    st.switch_page("app_pages/label.py")
page("How to judge")
if said := st.session_state.pop("guide-said", ""):
    st.info(said)
with readers()() as session:
    newest = guidelines.current(session)
    step = onboarding.step(session, person.id)
    asked = onboarding.asked(session)
    old = guidelines.version(session, step.accepted) if step.accepted is not None else None
    some_practice = onboarding.asked(session, person.id).practice != "off" and bool(
        practice.items(session)
    )
    session.expunge_all()

if newest is None:
    st.write("No guidelines have been written yet. `personaloop init` loads the first ones.")
else:
    st.caption(f"Version {newest.version}, published {ago(newest.created_at)}")
    with st.container(horizontal=True):
        if step.unread is not None:
            st.button(
                "I have read this and go by it",
                type="primary",
                on_click=accept,
                args=(newest.version,),
            )
        if some_practice:
            st.button("Practise", on_click=practise)
    if step.unread is not None and old is not None:
        with st.expander(f"What changed since version {old.version}", expanded=True):
            st.html(changes_html(old.text, newest.text))
    st.html(guide_html(newest.text))

if person.may("admin"):
    with st.expander("Write the next version"):
        draft = st.text_area(
            "Guidelines (Markdown)",
            value=newest.text if newest else "",
            height=320,
            key="guide-draft",
        )
        st.markdown("**Preview**")
        st.html(guide_html(draft))
        st.button("Publish", type="primary", on_click=publish)
        st.caption(
            "Everybody is shown the new version at their next pair; nothing in hand is lost."
        )
    with st.expander("Before evaluators judge"):
        st.selectbox(
            "Accepting the guidelines is",
            onboarding.GUIDELINES,
            index=onboarding.GUIDELINES.index(asked.guidelines),
            key="ask-guidelines",
            on_change=ask,
        )
        st.selectbox(
            "Practice is",
            onboarding.PRACTICE,
            index=onboarding.PRACTICE.index(asked.practice),
            key="ask-practice",
            on_change=ask,
        )
        st.caption(say("Analysts and admins are never held up."))
