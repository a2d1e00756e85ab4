"""How to judge. The text is annotate_app/guidelines.md."""

from pathlib import Path

import streamlit as st

from annotate_app.session import me
from annotate_app.style import page

me()
page("How to judge")
st.markdown(Path(__file__).parents[1].joinpath("guidelines.md").read_text(encoding="utf-8"))
