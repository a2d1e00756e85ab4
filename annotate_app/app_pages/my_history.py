"""What I judged: every answer of mine, newest first, any of them open to change."""

from collections.abc import Callable

import streamlit as st
from sqlalchemy.orm import Session

from annotate_app import coming_back
from annotate_app.labeling import added_words, days_words, verdict_words
from annotate_app.session import day_began, me
from annotate_app.stage import pair_html
from annotate_app.style import page
from annotate_app.words import ago, clip, many, say
from db import labeling, returns
from db.errors import PersonaLoopError
from db.labeling import Past, Shown, my_day, my_history
from db.returns import Returned
from db.second_thoughts import revise_repeat
from db.session import readers, transact

STEP = 25


def change(past: Past) -> None:
    """Put an earlier pair on the table again; the old answer stands until the new one."""
    if past.is_repeat:
        open_again(lambda session: revise_repeat(session, me().id, past.token))
    else:
        open_again(lambda session: labeling.revise(session, me().id, past.judgment_id))


def revise(returned: Returned) -> None:
    """Put a pair that came back on the table again."""
    open_again(lambda session: labeling.revise(session, me().id, returned.judgment_id))


def open_again(work: Callable[[Session], Shown]) -> None:
    """Do it and go to the label page, or say why not."""
    try:
        transact(None, work)
    except PersonaLoopError as error:
        st.session_state["pl-history-note"] = str(error)
    else:
        st.session_state["pl-go-label"] = True


def show_returned(returned: list[Returned]) -> None:
    """Answers that came back with a note, oldest first, each with the way to give it anew."""
    if not returned:
        return
    st.subheader(f"{many(len(returned), 'answer')} to look at again", anchor=False)
    st.markdown("Each still counts as it is until you revise it.")
    for each in returned:
        with st.container(border=True):
            st.markdown(
                f"“{say(clip(each.note, 600))}”  \n"
                f":small[:gray[{say(clip(each.question, 90))} · came back {ago(each.created_at)}]]"
            )
            st.button(
                "Revise",
                key=f"revise-{each.token[:16]}",
                on_click=revise,
                args=(each,),
                type="primary",
            )


person = me()
if st.session_state.pop("pl-go-label", False):
    st.switch_page("app_pages/label.py")
page("My history")
coming_back.show(me())
shown = st.session_state.setdefault("pl-history-shown", STEP)
with readers()() as session:
    day = my_day(session, person.id, since=day_began())
    past = my_history(session, person.id, shown + 1)
    returned = returns.waiting(session, person.id)

if note := st.session_state.pop("pl-history-note", ""):
    st.info(note)
if not past:
    st.write(
        "You have not judged a pair yet. Your answers will be listed here, to look up or change."
    )
    if st.button("Judge the first pair"):
        st.switch_page("app_pages/label.py")
    st.stop()

show_returned(returned)
st.write(days_words(day))
for each in past[:shown]:
    question = clip(str(each.messages[-1].get("content", "")) if each.messages else "", 90)
    title = f"**{verdict_words(each)}** · {say(question)} · {ago(each.created_at)}"
    if not each.stands:
        title = f"{title} · _changed or taken back_"
    with st.expander(title):
        st.html(pair_html(each.messages, each.response_a, each.response_b))
        if said := added_words(each):
            st.markdown("You added: " + say(", ".join(said)))
        if each.stands:
            st.button(
                "Change this answer",
                key=f"change-{each.token[:16]}",
                on_click=change,
                args=(each,),
            )
if len(past) > shown and st.button("Show earlier ones"):
    st.session_state["pl-history-shown"] = shown + STEP
    st.rerun()
