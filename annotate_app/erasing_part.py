"""Erasing a person on request: choose, type the name, press. Knows Streamlit; the rest is db's."""

import streamlit as st

from annotate_app import desk_actions, findings, panels
from annotate_app.session import Me, acting
from annotate_app.views import PersonView
from annotate_app.words import many
from db.erasing import STAYS
from db.errors import PersonaLoopError

SAID, WHO, TYPED, KEEP = "erase-said", "erase-who", "erase-typed", "erase-keep"


def show(me: Me, everybody: list[PersonView]) -> None:
    """The folded form; nobody can erase themselves."""
    told = st.session_state.pop(SAID, None)
    if told:
        (st.success if told[0] == "ok" else st.error)(panels.say(told[1]))
    names = [one.name for one in everybody if one.id != me.id]
    if not names:
        return
    with st.expander("Erase somebody who asks for it", icon=":material/person_remove:"):
        st.markdown(
            "Their name becomes a pseudonym, their comments are blanked and every way in is taken"
            " away. Their verdicts and all counts stay. **This cannot be undone.**"
        )
        panels.quiet(panels.say(STAYS))
        name = st.selectbox("Who", names, index=None, key=WHO, placeholder="choose a person")
        if name is None:
            return
        judged = next(one.judged for one in everybody if one.name == name)
        st.checkbox("Keep their comments; only the name goes", key=KEEP)
        typed = st.text_input(
            f"Type {panels.say(name)} to confirm; {many(judged, 'judgment')} will stay", key=TYPED
        )
        st.button(
            "Erase",
            key="erase",
            on_click=_erase,
            args=(name,),
            disabled=typed.strip() != name,
            icon=":material/delete_forever:",
        )


def _erase(name: str) -> None:
    keep = bool(st.session_state.get(KEEP, False))
    try:
        if str(st.session_state.get(TYPED, "")).strip() != name:
            return
        done = desk_actions.erase(name, keep_comments=keep, actor=acting("admin"))
    except PersonaLoopError as error:
        st.session_state[SAID] = ("no", findings.sentence(str(error)))
        return
    st.session_state[SAID] = ("ok", f"Erased; now called {done.in_words()}")
    st.session_state[WHO], st.session_state[TYPED] = None, ""
