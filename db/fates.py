"""Which of a day's pairs are gold or an own earlier one: random to who judges, never drawn twice.

A rate cuts the day's pairs into windows of 1/rate; in each window one pair, at a place that a keyed
hash tells, is of that kind. So a share is kept to the pair, no run without gold is longer than two
windows, and asking again (a reload, a second tab, a pair skipped) gives the same answer. Pure:
knows no ledger.
"""

from datetime import date
from enum import StrEnum
from fractions import Fraction
from hashlib import blake2b

MOST = 0.3
"""The highest rate of either kind, so that at least four pairs in ten are work."""


class Fate(StrEnum):
    """What the next pair is."""

    WORK = "work"
    GOLD = "gold"
    REPEAT = "repeat"


def day_key(secret: str, day: date) -> bytes:
    """The key of one annotator's day.

    Args:
        secret: What only the server knows of the annotator.
        day: The day (UTC).
    """
    return blake2b(f"{secret}|{day.isoformat()}".encode(), digest_size=32).digest()


def number(key: bytes, *parts: object) -> int:
    """A number that nobody without the key can tell."""
    text = "|".join(str(part) for part in parts).encode()
    return int.from_bytes(blake2b(text, key=key, digest_size=8).digest(), "big")


def fate(key: bytes, slot: int, gold_rate: float, repeat_rate: float) -> Fate:
    """What the day's pair of this number is, counted from 0.

    Where a repeat would fall on gold, it takes the next pair of its window that is not gold.
    """
    if gold_rate > 0 and _place(key, Fate.GOLD, slot, gold_rate)[0] == slot:
        return Fate.GOLD
    if repeat_rate <= 0:
        return Fate.WORK
    place, start, end = _place(key, Fate.REPEAT, slot, repeat_rate)
    for _ in range(end - start):
        if gold_rate <= 0 or _place(key, Fate.GOLD, place, gold_rate)[0] != place:
            return Fate.REPEAT if place == slot else Fate.WORK
        place = place + 1 if place + 1 < end else start
    return Fate.WORK


def pairs_to_go(
    key: bytes,
    slot: int,
    work: int,
    *,
    gold_rate: float,
    repeat_rate: float,
    golds: int,
    repeats_from: int,
) -> int:
    """How many pairs an annotator will see from this slot on until the work is done.

    Counted so, a total on the page does not move when one of the mixed-in pairs comes up.

    Args:
        key: The day's key.
        slot: The number of the next pair.
        work: Work pairs that are left.
        gold_rate: Share of gold.
        repeat_rate: Share of repeats.
        golds: Gold that this annotator has not seen.
        repeats_from: The first slot at which an earlier pair is old enough to be repeated.
    """
    seen = 0
    while work > 0:
        kind = fate(key, slot + seen, gold_rate, repeat_rate)
        if kind is Fate.GOLD and golds > 0:
            golds -= 1
        elif kind is not Fate.REPEAT or slot + seen < repeats_from:
            work -= 1
        seen += 1
    return seen


def _place(key: bytes, kind: Fate, slot: int, rate: float) -> tuple[int, int, int]:
    """The pair of this kind in the slot's window, and the window's first and after-last slot."""
    share = Fraction(min(rate, MOST)).limit_denominator(1000)
    if share <= 0:
        return -1, slot, slot + 1
    window = int(slot * share)
    start, end = _ceil(window / share), _ceil((window + 1) / share)
    return start + number(key, kind, window) % (end - start), start, end


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
