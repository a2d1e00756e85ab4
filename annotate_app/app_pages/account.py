"""Who is signed in here, and the way out."""

import streamlit as st

from annotate_app.session import me
from annotate_app.style import page

WHAT = {
    "evaluator": "You judge replies.",
    "analyst": "You judge replies and read the results.",
    "admin": "You judge replies, read the results, and run everything.",
}

person = me()
with st.container(key="pl-door"):
    page(person.name)
    st.write(WHAT[person.role])
    st.html('<p><a class="pl-quiet-link" href="/sign-out" target="_self">Sign out here</a></p>')
    st.caption("Everything you judged is saved. A new link from an admin brings you back.")
