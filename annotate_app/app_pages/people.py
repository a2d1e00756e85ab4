"""People: who may sign in and how, what they may do, and one-time links: new ones, waiting ones."""

import streamlit as st

from annotate_app import actions, erasing_part, findings, notices_part, panels, work_queries
from annotate_app.session import acting, require
from annotate_app.words import ago, many
from db import invites
from db.clock import utcnow
from db.errors import PersonaLoopError

ROLES = {
    "evaluator": "evaluator: judges replies",
    "analyst": "analyst: also reads the results",
    "admin": "admin: also runs everything",
}

person = require("admin")
everybody = work_queries.people()
humans = [one for one in everybody if one.kind == "human" and one.invited]
others = [one for one in everybody if one not in humans]
MOST_OTHERS = 50


def refuse_kindly(work, done: str) -> None:
    """Do it, or say why not, after the rerun."""
    try:
        work()
        st.session_state["people-said"] = ("ok", done)
    except PersonaLoopError as error:
        st.session_state["people-said"] = ("no", findings.sentence(str(error)))


def change_role(name: str, key: str) -> None:
    """The select box's callback."""
    role = st.session_state[key]
    refuse_kindly(
        lambda: actions.set_role(name, role, actor=acting("admin")), f"{name} is now {role}."
    )


def switch(name: str, active: bool) -> None:
    """The button's callback."""
    refuse_kindly(
        lambda: actions.set_active(name, active, actor=acting("admin")),
        f"{name} can sign in again." if active else f"{name} is signed out everywhere, at once.",
    )


def resume(name: str) -> None:
    """The button's callback."""
    refuse_kindly(
        lambda: actions.resume(name, actor=acting("admin")),
        f"{name} can judge again; earlier gold answers no longer count against them.",
    )


def pause(name: str, key: str) -> None:
    """The button's callback."""
    reason = str(st.session_state.get(key, ""))
    refuse_kindly(
        lambda: actions.pause(name, reason, actor=acting("admin")),
        f"{name} is handed no pair until you resume them.",
    )


def sign_out(name: str) -> None:
    """The button's callback."""
    refuse_kindly(
        lambda: actions.sign_out(name, actor=acting("admin")),
        f"{name} is signed out in every browser; the account stays as it is.",
    )


def more(one) -> None:
    """What is seldom done to an account: a pause with words for that person, signing out."""
    with st.popover("More", key=f"more-{one.id}", width="stretch"):
        if one.paused_at is None:
            key = f"why-paused-{one.id}"
            st.text_input("Why, as they will read it", key=key, max_chars=300)
            st.button(
                "Pause judging",
                key=f"pause-{one.id}",
                on_click=pause,
                args=(one.name, key),
                icon=":material/pause:",
            )
        st.button(
            "Sign out everywhere",
            key=f"sign-out-{one.id}",
            on_click=sign_out,
            args=(one.name,),
            icon=":material/logout:",
        )


def paused_line(one) -> None:
    """Why somebody is handed no pair, and the way back."""
    why, button = st.columns([7, 2], vertical_alignment="center")
    reason = f"  \n:small[{panels.say(one.paused_reason)}]" if one.paused_reason else ""
    why.markdown(f"**Paused {ago(one.paused_at)}**: they are handed no pair.{reason}")
    button.button(
        "Resume",
        key=f"resume-{one.id}",
        on_click=resume,
        args=(one.name,),
        icon=":material/play_arrow:",
        type="primary",
        width="stretch",
    )


def invite_form() -> None:
    """A name and a role give a link, shown once."""
    with st.container(border=True):
        st.markdown("**Invite somebody**")
        with st.form("invite", border=False, clear_on_submit=True):
            name_column, role_column = st.columns([3, 2])
            name = name_column.text_input("Name", max_chars=120)
            role = role_column.selectbox("Role", list(ROLES), format_func=ROLES.__getitem__)
            sent = st.form_submit_button("Make a link", type="primary", icon=":material/link:")
        if not sent:
            return
        known = next((one for one in humans if one.name == name.strip()), None)
        if known is not None and known.id == person.id and role != known.role:
            st.error("You cannot change your own role; another admin can.")
            return
        try:
            token = actions.invite(name, role, actor=acting("admin"))
        except PersonaLoopError as error:
            st.error(panels.say(findings.sentence(str(error))))
            return
        st.success(
            f"Send this link to {panels.say(name.strip())}. It is shown only now, works once, and"
            " runs out in 7 days."
        )
        st.code(f"{base_url()}/invite/{token}", language=None, wrap_lines=True)


def take_back(invite_id: int, name: str) -> None:
    """The button's callback."""
    refuse_kindly(
        lambda: actions.revoke_invite(invite_id, actor=acting("admin")),
        f"The link for {name} opens nothing any more.",
    )


def waiting_links() -> None:
    """Links that nobody has used yet, each of which would sign somebody in."""
    waiting = work_queries.read(invites.outstanding)
    if not waiting:
        return
    with st.expander(f"{many(len(waiting), 'link')} not used yet"):
        for link in waiting[:MOST_OTHERS]:
            words, button = st.columns([7, 2], vertical_alignment="center")
            hours = (link.expires_at - utcnow()).total_seconds() / 3600
            left = many(hours / 24, "day") if hours > 36 else many(max(1, hours), "hour")
            words.markdown(
                f"**{panels.say(link.name)}** as {link.role}"
                f" :small[:gray[made {ago(link.created_at)}, works for another {left}]]"
            )
            button.button(
                "Take back",
                key=f"take-back-{link.id}",
                on_click=take_back,
                args=(link.id, link.name),
                width="stretch",
            )
        if len(waiting) > MOST_OTHERS:
            panels.quiet("`personaloop users invites` lists them all")


def base_url() -> str:
    """The address under which this app is open in the reader's browser."""
    parts = (st.context.url or "").split("/")
    return "/".join(parts[:3]) if len(parts) >= 3 else ""


def row(one) -> None:
    """One account."""
    with st.container(border=True):
        who, role_column, button, rest = st.columns([4, 3, 2, 1.4], vertical_alignment="center")
        you = " :small[:gray[you]]" if one.id == person.id else ""
        off = "" if one.active else " :gray-badge[switched off]"
        off += " :orange-badge[paused]" if one.paused_at else ""
        seen = f", last {ago(one.last_at)}" if one.last_at else ""
        ways = [way if way != "link" else "a link that waits" for way in one.ways]
        comes = f"signs in by {panels.say(', '.join(ways))}" if ways else "comes back by a new link"
        who.markdown(
            f"**{panels.say(one.name)}**{you}{off}  \n"
            f":small[:gray[{many(one.judged, 'judgment')}{seen}; {comes}]]"
        )
        key = f"role-{one.id}-{one.role}"
        role_column.selectbox(
            f"Role of {one.name}",
            list(ROLES),
            index=list(ROLES).index(one.role),
            key=key,
            label_visibility="collapsed",
            disabled=one.id == person.id or not one.active,
            on_change=change_role,
            args=(one.name, key),
        )
        button.button(
            "Switch off" if one.active else "Switch on",
            key=f"switch-{one.id}-{one.active}",
            on_click=switch,
            args=(one.name, not one.active),
            disabled=one.id == person.id,
            width="stretch",
        )
        with rest:
            more(one)
        if one.paused_at:
            paused_line(one)


active = sum(one.active for one in humans)
judging = sum(one.judged > 0 for one in humans)
paused = sum(one.paused_at is not None for one in humans)
panels.opening(
    "People",
    f"{many(active, 'person', 'people')} can sign in, {judging} have judged"
    + (f"; {many(paused, 'person is', 'people are')} paused" if paused else ""),
)
notices_part.show("paused")
said = st.session_state.pop("people-said", None)
if said:
    (st.success if said[0] == "ok" else st.error)(panels.say(said[1]))
invite_form()
waiting_links()
for each in sorted(humans, key=lambda one: one.paused_at is None):  # who is paused, first
    row(each)
if others:
    with st.expander(f"{many(len(others), 'annotator')} without a sign-in: imported or simulated"):
        st.markdown(
            "\n".join(
                f"- {panels.say(one.name)}"
                + (f" :orange-badge[{one.kind.upper()}]" if one.kind != "human" else "")
                + f" :small[{many(one.judged, 'judgment')}]"
                for one in others[:MOST_OTHERS]
            )
        )
        if len(others) > MOST_OTHERS:
            panels.quiet(f"and {many(len(others) - MOST_OTHERS, 'more', 'more')}")
erasing_part.show(person, everybody)
