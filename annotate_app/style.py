"""The one visual language: colours, the style sheet, a page's opening. Knows no data.

Streamlit's components and the palettes of .streamlit/config.toml come first; style.css holds only
what they cannot do.
"""

from pathlib import Path

import streamlit as st

__all__ = ["ACCENT", "PERSONA_COLOURS", "page", "persona_colour"]

ACCENT = "#0B6B6B"
"""The accent of the light palette; charts use it where one colour is enough."""

PERSONA_COLOURS: dict[str, str] = {
    "formal_concierge": "#0072B2",
    "playful_sidekick": "#D55E00",
    "luxury_curator": "#B0578D",
    "technical_advisor": "#009E73",
}
"""A persona has the same colour everywhere. From Okabe and Ito's colour-blind-safe palette."""

OTHER_COLOURS = ("#56B4E9", "#E69F00", "#7A7A7A", "#8C6BB1")
"""For personas that somebody adds."""

STYLE_SHEET = Path(__file__).with_name("style.css")


def persona_colour(slug: str | None) -> str:
    """The colour of a persona, the same one each time for one that we did not ship."""
    if slug in PERSONA_COLOURS:
        return PERSONA_COLOURS[slug]
    return OTHER_COLOURS[sum((slug or "").encode()) % len(OTHER_COLOURS)]


def page(title: str, *, heading: bool = True) -> None:
    """Open a page: our style sheet, and the title unless the page's first thing is its own.

    Args:
        title: The page's title in words.
        heading: Whether to show it; screen readers hear it either way.
    """
    st.html(STYLE_SHEET)
    if heading:
        st.title(title, anchor=False)
    else:
        st.html(f'<h1 class="pl-unseen">{title}</h1>')
