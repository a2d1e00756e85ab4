"""What hostile text can do on our pages: nothing."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate_app.words import JOINER, ago, clip, many, plain, safe_html, safe_markdown

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


def test_line_breaks_of_a_plain_text_are_kept():
    assert "<br" in safe_html("Dear Ada,\nthank you")


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_for_streamlit_has_no_tag_image_or_link(text: str):
    safe = safe_markdown(text)
    assert not re.search(r"<[A-Za-z/!?]", safe)
    assert "![" not in safe
    assert "](" not in safe


@pytest.mark.parametrize(
    "text", [":red[x]", ":material/delete:", ":smile:", ":small[x]", ":red-badge[x]", ":+1:"]
)
def test_streamlit_directives_are_defused(text: str):
    safe = safe_markdown(text)
    assert safe.replace(JOINER, "") == text
    assert f":{JOINER}" in safe


def test_prices_are_not_formulas_and_code_keeps_its_dollars():
    assert safe_markdown("from $5 to $10") == "from \\$5 to \\$10"
    assert safe_markdown("a \\$5 note") == "a \\$5 note"
    assert safe_markdown("`echo $HOME`") == "`echo $HOME`"


def test_reordering_marks_and_control_characters_are_dropped():
    assert plain("a\u202eb\u2066c\x00d\r\ne") == "abcd\ne"


@given(st.text(max_size=200))
def test_safe_markdown_changes_only_what_cannot_be_seen(text: str):
    seen = safe_markdown(text).replace(JOINER, "").replace("\\$", "$")
    assert seen == plain(text).replace(JOINER, "").replace("\\$", "$")


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
