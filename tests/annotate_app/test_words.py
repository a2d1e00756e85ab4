"""What hostile text can do on our pages: nothing."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from annotate_app.words import JOINER, ago, clip, many, plain, safe_html, say

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=//evil></iframe>",
    "<style>*{display:none}</style>",
    "<b id=assignment data-testid=assignment>t</b>",
    "![x](http://evil.example/pixel.png)",
    "![x][ref]\n\n[ref]: http://evil.example/pixel.png",
    "[click](javascript:alert(1))",
    "<javascript:alert(1)>",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    '```html" onload=alert(1)\n<script>\n```',
    "`<script>`",
    "```\nnever closed <script>alert(1)</script>",
    "\\<script>",
    "| a | b |\n|---|---|\n| <img src=x> | ![](//evil) |",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "<!-- x --><![CDATA[<script>]]>",
]
ALLOWED = {
    "p", "br", "em", "strong", "s", "ul", "ol", "li", "pre", "code", "blockquote", "hr",
    "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


def tags(html: str) -> set[str]:
    return {name.lower() for name in re.findall(r"</?([A-Za-z][^\s/>]*)", html)}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_words(text: str):
    html = safe_html(text)
    assert tags(html) <= ALLOWED
    assert not re.search(r"<[^>]*\b(on\w+|src|href|style|id|data-\w+)\s*=", html)


@given(st.text(alphabet="<>!/[](){}:`*_~#|-=\"'&; \n\\ascriptonhref0123", max_size=80))
def test_no_text_makes_a_tag_that_is_not_formatting(text: str):
    html = safe_html(text)
    assert tags(html) <= ALLOWED
    for tag in re.findall(r"<[a-z][^>]*>", html):
        assert re.fullmatch(
            r'<[a-z0-9]+( start="\d+"| style="text-align:(left|right|center)")?( /)?>', tag
        ), tag


def test_formatting_stays_readable():
    html = safe_html(
        "# Title\n\nA **bold** and *slanted* word.\n\n1. one\n2. two\n\n> said\n\n`x<y`"
    )
    for piece in ("<h4>Title</h4>", "<strong>bold</strong>", "<ol>", "<blockquote>", "x&lt;y"):
        assert piece in html


def test_a_link_shows_where_it_leads_as_words():
    assert safe_html("[our page](https://example.com/a)") == (
        "<p>our page (https://example.com/a)</p>\n"
    )
    assert safe_html("<https://example.com>") == "<p>https://example.com</p>\n"


def test_what_opens_a_block_of_code_is_told_above_it():
    assert safe_html("```<|end|> x\nmore\n```") == (
        "<pre><em>&lt;|end|&gt; x</em><code>more\n</code></pre>\n"
    )


def test_line_breaks_of_a_plain_text_are_kept():
    assert "<br" in safe_html("Dear Ada,\nthank you")


def read(markdown: str) -> str:
    """What a reader of this Markdown sees, without what cannot be seen."""
    html = MarkdownIt("commonmark").enable("table").enable("strikethrough").render(markdown)
    body = html.removeprefix("<p>").removesuffix("</p>\n")
    assert not tags(body), body
    return unescape(body).replace(JOINER, "")


@pytest.mark.parametrize("text", [*HOSTILE, "2 * 3 * 4", "&lt;b&gt;", "1. one", "$5 to $10"])
def test_a_line_in_markdown_reads_exactly_as_it_is(text: str):
    assert read(say(text)) == " ".join(plain(text).split())


@settings(deadline=None)  # the time is the parser's, and a busy machine's
@given(st.text(max_size=200))
def test_no_line_in_markdown_formats_anything(text: str):
    assert read(say(text)) == " ".join(plain(text).replace(JOINER, "").split())


@pytest.mark.parametrize(
    "text", [":red[x]", ":material/delete:", ":smile:", ":small[x]", ":red-badge[x]", ":+1:"]
)
def test_streamlit_directives_are_defused_and_nothing_of_them_is_lost(text: str):
    assert say(text).startswith(f":{JOINER}")
    assert not re.search(r"(?<!\\)[\[\]]", say(text)), "an open bracket is a directive's label"


def test_no_address_in_a_line_becomes_a_link():
    for text in ("www.example.com", "https://example.com", "a@example.com"):
        assert JOINER in say(text)


def test_reordering_marks_and_control_characters_are_dropped():
    assert plain("a\u202eb\u2066c\x00d\r\ne") == "abcd\ne"


def test_times_are_told_in_words():
    now = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    told = [
        ago(now - timedelta(**gap), now)
        for gap in ({"seconds": 5}, {"minutes": 1}, {"minutes": 3}, {"hours": 1}, {"hours": 5},
                    {"days": 1}, {"days": 4}, {"days": 90})
    ]  # fmt: skip
    assert told == [
        "just now", "1 minute ago", "3 minutes ago", "1 hour ago", "5 hours ago",
        "yesterday", "4 days ago", "on 3 February 2026",
    ]  # fmt: skip


def test_counts_and_clips():
    assert (many(1, "pair"), many(1200, "pair")) == ("1 pair", "1,200 pairs")
    assert clip("one  two\nthree", 9) == "one two…"
    assert clip("short") == "short"
