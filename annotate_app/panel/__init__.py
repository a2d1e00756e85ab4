"""The answer panel of the label page: buttons, keys, reasons. Knows no database.

Streamlit's own buttons cannot do what labeling needs (measured: two clicks 20 to 400 ms apart
vote twice, a held shortcut fifteen times), so this is one small component. It sends an answer
once, with the assignment's token in it, stays locked until the server has said what became of it,
sends it again while nothing is heard, and keeps drafts through a reload.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import streamlit as st
from streamlit.components.v2 import component

from annotate_app.panel.answers import (
    FLAGS,
    SKIP_REASONS,
    TAGS,
    Answer,
    Status,
    read_answer,
    token_in,
)

HERE = Path(__file__).parent
KEY = "pl-panel"

_component = component(
    "personaloop_answers",
    html=(HERE / "panel.html").read_text(encoding="utf-8"),
    css=(HERE / "panel.css").read_text(encoding="utf-8"),
    js=(HERE / "panel.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def answer_panel(
    *,
    token: str,
    wait_ms: int,
    can_undo: bool,
    changing: str,
    status: Status | None,
    on_answer: Callable[[], None],
    reasons: Sequence[str] = TAGS,
    practice: bool = False,
) -> None:
    """Show the panel.

    Args:
        token: The assignment on screen; empty where there is none (then only undo is offered).
        wait_ms: How long the verdict buttons still wait.
        can_undo: Whether there is something of today to take back.
        changing: What the earlier answer was, in words, where this pair was judged before.
        status: What became of the last answer.
        on_answer: Called before the next run; reads ``given_answer()``.
        reasons: The tags of this pair.
        practice: Only the verdicts: nothing is skipped, taken back or written down.
    """
    _component(
        key=KEY,
        data={
            "token": token,
            "wait_ms": wait_ms,
            "can_undo": can_undo,
            "changing": changing,
            "status": asdict(status) if status else None,
            "tags": list(reasons),
            "flags": list(FLAGS),
            "skip_reasons": list(SKIP_REASONS),
            "practice": practice,
        },
        on_answer_change=on_answer,
    )


def given_answer(reasons_at: Callable[[str], Sequence[str]]) -> Answer | None:
    """The answer that the running callback is about.

    Args:
        reasons_at: The tags that may be given, by the pair's token.
    """
    state = st.session_state.get(KEY)
    value = state.get("answer") if state is not None else None
    return read_answer(value, reasons_at(token_in(value)))
