"""Whose failures, which of them, how they stand: what ``db.failures`` takes and gives.

A scope (adapter, persona, round, people only, against whom) says which judgments count; a wish
(kind, reason, words, order) says which of its comparisons are listed. Knows no SQL.
"""

from dataclasses import dataclass
from enum import StrEnum


class Against(StrEnum):
    """Whom the adapter met: others, or itself (two of its own responses, as training asks)."""

    OTHERS = "others"
    ITSELF = "itself"


class Kind(StrEnum):
    """What went wrong in a comparison."""

    LOST = "lost"
    """More judgments preferred the other response than this one."""
    MUCH = "much"
    """Lost, and at least half of those who preferred the other said much better."""
    BOTH_BAD = "both_bad"
    """At least half of the judgments found both bad."""
    FLAGGED = "flagged"
    """Somebody flagged it."""


class Order(StrEnum):
    """Which comparison comes first."""

    AGREED = "agreed"
    NEWEST = "newest"


@dataclass(frozen=True)
class Scope:
    """Which judgments count.

    Attributes:
        adapter: Whose failures.
        persona: Only as this persona (slug); None for comparisons that have none.
        round: Only of the rounds of this number, those that an import told included.
        people_only: Leave out simulated and automatic annotators.
        against: Other adapters, or itself: then the response that lost is "this one".
    """

    adapter: str
    persona: str | None = None
    round: int | None = None
    people_only: bool = False
    against: Against = Against.OTHERS


@dataclass(frozen=True)
class Wish:
    """Which comparisons of a scope are listed, and in which order."""

    kind: Kind = Kind.LOST
    tag: str | None = None
    search: str = ""
    order: Order = Order.AGREED


@dataclass(frozen=True)
class Group:
    """Comparisons of one journey and intent. Counts of judgments but for the first five.

    Attributes:
        journey: The prompts' journey, where known.
        intent: Their intent, where known.
        comparisons: Judged comparisons.
        lost: Those of them lost.
        explained: Lost ones with at least one reason.
        units: Comparisons with a judgment that is not both bad.
        flagged: Comparisons that somebody flagged.
        judgments: Standing judgments.
        simulated: Those of them by simulated annotators.
        automatic: Those of them by automatic judges.
        wins: Preferred this adapter's response.
        losses: Preferred the other.
        ties: Found them equal.
        both_bad: Found both bad.
        score2: Sum over comparisons of S squared, S being its wins and half its ties.
        cross: Sum of S times N, N being its wins, losses and ties.
        weight2: Sum of N squared.
        newest: Id of the newest judgment.
    """

    journey: str | None
    intent: str | None
    comparisons: int
    lost: int
    explained: int
    units: int
    flagged: int
    judgments: int
    simulated: int
    automatic: int
    wins: int
    losses: int
    ties: int
    both_bad: int
    score2: float
    cross: float
    weight2: float
    newest: int


@dataclass(frozen=True)
class Standing:
    """How one comparison stands, from the adapter's side; counts of judgments.

    Attributes:
        comparison: Its id.
        side: ``a`` or ``b``: where this adapter's response (or the one that lost) is.
        wins: Preferred this response.
        losses: Preferred the other.
        much: Those of the losses that said much better.
        ties: Found them equal.
        both_bad: Found both bad.
        n: All of them.
        flags: Flagged it.
        simulated: By simulated annotators.
        automatic: By automatic judges.
    """

    comparison: int
    side: str
    wins: int
    losses: int
    much: int
    ties: int
    both_bad: int
    n: int
    flags: int
    simulated: int
    automatic: int


@dataclass(frozen=True)
class Found:
    """A stretch of the list, and how long the whole list is."""

    total: int
    rows: tuple[Standing, ...]
