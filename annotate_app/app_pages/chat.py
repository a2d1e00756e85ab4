"""Chat: talk to a persona, answered by a real adapter. The only page that needs the engine.

Whatever touches models is imported inside the functions that need it, so that the app starts, and
labeling stays, without torch.
"""

import os
from typing import Any

import streamlit as st

from annotate_app import findings, panels, work_queries
from annotate_app.naming import short, short_names
from annotate_app.session import me
from annotate_app.words import many, safe_html
from db.errors import PersonaLoopError
from db.models import Role
from db.settings import outputs_dir

OPENERS = [
    "How can I reset my password?",
    "I was charged twice this month.",
    "Is the Plus plan worth it?",
    "thanks, that worked!",
]

FACES = {"user": ":material/person:", "assistant": ":material/forum:"}

person = me()
names = work_queries.personas()
incumbents = work_queries.incumbents()
short_of = short_names(work_queries.rounds())


@st.cache_resource(ttl=3600, max_entries=2, show_spinner=False)
def service_of(engine: str) -> Any:
    """A connection to the model service, kept as long as the same engine answers."""
    from training.service import open_service

    del engine
    return open_service()


def engine_now() -> tuple[str, str]:
    """What identifies the engine that answers now, and why there is none."""
    if os.environ.get("TINKER_API_KEY"):
        return "hosted", ""
    from training.engine import EngineSettings
    from training.engine.connection import find

    told = find(EngineSettings())
    if told is not None:
        return f"{outputs_dir()} {told['url']} {told['pid']}", ""
    if (outputs_dir() / "engine" / "engine.json").exists():
        return "", "The engine that was running does not answer; it may be starting again."
    return "", "The engine is not running."


def answer(persona: str, adapter: str, turns: list[dict[str, str]], seed: int) -> dict[str, Any]:
    """The persona's answer to the last turn, or the reason why there is none."""
    from training.chatting import reply
    from training.engine import EngineError

    engine, why = engine_now()
    if not engine:
        return {"error": why}
    try:
        said = reply(service_of(engine), persona, adapter, turns, seed=seed)
    except (PersonaLoopError, EngineError) as error:
        if not person.may(Role.ANALYST):  # the reason may name the adapter
            return {"error": "The persona cannot answer right now. Try again in a moment."}
        return {"error": findings.sentence(str(error))}
    except Exception as error:  # noqa: BLE001 - the SDK has many kinds; none may break the page
        service_of.clear()
        return {"error": f"The engine could not answer ({type(error).__name__}). Try again."}
    return {"text": said.text, "seconds": said.seconds, "left_out": said.left_out, "seed": seed}


def choices(persona: str) -> list[str]:
    """Adapters that can answer: the incumbent first; evaluators meet only that one."""
    now = [incumbents[persona].adapter] if persona in incumbents else []
    if not person.may(Role.ANALYST):
        return now
    own = [
        one.id
        for one in work_queries.adapters()
        if one.persona == persona and one.kind != "external" and one.id not in now
    ]
    return now + own


def label(adapter: str, persona: str) -> str:
    """An adapter's short name, and whether it answers now; who judges blind learns neither."""
    if not person.may(Role.ANALYST):
        return "Whoever answers now"
    name = short(adapter, short_of, persona)
    now = persona in incumbents and incumbents[persona].adapter == adapter
    return f"{name}, answers now" if now else name


def details(told: dict[str, Any]) -> str:
    """A quiet line under an answer."""
    parts = [f"{told['seconds']:.1f} s"]
    if told.get("left_out"):
        parts.append(f"{many(told['left_out'], 'earlier turn')} no longer fitted")
    return " · ".join(parts)


@st.fragment(run_every=4)
def waiting(why: str) -> None:
    """Says why nobody can answer, looks again by itself, and goes on when somebody can."""
    with st.container(border=True):
        st.markdown(f"**{panels.say(why)}**")
        st.markdown(
            "`make run` and `personaloop serve` start it and keep it running;"
            " `personaloop engine` starts it alone. This page looks again every few seconds."
        )
    if engine_now()[0]:
        st.rerun()


def show(talk: list[dict[str, Any]]) -> None:
    """The conversation so far; everything in it is somebody else's text."""
    for turn in talk:
        with st.chat_message(turn["role"], avatar=FACES[turn["role"]]):
            st.html(safe_html(turn["content"]))
            if turn["role"] == "assistant":
                panels.quiet(details(turn))


def plain_turns(talk: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Role and content alone."""
    return [{"role": turn["role"], "content": turn["content"]} for turn in talk]


panels.page("Chat")
if not names:
    panels.empty("No persona yet", "Set up the sample personas.", "personaloop init --sample")
    st.stop()
with st.container(horizontal=True, vertical_alignment="bottom"):
    persona = st.selectbox(
        "Persona",
        list(names),
        format_func=names.__getitem__,
        key="persona",
        bind="query-params",
        width=230,
    )
    possible = choices(persona)
    adapter = st.selectbox(
        "Answered by",
        possible,
        format_func=lambda one: label(one, persona),
        key=f"adapter-{persona}",
        width=260,
        disabled=len(possible) < 2,
    )
    fresh = st.button("New conversation", icon=":material/edit_square:")
summary = work_queries.persona_summaries().get(persona, "")
if summary:
    panels.quiet(panels.say(summary))
if adapter is None:
    panels.empty(
        "Nobody answers for this persona yet",
        "Its shipped adapter has not been set up.",
        "personaloop init --sample",
    )
    st.stop()

key = f"talk {persona} {adapter}"
if fresh:
    st.session_state.pop(key, None)
talk: list[dict[str, Any]] = st.session_state.setdefault(key, [])

typed = st.chat_input(f"Say something to {names[persona]}", max_chars=2000, key=f"input {persona}")
opener = None
if not talk and not typed:
    panels.quiet("Try one of these, or type your own.")
    opener = st.pills(
        "To begin with",
        OPENERS,
        key=f"opener {persona} {possible.index(adapter)}",  # keys reach the browser: no ids in them
        label_visibility="collapsed",
    )
again = False
show(talk)
said = (typed or opener or "").strip()
if said:
    talk.append({"role": "user", "content": said})
    with st.chat_message("user", avatar=FACES["user"]):
        st.html(safe_html(said))
if talk and talk[-1]["role"] == "assistant":
    again = st.button("Answer again", icon=":material/refresh:", type="tertiary")
    if again:
        seed = int(talk[-1].get("seed", 0)) + 1
        talk.pop()
        talk.append({"role": "retry", "content": "", "seed": seed})
if talk and talk[-1]["role"] in ("user", "retry"):
    retry = talk.pop() if talk[-1]["role"] == "retry" else None
    seed = int(retry["seed"]) if retry else 0
    with st.chat_message("assistant", avatar=FACES["assistant"]), st.spinner("Thinking …"):
        told = answer(persona, adapter, plain_turns(talk), seed)
    if "error" in told:
        st.error(panels.say(told["error"]), icon=":material/error:")
        if not engine_now()[0]:
            waiting(told["error"])
        else:
            st.button("Try again", icon=":material/refresh:")
    else:
        talk.append({"role": "assistant", "content": told.pop("text"), **told})
        st.rerun()
elif not talk:
    engine, why = engine_now()
    if not engine:
        waiting(why)
