"""Whether judgments are good enough to train on: five questions, each with what would answer it.

Knows statistics and what is asked of a set of judgments. Does not know the ledger, runs or pages.

What cannot be measured refuses nothing: a small project whose pairs were judged once each has no
agreement yet, and that is said. What is clearly violated refuses: the whole 95 % interval of a
measured quantity lies on the wrong side of its limit. A refusal says how many more judgments would
do, supposing that they are as they should be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from preference.agreement import alpha_of_counts
from preference.effective import effective_number, more_for
from preference.encoding import Floats
from preference.errors import InputError
from preference.untyped import csgraph, sparse
from preference.win_rate import wilson

SURE = 1.959963984540054
"""Normal quantile of a two-sided 95 % interval."""
FEWEST = 10
"""Comparisons that several people judged, or gold answers, or decided judgments, from which on they
may refuse: the interval of fewer is no ground for anything."""
VERDICTS = ("a", "b", "tie", "both_bad")


@dataclass(frozen=True)
class Limits:
    """What judgments must be like.

    Attributes:
        effective: least effective number of judgments that prefer one response.
        same_annotator: correlation that is assumed between the judgments of one annotator, 0 to 1:
            with 0.02 no number of judgments by one person is worth more than 50.
        agreement: least Krippendorff alpha of the comparisons that several people judged.
        shared: least number of such comparisons; 0 asks for none.
        gold_accuracy: least share of right first answers to gold.
        gold_answers: least number of such answers; 0 asks for none.
        position_bias: largest distance from one half of the share that the first place wins.
        islands: most groups of adapters with no judgment between them.
    """

    effective: float = 15.0
    same_annotator: float = 0.02
    agreement: float = 0.1
    shared: int = 0
    gold_accuracy: float = 0.6
    gold_answers: int = 0
    position_bias: float = 0.2
    islands: int = 1


@dataclass(frozen=True)
class Evidence:
    """Judgments as the questions need them, one entry each.

    Attributes:
        verdict: a, b, tie or both_bad, in canonical order.
        annotator: ids.
        comparison: ids.
        placement: +1 where A was shown first, -1 second, 0 unknown.
        weight: of each judgment, its annotator's weight included.
        item_a: who wrote A, of each judgment.
        item_b: who wrote B.
        links: pairs of items that were ever compared, by these judgments or others.
        gold_right: right first answers of these annotators to gold.
        gold_answers: all their first answers to it.
    """

    verdict: Sequence[str] = ()
    annotator: Sequence[int] = ()
    comparison: Sequence[int] = ()
    placement: Sequence[int] = ()
    weight: Sequence[float] = ()
    item_a: Sequence[str] = ()
    item_b: Sequence[str] = ()
    links: Sequence[tuple[str, str]] = ()
    gold_right: int = 0
    gold_answers: int = 0


@dataclass(frozen=True)
class Question:
    """One question and its answer.

    Attributes:
        name: effective, agreement, gold, position or graph.
        ok: whether it lets a run through.
        value: what was measured; None where it cannot be told.
        wanted: the limit.
        n: judgments (or comparisons, or answers) it was measured on.
        more: judgments that would do; 0 where it is answered well, None where none would.
        words: all of that in a sentence.
    """

    name: str
    ok: bool
    value: float | None
    wanted: float
    n: int
    more: int | None
    words: str


@dataclass(frozen=True)
class Readiness:
    """Every question with its answer."""

    questions: tuple[Question, ...] = field(default=())

    @property
    def ready(self) -> bool:
        """Whether no question refuses."""
        return all(each.ok for each in self.questions)

    @property
    def refusals(self) -> tuple[Question, ...]:
        """The questions that refuse."""
        return tuple(each for each in self.questions if not each.ok)

    def in_words(self) -> str:
        """The answers that refuse, or that there are none."""
        return "; ".join(each.words for each in self.refusals) or "ready"


def assess(told: Evidence, limits: Limits) -> Readiness:
    """Ask every question of some judgments.

    Raises:
        InputError: the columns have different lengths.
    """
    n = len(told.verdict)
    for name in ("annotator", "comparison", "placement", "weight", "item_a", "item_b"):
        if len(getattr(told, name)) != n:
            raise InputError(f"{name} has {len(getattr(told, name))} values where verdict has {n}")
    agreement, alpha = _agreement(told, limits)
    return Readiness(
        (
            _effective(told, limits, alpha),
            agreement,
            _gold(told, limits),
            _position(told, limits),
            _graph(told, limits),
        )
    )


def _effective(told: Evidence, limits: Limits, alpha: float | None) -> Question:
    """Several judgments of one comparison count by how alike they are: alpha, or wholly alike."""
    kept = [i for i, verdict in enumerate(told.verdict) if verdict in ("a", "b")]
    wanted = limits.effective
    if not kept:
        words = "no judgment prefers one response, so there is nothing to count"
        return Question("effective", True, None, wanted, 0, 0, words)
    pair = 1.0 if alpha is None else min(max(alpha, 0.0), 1.0)
    w = [told.weight[i] for i in kept]
    comparison = [told.comparison[i] for i in kept]
    annotator = [told.annotator[i] for i in kept]
    person = limits.same_annotator
    value = effective_number(w, comparison, annotator, same_comparison=pair, same_annotator=person)
    words = f"{_many(len(kept), 'judgment')} that prefer one response count as {value:.0f}"
    if value >= wanted:
        return Question("effective", True, value, wanted, len(kept), 0, words)
    more = more_for(wanted, w, comparison, annotator, same_comparison=pair, same_annotator=person)
    words += f" where {wanted:.0f} are wanted"
    if more is None:
        people = len(set(annotator))
        who = "one person" if people == 1 else f"these {people} people"
        words += f": no number of judgments by {who} would do, ask others too"
    else:
        words += f": about {more} more by the same people would do"
    return Question("effective", False, value, wanted, len(kept), more, words)


def _agreement(told: Evidence, limits: Limits) -> tuple[Question, float | None]:
    """The question and alpha, where it can be measured."""
    wanted = limits.agreement
    counts = _counts(told)
    shared = len(counts)
    if shared < limits.shared:
        more = limits.shared - shared
        words = (
            f"{_many(shared, 'pair')} judged by several people where {limits.shared} are wanted: "
            f"{more} second judgments would do (raise a batch's overlap)"
        )
        return Question("agreement", False, None, wanted, shared, more, words), None
    found = alpha_of_counts(counts) if shared else None
    if found is None or shared < FEWEST or not math.isfinite(found.value):
        why = "was" if shared == 1 else "were"
        words = f"agreement cannot be told yet: {_many(shared, 'pair')} {why} judged by several"
        if found is not None and shared >= FEWEST:
            words = f"agreement cannot be told: {found.explanation}"
        return Question("agreement", True, None, wanted, shared, 0, words), None
    value = float(found.value)
    words = f"agreement on {shared} pairs that several people judged is {value:.2f} (alpha)"
    if found.ci_high >= wanted:
        return Question("agreement", True, value, wanted, shared, 0, words), value
    alike = math.ceil(shared * ((1 - value) / (1 - wanted) - 1))
    words += (
        f" where {wanted:.2f} is wanted: people see different things, so look at the guidelines "
        f"first; then some {2 * alike} judgments, two on each of {alike} more pairs and alike, "
        "would do"
    )
    return Question("agreement", False, value, wanted, shared, 2 * alike, words), value


def _counts(told: Evidence) -> Floats:
    """(comparisons that several people judged, verdicts) counts."""
    _, unit = np.unique(np.asarray(told.comparison, dtype=np.int64), return_inverse=True)
    codes = np.array([VERDICTS.index(verdict) for verdict in told.verdict], dtype=np.int64)
    width = len(VERDICTS)
    rows = int(unit.max(initial=-1)) + 1
    counts = np.bincount(unit * width + codes, minlength=rows * width).reshape(rows, width)
    return counts[counts.sum(axis=1) > 1].astype(np.float64)


def _gold(told: Evidence, limits: Limits) -> Question:
    n, right, wanted = told.gold_answers, told.gold_right, limits.gold_accuracy
    if n < limits.gold_answers:
        more = limits.gold_answers - n
        words = (
            f"{_many(n, 'gold answer')} where {limits.gold_answers} are wanted: {more} more would "
            "do (raise a batch's gold rate)"
        )
        return Question("gold", False, right / n if n else None, wanted, n, more, words)
    if n < FEWEST:
        words = f"gold accuracy cannot be told yet: {_many(n, 'answer')} to known pairs"
        return Question("gold", True, None, wanted, n, 0, words)
    value = right / n
    words = f"{right} of {n} answers to known pairs are right"
    if float(wilson(value, n, SURE)[1]) >= wanted:
        return Question("gold", True, value, wanted, n, 0, words)
    more = math.ceil((wanted * n - right) / (1 - wanted))
    words += f" where {wanted:.0%} is wanted: {more} more right ones would do"
    return Question("gold", False, value, wanted, n, more, words)


def _position(told: Evidence, limits: Limits) -> Question:
    first = [
        (verdict == "a") == (placement > 0)
        for verdict, placement in zip(told.verdict, told.placement, strict=True)
        if verdict in ("a", "b") and placement != 0
    ]
    n, allowed = len(first), limits.position_bias
    if n < FEWEST:
        words = f"a leaning to one side cannot be told yet: {_many(n, 'decided judgment')}"
        return Question("position", True, None, allowed, n, 0, words)
    value = sum(first) / n
    low, high = (float(end) for end in wilson(value, n, SURE))
    words = f"the first place won {value:.0%} of {n} decided judgments"
    if low <= 0.5 + allowed and high >= 0.5 - allowed:
        return Question("position", True, value, allowed, n, 0, words)
    more = math.ceil((abs(value - 0.5) / allowed - 1) * n)
    words += (
        f" where {0.5 - allowed:.0%} to {0.5 + allowed:.0%} is wanted: {more} more judgments "
        "without a leaning would do"
    )
    return Question("position", False, value, allowed, n, more, words)


def _graph(told: Evidence, limits: Limits) -> Question:
    """Adapters that the judgments compare with others must hang together, by whatever links."""
    met = {
        item
        for a, b in zip(told.item_a, told.item_b, strict=True)
        if a != b
        for item in (str(a), str(b))
    }
    wanted = limits.islands
    if not met:
        words = "every pair compares an adapter with itself, so there is nothing to connect"
        return Question("graph", True, None, wanted, 0, 0, words)
    links = {(str(a), str(b)) for a, b in told.links if a != b}
    links |= {(a, b) for a, b in zip(told.item_a, told.item_b, strict=True) if a != b}
    items = sorted(met | {item for link in links for item in link})
    at = {item: number for number, item in enumerate(items)}
    ends = np.array([[at[a], at[b]] for a, b in sorted(links)])
    shape = (len(items), len(items))
    graph = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=shape)
    _, group = csgraph.connected_components(graph.tocsr(), connection="weak")
    islands: dict[int, list[str]] = {}
    for item in sorted(met):
        islands.setdefault(int(group[at[item]]), []).append(item)
    count = len(islands)
    words = f"the {_many(len(met), 'adapter')} compared with each other hang together"
    if count <= wanted:
        return Question("graph", True, float(count), wanted, len(met), 0, words)
    named = " and ".join("{" + ", ".join(g) + "}" for g in list(islands.values())[:3])
    more = count - wanted
    words = (
        f"the adapters compared fall into {count} groups where {wanted} is wanted ({named}): "
        f"{_many(more, 'judgment')} between them would do"
    )
    return Question("graph", False, float(count), wanted, len(met), more, words)


def _many(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
