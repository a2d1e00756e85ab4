"""Tells whoever came by a one-time link, once, how to come back without asking for another.

Put away, it stays away in every browser: that is a notice of this person, seen. Knows Streamlit.
"""

import streamlit as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotate_app import panels
from annotate_app.session import Me, me
from db import notices
from db.models import AnnotatorKind, Identity, Notice, Password
from db.session import readers, transact

KIND = "come back"
"""The kind of the notice by which it is known that somebody put this away."""


def show(person: Me) -> None:
    """The line and its two buttons, for who has no way back yet and has not put it away."""
    if person.kind is not AnnotatorKind.HUMAN or person.by_provider:
        return
    with readers()() as session:
        if not _wanted(session, person.id):
            return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="come-back"):
        st.markdown(
            "You came by a link that works once. **Set a password**, and you can sign in again from"
            " any browser."
        )
        panels.link("account", "Set a password", ":material/key:")
        st.button("Not now", key="come-back-away", on_click=_put_away)


def _wanted(session: Session, annotator_id: int) -> bool:
    """Whether no password, no account at a provider and no earlier "not now" is known."""
    subject = f"annotator {annotator_id}"
    ways = (
        select(Password.annotator_id).where(Password.annotator_id == annotator_id),
        select(Identity.id).where(Identity.annotator_id == annotator_id),
        select(Notice.id).where(Notice.kind == KIND, Notice.subject == subject),
    )
    return all(session.scalar(each.limit(1)) is None for each in ways)


def _put_away() -> None:
    person = me()

    def work(session: Session) -> None:
        told = notices.tell(session, KIND, f"annotator {person.id}", "put a password off")
        notices.put_away(session, told.id, person.name)

    transact(None, work)
