"""What somebody without a sign-in sees: how to get one."""

import streamlit as st

from annotate_app.style import page

with st.container(key="pl-door"):
    page("Welcome to PersonaLoop")
    st.write(
        "Here people read two replies side by side and say which one is better."
        " You sign in with a personal link that works once."
    )
    st.markdown("**Do you have a link?** Open it in this browser, and you are in.")
    st.markdown(
        "**No link yet, or a used one?** Ask whoever runs PersonaLoop for a new one."
        " They make it with this command:"
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
