"""The guidelines as people read them: rendered, and what changed between two versions.

Knows neither streamlit nor the database.
"""

import difflib
from html import escape

from annotate_app.words import plain, safe_html


def guide_html(text: str) -> str:
    """The guidelines' Markdown as HTML that loads and runs nothing; lines flow, as in a file."""
    flowing = safe_html(text).replace("<br />", "").replace("<br>", "")
    return f'<div class="pl-text pl-guide">{flowing}</div>'


def changes_html(old: str, new: str) -> str:
    """The lines that came and went between two versions; empty where none did."""
    before, after = (
        [line for line in plain(text).split("\n") if line.strip()] for text in (old, new)
    )
    lines = [
        f"<li><{tag}>{escape(line[2:])}</{tag}></li>"
        for line in difflib.ndiff(before, after)
        for tag in [{"+ ": "ins", "- ": "del"}.get(line[:2], "")]
        if tag
    ]
    return f'<ul class="pl-text">{"".join(lines)}</ul>' if lines else ""
