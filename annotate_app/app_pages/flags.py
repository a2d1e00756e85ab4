"""Flags and adjudication: pairs that need an admin, and what was done about them."""

import streamlit as st

from annotate_app import adjudication_part, flag_parts, notices_part, panels
from annotate_app.session import require
from annotate_app.words import many
from db import adjudication, flags, set_aside
from db.session import readers

FLAGS, ASIDE, DECIDE, DONE = "Flags", "Set aside", "Disagreements", "Resolved"
MOST = 20
"""Pairs shown at once; the others come up as these are dealt with."""

person = require("admin")
with readers()() as session:
    flagged = flags.count_waiting(session)
    aside = set_aside.count_waiting(session)
    queue = adjudication.waiting(session)


def finding() -> str:
    """What needs an admin now."""
    parts = []
    if flagged:
        parts.append(f"{many(flagged, 'flag waits', 'flags wait')}")
    if aside:
        parts.append(f"{many(aside, 'pair is', 'pairs are')} set aside")
    if queue:
        parts.append(f"{many(len(queue), 'disagreement', 'disagreements')} to decide")
    return ", ".join(parts) if parts else "Nothing needs you now"


def more(count: int, what: str) -> None:
    """Say that the list goes on."""
    if count > MOST:
        panels.quiet(f"the oldest {MOST} of {count:,}; the others come up as these are {what}")


def show_flags() -> None:
    """Flags that wait."""
    with readers()() as session:
        found = flags.waiting(session, limit=MOST)
    if not found:
        panels.empty(
            "No flag waits",
            "Annotators flag a pair with `f` on the **Label** page: personal data, unsafe, broken."
            " A comment with a skip comes here as well.",
        )
    more(flagged, "resolved")
    for each in found:
        flag_parts.flag_card(each)


def show_aside() -> None:
    """Pairs that name their author."""
    with readers()() as session:
        found = set_aside.waiting(session, MOST)
    if not found:
        panels.empty(
            "No pair is set aside",
            "A pair comes here by itself where a text names who wrote it: shown to annotators, it"
            " would not be blind.",
        )
    more(aside, "released or dropped")
    for each in found:
        flag_parts.aside_card(each)


def show_resolved() -> None:
    """What was done, the latest first."""
    with readers()() as session:
        found = flags.resolved(session, limit=MOST)
        decided = adjudication.decisions(session, limit=MOST)
    if not found and not decided:
        panels.empty("Nothing was resolved yet", "What is done about flags is kept here.")
    if decided:
        st.markdown(f"**The latest decisions** ({len(decided)})")
        st.markdown(
            "\n".join(
                f"- comparison {each.comparison_id} of {panels.say(each.batch)},"
                f" by {panels.say(each.by)} over {many(each.judgments, 'judgment')}"
                + (f": “{panels.say(each.note)}”" if each.note else "")
                for each in decided
            )
        )
    for each in found:
        flag_parts.resolved_row(each)


panels.page("Flags and adjudication")
st.header(panels.say(finding()), anchor=False)
notices_part.show()
flag_parts.said()
opens = next(
    (name for name, n in ((FLAGS, flagged), (ASIDE, aside), (DECIDE, len(queue))) if n), FLAGS
)
shown = st.segmented_control(
    "Show",
    [FLAGS, ASIDE, DECIDE, DONE],
    default=opens,
    required=True,
    key="desk",
    bind="query-params",
    label_visibility="collapsed",
)
if shown == ASIDE:
    show_aside()
elif shown == DECIDE:
    adjudication_part.show(person, queue)
elif shown == DONE:
    show_resolved()
else:
    show_flags()
