"""Does somebody guess? Evidence from answers that are known, looked at after each one.

Knows: right and wrong answers in the order they came. Does not know who answered, or what follows.

A test made for one planned moment, repeated after every answer, accuses good annotators far more
often than its level says. Here the evidence is an e-process: a bet, begun with 1, against "right at
least 75 % of the time" that pays most where the answers are those of a coin. Whatever the true
accuracy of at least 75 %, the bet is a supermartingale, so by Ville's inequality it reaches 1/α
ever with probability at most α, however often it is looked at (Ville 1939; Shafer 2021, JRSS-A
184:407-431; Ramdas, Grünwald, Vovk and Shafer 2023, Statistical Science 38:576-601).

One bet from the first answer would take as long to notice who turned careless as they were careful
before. So half of the stake is bet from the start, the rest in parts that are put down later, after
10, 20, 30 … answers (a mixture of e-processes is one).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from preference.encoding import Floats
from preference.errors import InputError

AT_LEAST = 0.75
"""A share of right answers at which nobody should be accused."""
GUESS = 0.5
"""The share right that is bet on: who cannot tell two replies apart."""
EVERY = 10
"""Answers between two moments at which a part of the stake is put down."""


def evidence_of_guessing(
    right: Any, *, at_least: float = AT_LEAST, guess: float = GUESS, every: int = EVERY
) -> Floats:
    """What the bet against "right at least this often" is worth after each answer.

    With L(s, n) the product over answers s+1..n of guess/at_least where right and
    (1 − guess)/(1 − at_least) where wrong, and w = 1/2 for s = 0 and 1/(2j(j + 1)) for s = j·every:
    E(n) = Σ w(s)·L(s, n) over the starts s < n, and the rest of the stake as it is.

    Args:
        right: n booleans in the order they came, or (…, n) for several annotators at once.
        at_least: the accuracy that is refuted; between guess and 1.
        guess: the accuracy that is bet on; between 0 and at_least.
        every: answers between two starts.

    Returns:
        E after each answer, the shape of right; 20 or more, ever, refutes at 5 %.

    Raises:
        InputError: a number is out of bounds.
    """
    if not 0 < guess < at_least < 1:
        raise InputError(f"0 < guess < at_least < 1 is needed, not {guess:g} and {at_least:g}")
    if every < 1:
        raise InputError(f"every is 1 or more, not {every}")
    answers = np.asarray(right, dtype=np.bool_)
    won, lost = np.log(guess / at_least), np.log((1 - guess) / (1 - at_least))
    worth: Floats = np.cumsum(lost + (won - lost) * answers.astype(np.float64), axis=-1)
    value = np.exp(worth) / 2
    length = answers.shape[-1]
    starts = range(every, length + every, every)
    for number, start in enumerate(starts, start=1):
        stake = 1 / (2 * number * (number + 1))
        value[..., :start] += stake
        if start < length:
            value[..., start:] += stake * np.exp(worth[..., start:] - worth[..., start - 1, None])
    return value + 1 / (2 * (len(starts) + 1))  # what is put down after the last answer
