"""The pair as HTML: the conversation and the two responses. Knows no session and no keys.

For who judges only text and the assignment's opaque token go in; for analysts each response has a
heading that says whose it is. Both responses have the same face, size and height; what they contain
cannot leave its region.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from annotate_app.words import safe_html

SPEAKERS = {"user": "User", "assistant": "Reply", "system": "Setting"}


def stage_html(
    token: str, messages: Sequence[Mapping[str, Any]], response_a: str, response_b: str
) -> str:
    """The conversation and both responses.

    Args:
        token: The assignment's token, so that the answer buttons can check what is on screen.
        messages: Turns of ``role`` and ``content``, oldest first.
        response_a: Shown first.
        response_b: Shown second.

    Returns:
        HTML in which the responses are regions named ``Response A`` and ``Response B``.
    """
    return (
        f'<div class="pl-stage" data-pair="{escape(token)}">{talk_html(messages)}'
        f'<div class="pl-pair">{_response("A", response_a)}{_response("B", response_b)}</div></div>'
    )


def pair_html(messages: Sequence[Mapping[str, Any]], response_a: str, response_b: str) -> str:
    """An earlier pair, to look at: the same, without a token and no taller than its text."""
    return (
        f'<div class="pl-past">{talk_html(messages)}'
        f'<div class="pl-pair">{_response("A", response_a)}{_response("B", response_b)}</div></div>'
    )


def versus_html(
    messages: Sequence[Mapping[str, Any]], this: tuple[str, str], other: tuple[str, str]
) -> str:
    """A comparison for analysts, who may know whose is whose.

    Args:
        messages: Turns of ``role`` and ``content``, oldest first.
        this: The heading and the text of the response in question; shown first.
        other: Those of the other.
    """
    return (
        f'<div class="pl-past pl-versus">{talk_html(messages)}'
        f'<div class="pl-pair">{_named(*this)}{_named(*other)}</div></div>'
    )


def talk_html(messages: Sequence[Mapping[str, Any]]) -> str:
    """The conversation as a region named ``Conversation``, every turn with who speaks."""
    turns = "".join(_turn(message) for message in messages)
    return f'<section class="pl-talk" role="region" aria-label="Conversation">{turns}</section>'


def _turn(message: Mapping[str, Any]) -> str:
    role = str(message.get("role", "user"))
    who = SPEAKERS.get(role, "User")
    kind = role if role in SPEAKERS else "user"
    return (
        f'<div class="pl-turn pl-turn-{kind}"><span class="pl-who">{who}</span>'
        f'<div class="pl-text">{safe_html(str(message.get("content", "")))}</div></div>'
    )


def _body(text: str) -> str:
    return safe_html(text) if text.strip() else "<p><em>(an empty reply)</em></p>"


def _named(heading: str, text: str) -> str:
    return (
        f'<section class="pl-response" role="region" aria-label="{escape(heading)}">'
        f'<p class="pl-whose">{escape(heading)}</p>'
        f'<div class="pl-text" tabindex="0">{_body(text)}</div></section>'
    )


def _response(letter: str, text: str) -> str:
    return (
        f'<section class="pl-response" role="region" aria-label="Response {letter}">'
        f'<span class="pl-letter" aria-hidden="true">{letter}</span>'
        f'<div class="pl-text">{_body(text)}</div></section>'
    )
