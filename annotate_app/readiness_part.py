"""Whether a persona's judgments are good enough to train on, as the Training page says it.

Knows the cache, the limits in configs/job.yaml and how an answer looks. What is asked and how it is
answered is in ``preference.readiness``; which judgments count is in ``db.readiness``.
"""

from collections.abc import Callable
from dataclasses import fields

import streamlit as st
import yaml

from annotate_app import panels
from annotate_app.views import Pulse
from annotate_app.work_queries import pulse, read
from db import readiness
from db.settings import REPOSITORY, database_url
from preference.readiness import Limits, Readiness, assess

ASKED = {
    "effective": "Enough judgments",
    "agreement": "People agree",
    "gold": "Known answers are right",
    "position": "Neither side is favoured",
    "graph": "Adapters are connected",
}
WAIT = 600.0


def readiness_of(persona: str, *, include_simulated: bool) -> Readiness:
    """The readiness gate's answers for a persona now."""
    return _readiness(database_url(), pulse(), persona, include_simulated)


def shown(found: Readiness) -> None:
    """What refuses, in words and first; the other answers a click away."""
    for refusal in found.refusals:
        st.warning(panels.say(_sentence(refusal.words)), icon=":material/front_hand:")
    with st.expander("Ready to train on" if found.ready else "All that was asked"):
        lines = []
        for each in found.questions:
            unknown = "nothing to ask" if each.name == "graph" else "not known yet"
            known = unknown if each.value is None else "good"
            colour = "red" if not each.ok else "gray" if each.value is None else "green"
            mark = f":{colour}-badge[{known if each.ok else 'not good enough'}]"
            words = panels.say(_sentence(each.words))
            lines.append(f"- {ASKED[each.name]} {mark}  \n  :small[{words}]")
        st.markdown("\n".join(lines))


def all_the_same(persona: str, name: str, retrain: Callable[[str, str], None]) -> None:
    """The way past the gate: a reason and a button.

    Args:
        persona: slug.
        name: as people know it.
        retrain: called with slug and reason.
    """
    with st.popover("Retrain all the same", icon=":material/front_hand:"):
        st.markdown(
            f"The judgments of {panels.say(name)} are not good enough. Say why it should learn from"
            " them all the same: the reason is kept with the adapter and in the log."
        )
        key = f"force-{persona}"
        st.text_input("Reason", key=key, max_chars=300)

        def go() -> None:
            retrain(persona, str(st.session_state.get(key, "")))

        st.button(f"Retrain {name} all the same", key=f"forced-{persona}", on_click=go)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."


@st.cache_data(ttl=WAIT, max_entries=64, show_spinner=False)
def _readiness(url: str, at: Pulse, persona: str, include_simulated: bool) -> Readiness:
    del url, at
    told = read(
        lambda session: readiness.evidence(session, persona, include_simulated=include_simulated)
    )
    return assess(told, _limits())


@st.cache_data(ttl=60, show_spinner=False)
def _limits() -> Limits:
    """As configs/job.yaml says; what it does not name keeps its default."""
    told = yaml.safe_load((REPOSITORY / "configs" / "job.yaml").read_text(encoding="utf-8")) or {}
    return Limits(**{each.name: told[each.name] for each in fields(Limits) if each.name in told})
