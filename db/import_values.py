"""Fields of a row as the ledger's own words: verdicts, kinds, times. Touches no database."""

from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from db.lines import Line
from db.models import Verdict

K = TypeVar("K", bound=StrEnum)


def verdict(line: Line, name: str = "verdict") -> Verdict:
    """A verdict, in any case of letters.

    Raises:
        ImportRefused: It is missing or is none.
    """
    value = line.text(name)
    try:
        return Verdict(value.strip().lower())
    except ValueError:
        raise line.refuse(name, f"{value!r} is not a, b, tie or both_bad") from None


def strength(line: Line, said: Verdict) -> int | None:
    """How strong a verdict is: 1 where the row does not say, None for a tie and both bad.

    Raises:
        ImportRefused: It is no strength, or the verdict has none.
    """
    told = line.integer("strength", (0, 1, 2)) or None
    if said in {Verdict.A, Verdict.B}:
        return told or 1
    if told:
        raise line.refuse("strength", f"a {said.value} has none; leave it empty")
    return None


def choice(line: Line, name: str, kinds: type[K], default: K) -> K:
    """One of the words of an enumeration.

    Raises:
        ImportRefused: It is none of them.
    """
    value = line.text(name, default.value)
    try:
        return kinds(value)
    except ValueError:
        listed = ", ".join(each.value for each in kinds)
        raise line.refuse(name, f"{value!r} is not one of {listed}") from None


def one_of(line: Line, name: str, allowed: Collection[str]) -> str | None:
    """One of some words, or None where the field is missing or empty.

    Raises:
        ImportRefused: It is none of them.
    """
    value = line.optional(name)
    if value is not None and value not in allowed:
        raise line.refuse(name, f"{value!r} is not one of {', '.join(allowed)}")
    return value


def moment(line: Line, name: str) -> datetime | None:
    """A time in UTC, or None where the field is missing or empty; one without a zone is UTC.

    Raises:
        ImportRefused: It is no time.
    """
    value = line.row.get(name)
    if isinstance(value, datetime):
        found = datetime.combine(value.date(), value.timetz())  # no subclass: it may hold more
    else:
        text = line.optional(name)
        if text is None:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise line.refuse(
                name, f"{text!r} is not a time such as 2026-01-31T12:00:00Z"
            ) from None
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        raise line.refuse(name, f"{found} is outside the calendar; correct it") from None
