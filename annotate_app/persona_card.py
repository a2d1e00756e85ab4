"""Who a reply should sound like, as HTML from a persona's front matter. Knows no database.

Front matter may come from anybody's file: every text is escaped, everything else is checked.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from annotate_app.words import plain

MOST = 8
"""Lines of one list that are shown."""
LISTS = (
    ("constraints", "Rules"),
    ("do", "Sounds like"),
    ("dont", "Never sounds like"),
)


def card_html(name: str, summary: str, front_matter: Mapping[str, Any]) -> str:
    """Name, summary, tone, rules and lines in that voice.

    Args:
        name: The persona's name.
        summary: The persona in a sentence; may be empty.
        front_matter: Its file's fields; what is missing or of another kind is left out.
    """
    parts = [f"<p><strong>{_text(name)}</strong></p>"]
    if summary:
        parts.append(f"<p>{_text(summary)}</p>")
    parts.append(_tone(front_matter.get("tone")))
    parts += [_lines(title, front_matter.get(field)) for field, title in LISTS]
    return f'<div class="pl-text pl-card">{"".join(parts)}</div>'


def _tone(tone: Any) -> str:
    if not isinstance(tone, Mapping):
        return ""
    rows = "".join(
        f"<dt>{_text(slider)}</dt>"
        f'<dd><i style="width:{value:.0f}%"></i><span class="pl-unseen">{value:.0f} of 100</span>'
        "</dd>"
        for slider, value in tone.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
    )
    return f'<dl class="pl-tone">{rows}</dl>' if rows else ""


def _lines(title: str, lines: Any) -> str:
    if not isinstance(lines, list):
        return ""
    texts = [each for each in lines if isinstance(each, str) and each.strip()][:MOST]
    if not texts:
        return ""
    return f"<h5>{title}</h5><ul>{''.join(f'<li>{_text(each)}</li>' for each in texts)}</ul>"


def _text(text: object) -> str:
    """The text escaped; what a guide leaves to be filled in reads as a blank."""
    return escape(re.sub(r"\{\{\s*(\w+)[^}]*\}\}", r"‹\1›", plain(str(text))))
