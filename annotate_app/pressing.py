"""What a press did: done, or said why not, told once after the rerun. Knows no ledger."""

from collections.abc import Callable

import streamlit as st

from annotate_app import findings, panels
from db.errors import PersonaLoopError


class Presses:
    """The presses of one page.

    Args:
        key: where the page keeps what is to be told.
    """

    def __init__(self, key: str) -> None:
        self.key = key

    def attempt(self, work: Callable[[], object], done: str = "") -> None:
        """Do it and say so, or say why not, after the rerun."""
        try:
            work()
        except PersonaLoopError as error:
            st.session_state[self.key] = ("no", findings.sentence(str(error)))
            return
        if done:
            st.session_state[self.key] = ("ok", done)

    def said(self) -> None:
        """What the last press did, once."""
        told = st.session_state.pop(self.key, None)
        if told:
            (st.success if told[0] == "ok" else st.error)(panels.say(told[1]))
