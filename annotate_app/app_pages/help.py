"""The keys and the few things worth knowing."""

import streamlit as st

from annotate_app.session import me
from annotate_app.style import page

me()
page("Keys and help")
st.markdown(
    """
| key | does |
|---|---|
| `1` | A is much better |
| `2` | A is better |
| `3` | Tie: equally good |
| `4` | B is better |
| `5` | B is much better |
| `0` | Both bad |
| `s` | Skip this pair |
| `u` | Undo your last answer |
| `t` | Tags and comment |
| `j` `k` `l` | In character, helpful, safe: yes, no, not sure |
| `f` | Flag a problem, with an answer or a skip |
| `Ctrl` `Enter` | Keep the comment, back to the keys |
| `?` | Show the keys on the label page |

Keys rest while you type in a field.

**Is my work safe?** An answer is stored before the next pair appears, and the page says “Saved”.
If the connection drops, your answer stays on the page and is sent again by itself. Reload, close
the tab, come back tomorrow: the same pair waits for you.

**Why do the buttons wait?** Until the thin line has filled, there was hardly time to read both
replies. Longer replies fill it more slowly.

**I made a mistake.** `u` brings back the last pair. *My history* lets you change any answer; the
latest one counts.
"""
)
