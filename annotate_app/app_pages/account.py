"""Who is signed in here, how they come back, and the way out."""

from urllib.parse import urlsplit

import streamlit as st

from annotate_app import account
from annotate_app.session import Me, me, provider_says, providers, signed_in
from annotate_app.style import page
from annotate_app.words import ago, many, say
from db.errors import Busy, PersonaLoopError, TooManyTries
from db.passwords import SHORTEST

WHAT = {
    "evaluator": "You judge replies.",
    "analyst": "You judge replies and read the results.",
    "admin": "You judge replies, read the results, and run everything.",
}
FIELDS = ("password-old", "password-new", "password-again")


def attempt(work, done) -> bool:
    """Do something for whoever is signed in at the press, and keep what to say after it."""
    now = signed_in()
    if now is None:
        return False
    try:
        result = work(now)
    except Busy:
        said = ("no", "Nothing was changed: many people are saving. Please try again in a moment.")
    except TooManyTries as error:
        said = ("no", f"That was wrong too often. Please wait {many(error.seconds, 'second')}.")
    except PersonaLoopError as error:
        words = str(error)
        said = ("no", words[:1].upper() + words[1:].rstrip(".") + ".")
    else:
        said = ("ok", done(result))
    st.session_state["account-said"] = said
    return said[0] == "ok"


def signed_out_words(count: int) -> str:
    """What became of the other browsers."""
    if not count:
        return "You were signed in nowhere else."
    return f"{many(count, 'other browser was', 'other browsers were')} signed out."


def change_password() -> None:
    """The password form's callback; the form forgets what was typed, and so does this session."""
    old, new, again = (st.session_state.get(field, "") for field in FIELDS)
    attempt(
        lambda now: account.set_password(now, new, again, old),
        lambda ended: f"Your password is set. {signed_out_words(ended)}",
    )
    for field in FIELDS:
        st.session_state.pop(field, None)


def password_form(known: account.Account) -> None:
    """Set a password, or change it."""
    st.subheader("Change your password" if known.has_password else "Set a password", anchor=False)
    if not known.has_password:
        st.write("Then you can come back with your name and this password, without a new link.")
    with st.form("password", border=False, clear_on_submit=True):
        if known.asks_for_old:
            st.text_input(
                "Present password",
                type="password",
                key=FIELDS[0],
                autocomplete="current-password",
            )
        st.text_input(
            f"New password, at least {SHORTEST} characters",
            type="password",
            key=FIELDS[1],
            autocomplete="new-password",
        )
        st.text_input(
            "New password once more",
            type="password",
            key=FIELDS[2],
            autocomplete="new-password",
        )
        st.form_submit_button(
            "Change password" if known.has_password else "Set password",
            type="primary",
            on_click=change_password,
        )


def provider_part(person: Me, known: account.Account) -> None:
    """Which accounts elsewhere sign this person in, and how to add one."""
    offered = providers()
    if not offered and not known.issuers:
        return
    st.subheader("Sign in with an account elsewhere", anchor=False)
    for issuer in known.issuers:
        st.markdown(f"- {say(urlsplit(issuer).hostname or issuer)} signs you in.")
    said = provider_says()
    if said is not None and not person.by_provider and said.issuer not in known.issuers:
        where = say(urlsplit(said.issuer).hostname or said.issuer)
        which = f" as **{say(said.email)}**" if said.email else f" (account {say(said.subject)})"
        st.markdown(f"This browser is signed in at {where}{which}. Is that you?")
        st.button("Connect it with this account", on_click=connect_it, type="primary")
    elif said is None:
        for provider, label in offered.items():
            if st.button(f"Sign in with {say(label)} to connect it", key=f"to-{provider}"):
                st.login(None if provider == "default" else provider)


def connect_it() -> None:
    """The button's callback: the provider is asked anew who is there."""
    said = provider_says()
    if said is not None:
        attempt(
            lambda now: account.connect(now, said),
            lambda _: "Connected. From now on it signs you in.",
        )


def end_one(login_id: int) -> None:
    """The button's callback."""
    attempt(lambda now: account.end_login(now, login_id), lambda _: "That browser is signed out.")


def end_others() -> None:
    """The button's callback."""
    attempt(account.end_other_logins, signed_out_words)


def logins_part(known: account.Account) -> None:
    """Where this person is signed in."""
    st.subheader("Where you are signed in", anchor=False)
    for login in sorted(known.logins, key=lambda each: not each.here):
        words, button = st.columns([3, 1], vertical_alignment="center")
        place = "**This browser**" if login.here else "Another browser"
        words.markdown(f"{place} :small[:gray[since {ago(login.created_at)}]]")
        if not login.here:
            button.button(
                "Sign out",
                key=f"end-{login.id}",
                on_click=end_one,
                args=(login.id,),
                width="stretch",
                help=f"Signs out the browser that came in {ago(login.created_at)}",
            )
    if len(known.logins) > 2:
        st.button("Sign out everywhere else", on_click=end_others)


def way_out(person: Me) -> None:
    """Sign out here: a plain link, or through the provider by which they came."""
    if not person.by_provider:
        st.html('<p><a class="pl-quiet-link" href="/sign-out" target="_self">Sign out here</a></p>')
    elif st.button("Sign out here", icon=":material/logout:") and attempt(
        account.end_this_login, lambda _: ""
    ):
        st.session_state.pop("account-said", None)
        st.logout()


person = me()
known = account.account_of(person)
with st.container(key="pl-door"):
    page(person.name)
    st.write(WHAT[person.role])
    way_out(person)
    said = st.session_state.pop("account-said", None)
    if said:
        (st.success if said[0] == "ok" else st.error)(say(said[1]))
    password_form(known)
    provider_part(person, known)
    logins_part(known)
    can_return = known.has_password or known.issuers
    st.caption(
        "Everything you judged is saved."
        + ("" if can_return else " Without a password, a new link from an admin brings you back.")
    )
