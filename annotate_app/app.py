"""Sign-in, roles and navigation; nothing else."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from annotate_app import session
from db.errors import Busy
from db.models import Role

PAGES = Path(__file__).parent / "app_pages"
ICON = str(Path(__file__).with_name("favicon.svg"))

# file, title, who may see it, section
SITE = [
    ("label", "Label", Role.EVALUATOR, ""),
    ("my_history", "My history", Role.EVALUATOR, ""),
    ("guidelines", "Guidelines", Role.EVALUATOR, ""),
    ("chat", "Chat", Role.EVALUATOR, ""),
    ("overview", "Overview", Role.ANALYST, "Results"),
    ("ratings", "Ratings", Role.ANALYST, "Results"),
    ("win_rates", "Win rates", Role.ANALYST, "Results"),
    ("failures", "Failures", Role.ANALYST, "Results"),
    ("annotators", "Annotators", Role.ANALYST, "Results"),
    ("checks", "Checks", Role.ANALYST, "Results"),
    ("rounds", "Rounds", Role.ANALYST, "Results"),
    ("lineage", "Lineage", Role.ANALYST, "Results"),
    ("batches", "Batches", Role.ADMIN, "Run"),
    ("gold", "Gold", Role.ADMIN, "Run"),
    ("training", "Training", Role.ADMIN, "Run"),
    ("adapters", "Adapters", Role.ADMIN, "Run"),
    ("people", "People", Role.ADMIN, "Run"),
    ("flags", "Flags", Role.ADMIN, "Run"),
    ("audit", "Audit", Role.ADMIN, "Run"),
]
FIRST = {Role.EVALUATOR: "label", Role.ANALYST: "overview", Role.ADMIN: "label"}


def main() -> None:
    """Show what the person at this browser may see."""
    st.set_page_config(page_title="PersonaLoop", page_icon=ICON, layout="wide")
    try:
        person = session.signed_in()
    except Busy:
        st.info("Many people are saving at this moment. Reload this page in a few seconds.")
        return
    if person is None:
        _signed_out()
        return
    site = [entry for entry in SITE if (PAGES / f"{entry[0]}.py").exists()]
    first = FIRST[person.role]
    sections: dict[str, list[st.Page]] = {}
    home = None
    for name, title, role, section in site:
        if not person.may(role):
            hidden = st.Page(_not_yours(role), title=title, url_path=name, visibility="hidden")
            sections.setdefault("", []).append(hidden)
        elif name == first:
            home = st.Page(PAGES / f"{name}.py", title=title, url_path="home", default=True)
            sections.setdefault(section, []).append(home)
        else:
            page = st.Page(PAGES / f"{name}.py", title=title, url_path=name)
            sections.setdefault(section, []).append(page)
    if home is not None:
        alias = st.Page(lambda: st.switch_page(home), title="", url_path=first, visibility="hidden")
        sections[""].append(alias)
    sections.setdefault("You", []).append(
        st.Page(PAGES / "help.py", title="Keys and help", url_path="help")
    )
    sections["You"].append(
        st.Page(PAGES / "account.py", title=f"Signed in as {person.name}", url_path="account")
    )
    st.navigation(sections, position="top").run()


def _signed_out() -> None:
    """The same calm page at every address, and no data."""
    sign_in = st.Page(PAGES / "sign_in.py", title="Sign in", url_path="sign-in", default=True)
    others = [
        st.Page(lambda: st.switch_page(sign_in), title=name, url_path=name, visibility="hidden")
        for name, *_ in [*SITE, ("help",), ("account",)]
    ]
    st.navigation([sign_in, *others], position="hidden").run()


def _not_yours(role: Role) -> Callable[[], None]:
    """A page body for addresses that a person's role does not include."""

    def refuse() -> None:
        session.require(role)

    return refuse


main()
