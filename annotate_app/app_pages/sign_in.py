"""What somebody without a sign-in sees: name and password, a provider, or how to get a link."""

import shlex
from urllib.parse import urlsplit

import streamlit as st

from annotate_app import session
from annotate_app.style import page
from annotate_app.words import many, say

# Sent by the browser itself to /sign-in: only a route can set a cookie that scripts cannot read.
FORM = """
<form class="pl-form" method="post" action="/sign-in">
<label for="pl-username">Name</label>
<input id="pl-username" name="username" autocomplete="username" autocapitalize="none"
 spellcheck="false" maxlength="120" required>
<label for="pl-password">Password</label>
<input id="pl-password" name="password" type="password" autocomplete="current-password"
 maxlength="200" required>
<button type="submit">Sign in</button>
</form>
"""
SAID = {
    "wrong": "This name and password do not go together. Please try again; capital letters count.",
    "busy": "Many people are saving at this moment. Please try again in a few seconds.",
    "off": "This account is switched off. Ask whoever runs PersonaLoop.",
}


def what_happened() -> str:
    """Why a sign-in did not work, kindly; empty where none was tried."""
    said = st.query_params.get("said", "")
    if said != "wait":
        return SAID.get(said, "")
    text = st.query_params.get("seconds", "")
    seconds = min(int(text), 900) if text.isdigit() and len(text) < 6 else 60
    wait = many(max(1, seconds), "second") if seconds < 90 else many(seconds / 60, "minute")
    return f"There were many tries with this name or from here. Please wait {wait}, then try again."


def stranger(said: session.Claims) -> None:
    """Somebody whom the provider knows and we do not."""
    where = say(urlsplit(said.issuer).hostname or said.issuer)
    with st.container(border=True):
        st.markdown(f"**You are signed in at {where}, but not known here yet**")
        st.write(
            "Ask whoever runs PersonaLoop for a personal link, open it in this browser, and press"
            " *Connect* on your account page. Or send them this line; they put your name in it:"
        )
        st.code(
            f'personaloop users link "Your Name" --issuer {shlex.quote(said.issuer)}'
            f" --subject {shlex.quote(said.subject)}",
            language=None,
            wrap_lines=True,
        )
        if st.button("Sign out there", icon=":material/logout:"):
            st.logout()


def other_ways() -> None:
    """The providers that are configured, or what became of a sign-in at one."""
    said = session.provider_says()
    standing = session.standing(said) if said is not None else "ended"
    if said is not None and standing == "stranger":
        stranger(said)
        return
    if standing == "off":
        st.warning(SAID["off"])
    for provider, label in session.providers().items():
        if st.button(f"Sign in with {say(label)}", key=f"with-{provider}", width="stretch"):
            st.login(None if provider == "default" else provider)


with st.container(key="pl-door"):
    page("Welcome to PersonaLoop")
    st.write("Here people read two replies side by side and say which one is better.")
    happened = what_happened()
    if happened:
        st.warning(happened)
    st.html(FORM)
    other_ways()
    st.markdown(
        "**Do you have a link?** Open it in this browser, and you are in. Then set a password on"
        " your account page, so that you can come back."
    )
    st.markdown(
        "**No link yet, a used one, or a forgotten password?** Ask whoever runs PersonaLoop for a"
        " new link. They make it on *People* or with this command:"
    )
    st.code(
        'personaloop users invite --name "Your Name" --role evaluator',
        language=None,
        wrap_lines=True,
    )
    st.caption(
        "If you started PersonaLoop yourself, your own link is in the terminal, next to this"
        " page's address. Each start prints a new one."
    )
