"""Three hidden preferences of the closed loop, each wrong in one answer of ten.

``function(messages, persona, response_a, response_b)`` as ``--judge FILE.py:function`` calls it.
The trainer sees none of this. What looks equal is a tie.
"""

import hashlib
import re
from typing import Any

NOISE = 0.1


def brief(messages: list[dict[str, Any]], persona: str, response_a: str, response_b: str) -> str:
    """Fewer words are better."""
    return _verdict(messages, response_a, response_b, -_words(response_a), -_words(response_b))


def inviting(messages: list[dict[str, Any]], persona: str, response_a: str, response_b: str) -> str:
    """A reply that ends by asking something is better; of two alike, the calmer one."""
    return _verdict(messages, response_a, response_b, _invites(response_a), _invites(response_b))


def thorough(messages: list[dict[str, Any]], persona: str, response_a: str, response_b: str) -> str:
    """More words and steps are better, exclamation marks worse."""
    return _verdict(messages, response_a, response_b, _covers(response_a), _covers(response_b))


def _words(text: str) -> float:
    return float(len(text.split()))


def _invites(text: str) -> float:
    return 3.0 * text.rstrip().endswith("?") - 0.5 * text.count("!")


def _covers(text: str) -> float:
    steps = len(re.findall(r"(?m)^\s*(?:\d+[.)]|[-*])\s", text))
    return _words(text) + 3.0 * steps - 2.0 * text.count("!")


def _verdict(messages: list[dict[str, Any]], a: str, b: str, worth_a: float, worth_b: float) -> str:
    if worth_a == worth_b:
        return "tie"
    better = "a" if worth_a > worth_b else "b"
    told = f"{messages}\0{a}\0{b}".encode()
    wrong = int.from_bytes(hashlib.sha256(told).digest()[:4], "big") / 2**32 < NOISE
    return {"a": "b", "b": "a"}[better] if wrong else better
