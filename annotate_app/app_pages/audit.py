"""Audit: who did what, to what, when. Newest first; what is looked for is in the address."""

import json
from datetime import timedelta
from math import ceil

import streamlit as st

from annotate_app import panels
from annotate_app.frames import Frame, pd
from annotate_app.session import require
from annotate_app.words import ago, clip, many, say
from db import audit
from db.clock import utcnow
from db.models import AuditEntry
from db.session import readers

ANY = "any"
SINCE = {"ever": None, "24 hours": 1, "7 days": 7, "30 days": 30}
PAGE = 50
MOST_IN_A_FILE = 20_000

require("admin")


def first_page() -> None:
    """Another list begins at its beginning."""
    st.session_state["page"] = 1


def choose(actors: list[str], acts: list[str]) -> audit.Asked:
    """The row of filters."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        actor, act = (
            st.selectbox(
                label,
                [ANY, *options],
                key=key,
                bind="query-params",
                on_change=first_page,
                width=200,
            )
            for label, key, options in (("Who", "who", actors), ("Did what", "act", acts))
        )
        since = st.selectbox(
            "In the last",
            list(SINCE),
            key="since",
            bind="query-params",
            on_change=first_page,
            width=120,
        )
        subject = st.text_input(
            "To what",
            key="subject",
            bind="query-params",
            on_change=first_page,
            type="search",
            max_chars=200,
            width=220,
        )
    days = SINCE[since]
    return audit.Asked(
        actor=None if actor == ANY else actor,
        act=None if act == ANY else act,
        subject=(subject or "").strip(),
        since=None if days is None else utcnow() - timedelta(days=days),
    )


def line(entry: AuditEntry) -> str:
    """One act in Markdown."""
    detail = ", ".join(f"{name}: {worth(value)}" for name, value in (entry.detail or {}).items())
    about = f" · {say(entry.subject)}" if entry.subject else ""
    more = f"  \n:small[{say(clip(detail, 300))}]" if detail else ""
    at = f"{ago(entry.created_at)}, {entry.created_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"**{say(entry.actor)}** {say(entry.act)}{about} :small[:gray[{at}]]{more}"


def worth(value: object) -> str:
    """A detail's value in words; what has parts as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def table(asked: audit.Asked, *, flat: bool) -> Frame:
    """The acts that are asked for as rows; a detail as text where a file has cells only."""
    with readers()() as session:
        found = audit.rows(audit.entries(session, asked, limit=MOST_IN_A_FILE))
    for each in found if flat else ():
        each["detail"] = json.dumps(each["detail"], ensure_ascii=False)
    return pd.DataFrame(found, columns=list(audit.COLUMNS))


def download(asked: audit.Asked, total: int) -> None:
    """The whole list as files, made when asked for."""

    def csv() -> str:
        return panels.to_csv(table(asked, flat=True))

    def records() -> str:
        return panels.to_json(table(asked, flat=False))

    cut = total > MOST_IN_A_FILE
    note = f"the newest {MOST_IN_A_FILE:,}" if cut else "the whole list"
    panels.downloads_when_asked("audit", csv, records, note)


with readers()() as session:
    newest = audit.entries(session, limit=1)
    everything = audit.count(session)
    actors, acts = audit.actors(session), audit.acts(session)
panels.opening(
    "Audit",
    f"{newest[0].actor} was the last to act: {newest[0].act}, {ago(newest[0].created_at)}"
    if newest
    else "Nothing was done yet",
)
panels.quiet(
    f"{many(everything, 'act')}; nothing here can be changed, only an erased person's name is"
    " replaced"
)
if not newest:
    panels.empty(
        "No act yet",
        "Every invitation, batch, retraining, promotion, import, backup and decision is written"
        " here with who did it, from the pages and from the command line.",
        "personaloop audit --help",
    )
    st.stop()
asked = choose(actors, acts)
with readers()() as session:
    total = audit.count(session, asked)
if not total:
    panels.empty("No act like that", "Choose another person, act or time above.")
    st.stop()
pages = ceil(total / PAGE)
page = panels.choose_page(pages)
start = (page - 1) * PAGE
with readers()() as session:
    found = audit.entries(session, asked, limit=PAGE, offset=start)
span = f"{start + 1:,} to {start + len(found):,} of " if pages > 1 else ""
panels.quiet(f"{span}{many(total, 'act')}, newest first")
with st.container(border=True):
    for each in found:
        st.markdown(line(each))
download(asked, total)
