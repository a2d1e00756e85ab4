"""Open notices as lines that an admin can put away. Knows no reason for any of them."""

import streamlit as st

from annotate_app import desk_actions, panels, work_queries
from annotate_app.session import acting
from annotate_app.words import ago, say
from db import notices
from db.errors import PersonaLoopError
from db.models import Notice
from db.session import readers

MOST = 5
"""Notices shown at once; the others come up as these are put away."""


def _put_away(notice_id: int) -> None:
    try:
        desk_actions.put_away(notice_id, actor=acting("admin"))
    except PersonaLoopError as error:
        st.session_state["notices-said"] = str(error)


def show(*kinds: str) -> None:
    """What nobody has put away yet, newest first; of these kinds, or all. Nothing where none is."""
    if said := st.session_state.pop("notices-said", ""):
        st.error(panels.say(said))
    with readers()() as session:
        found = [each for each in notices.open_(session) if not kinds or each.kind in kinds]
    if not found:
        return
    names = {f"annotator {one.id}": one.name for one in work_queries.people()}
    for each in found[:MOST]:
        _row(each, names.get(each.subject, each.subject))
    if len(found) > MOST:
        panels.quiet(f"and {len(found) - MOST:,} more notices")


def _row(notice: Notice, subject: str) -> None:
    with st.container(border=True, key=f"notice-{notice.id}"):
        words, button = st.columns([8, 2], vertical_alignment="center")
        words.markdown(
            f":material/notifications: **{say(subject)}** {say(notice.text)}"
            f" :small[:gray[{ago(notice.created_at)}]]"
        )
        button.button(
            "Put away",
            key=f"put-away-{notice.id}",
            on_click=_put_away,
            args=(notice.id,),
            width="stretch",
        )
