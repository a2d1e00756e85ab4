"""Numbers, times and texts as people read them. Knows no streamlit and no database.

Completions are hostile until shown otherwise: they come from models and from imported files.
``safe_html`` is for places where we lay out the page ourselves, ``say`` for ``st.markdown``;
neither lets a text load anything, run anything or imitate the page.
"""

import re
from datetime import UTC, datetime

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

JOINER = "\u2060"
"""Word joiner: invisible, and enough to keep two characters from forming a directive."""

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$^=&])")


def plain(text: str) -> str:
    """The text without control characters and without marks that reorder what is read."""
    return _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def safe_html(text: str) -> str:
    """Markdown to HTML with formatting alone: no raw HTML, links, images, scripts or styles.

    Paragraphs, emphasis, lists, code, quotes, tables and headings stay (headings three levels down,
    so that the page's own order of headings holds). A link shows its text and where it leads, as
    words; an image shows its description.

    Args:
        text: CommonMark with tables, or anything at all.

    Returns:
        HTML whose only tags are those of the formats above, without attributes but ``class``,
        ``start`` and alignment of table cells.
    """
    return _MARKDOWN.render(plain(text))


def say(text: object) -> str:
    """A text as one line of Markdown that reads exactly as it is: nothing in it formats or acts.

    No HTML, no images, no links, no colour or icon directives, no emoji codes, no formulas.
    """
    line = " ".join(plain(str(text)).split())
    line = re.sub(r"([:@])(?=[\w/+\-\[])", "\\1" + JOINER, line)
    line = re.sub(r"\b(www)\.", rf"\1{JOINER}.", line, flags=re.IGNORECASE)
    return _MARKS.sub(r"\\\1", line)


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, in words: ``just now``, ``3 minutes ago``, ``yesterday``, ``on 4 May 2026``."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < 45:
        return "just now"
    for unit, length, limit in (("minute", 60, 3600), ("hour", 3600, 86400)):
        if seconds < limit * 0.99:
            return f"{many(max(1, round(seconds / length)), unit)} ago"
    days = round(seconds / 86400)
    if days <= 1:
        return "yesterday"
    return f"{days} days ago" if days < 30 else f"on {moment.day} {moment:%B %Y}"


def many(count: float, noun: str, plural: str | None = None) -> str:
    """A count with its noun: ``1 pair``, ``3 pairs``, ``1,200 pairs``."""
    return f"{count:,.0f} {noun if count == 1 else plural or noun + 's'}"


def clip(text: str, length: int = 140) -> str:
    """One line of at most ``length`` characters, cut at a word."""
    line = " ".join(plain(text).split())
    if len(line) <= length:
        return line
    return line[: length - 1].rsplit(" ", 1)[0].rstrip(",;:.") + "…"


def _render_link(renderer, tokens, idx, options, env):  # type: ignore[no-untyped-def]
    """Show where a link leads, as words, unless its text says so already."""
    depth = 1
    start = idx
    while depth:
        start -= 1
        depth += {"link_close": 1, "link_open": -1}.get(tokens[start].type, 0)
    opening: Token = tokens[start]
    target = str(opening.attrGet("href") or "")
    shown = "".join(token.content for token in tokens[start + 1 : idx])
    if opening.markup == "autolink" or target in {"", shown, f"mailto:{shown}"}:
        return ""
    return f" ({escapeHtml(target)})"


def _render_image(renderer, tokens, idx, options, env):  # type: ignore[no-untyped-def]
    return f"[image: {escapeHtml(tokens[idx].content)}]"


def _render_heading(renderer, tokens, idx, options, env):  # type: ignore[no-untyped-def]
    closing = "/" if tokens[idx].nesting < 0 else ""
    return f"<{closing}h{min(6, int(tokens[idx].tag[1]) + 3)}>"


def _render_fence(renderer, tokens, idx, options, env):  # type: ignore[no-untyped-def]
    """Code, below what its opening line says: a language, or words that nobody should miss."""
    info = tokens[idx].info.strip()
    said = f"<em>{escapeHtml(info)}</em>" if info else ""
    return f"<pre>{said}<code>{escapeHtml(tokens[idx].content)}</code></pre>\n"


def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True})
    markdown.enable("table").enable("strikethrough")
    markdown.validateLink = lambda url: True  # no link is rendered, so each may be shown as words
    markdown.add_render_rule("link_open", lambda *args: "")
    markdown.add_render_rule("link_close", _render_link)
    markdown.add_render_rule("image", _render_image)
    markdown.add_render_rule("heading_open", _render_heading)
    markdown.add_render_rule("heading_close", _render_heading)
    markdown.add_render_rule("fence", _render_fence)
    return markdown


_MARKDOWN = _markdown()
