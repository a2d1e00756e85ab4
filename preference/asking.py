"""What to ask next, and when to stop asking.

Knows: a fit, the pairs that could be shown, and what one more judgment of each would teach. Does
not know people, queues or prompts.

One judgment of (i, j) adds w d d' to the information, d = e_i - e_j and w the expected information
of one verdict at the current estimate; the covariance C shrinks by w (C d)(C d)' / (1 + w d' C d)
(Sherman-Morrison). Pairs are picked one at a time by how much the asked-for quantity would shrink,
each pick updating C, so a batch does not ask the same thing over and over (greedy sequential
design: Chaloner and Verdinelli 1995, Statistical Science 10:273-304).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from preference.arguments import listed, number, whole
from preference.bradley_terry import BradleyTerryFit
from preference.comparisons import pairwise_differences
from preference.encoding import Floats, Ints, Item
from preference.errors import InputError
from preference.outcomes import TieModel, derivatives, probabilities
from preference.untyped import special

Question = Literal["ratings", "ranking"] | tuple[Item, Item]
STARVED = 0.5  # an item below this share of the average number of judgments comes first
_SHORTLIST = 256
_FEW = 6  # clusters below which a number of judgments still needed means nothing


@dataclass(frozen=True)
class Pick:
    """A pair to ask, and its position among the candidates."""

    first: Item
    second: Item
    position: int
    gain: float


@dataclass(frozen=True)
class Verdict:
    """Whether more judgments would change the answer.

    Attributes:
        enough: True when they would not.
        reason: one sentence.
        more: judgments still needed, roughly, at the present rate of learning; 0 when enough, None
            when it cannot be said.
    """

    enough: bool
    reason: str
    more: int | None


def next_pairs(
    fit: BradleyTerryFit,
    candidates: Sequence[tuple[Item, Item]] | None = None,
    n: int = 1,
    *,
    question: Question = "ranking",
    starved: float = STARVED,
) -> list[Pick]:
    """The n pairs whose judgments would teach most.

    Args:
        fit: the present state of knowledge.
        candidates: pairs that can be asked, each at most once (a pair that can be asked three times
            is listed three times); None: any pair of the fit's items, as often as wanted.
        n: how many; fewer come back when candidates run out.
        question: `ranking` (the order of all items: fewest pairs in the wrong order), `ratings`
            (the smallest intervals on average), or (x, y): which of two is better.
        starved: items with fewer judgments than this share of the average are served first, so
            that no item is forgotten; 0 switches it off. Not used for a question of two items.

    Raises:
        InputError: unknown item or question.
    """
    _refuse_no_fit(fit)
    n, starved = whole(n, "n"), number(starved, "starved", 0.0)
    if candidates is None:
        k = len(fit.items)
        first, second = (np.asarray(x, dtype=np.int64) for x in np.triu_indices(k, 1))
    else:
        first, second = _positions(fit, listed(candidates, "candidates"))
    target = _target(fit, question)
    state = _State(fit, target, np.array(fit.covariance), np.array(fit.n, dtype=np.float64))
    free = np.ones(len(first), dtype=np.bool_)
    picks: list[Pick] = []
    while len(picks) < n and free.any():
        choice = state.shortlist(first, second, free, 0.0 if target is not None else starved)
        gains = state.gains(first[choice], second[choice], question)
        best = int(choice[int(np.argmax(gains))])
        i, j = int(first[best]), int(second[best])
        picks.append(Pick(fit.items[i], fit.items[j], best, float(gains.max())))
        state.learn(i, j)
        if candidates is not None:
            free[best] = False
    return picks


def _positions(fit: BradleyTerryFit, candidates: list[Any]) -> tuple[Ints, Ints]:
    """Item positions of the two sides of each candidate."""
    place = {item: i for i, item in enumerate(fit.items)}
    sides = np.empty((2, len(candidates)), dtype=np.int64)
    for i, pair in enumerate(candidates):
        if not isinstance(pair, (tuple, list)) or len(cast("list[Any]", pair)) != 2:
            raise InputError(f"candidate {pair!r} at index {i} must be a pair of items")
        for side, item in enumerate(cast("list[Any]", pair)):
            try:
                sides[side, i] = place[item]
            except (KeyError, TypeError):
                raise InputError(f"item {item!r} is not in this fit") from None
        if sides[0, i] == sides[1, i]:
            raise InputError(f"candidate {pair!r} at index {i} compares an item with itself")
    return sides[0], sides[1]


def _refuse_no_fit(fit: Any) -> None:
    if not isinstance(fit, BradleyTerryFit):
        raise InputError(
            f"fit must be what fit_bradley_terry gave back, not {type(fit).__name__}: where it "
            "refuses (no judgment yet, one item), there is nothing to say yet"
        )


def _target(fit: BradleyTerryFit, question: Any) -> tuple[int, int] | None:
    if isinstance(question, str) and question in ("ratings", "ranking"):
        return None
    if isinstance(question, tuple) and len(cast("tuple[Any, ...]", question)) == 2:
        first, second = cast("tuple[Any, Any]", question)
        if first == second:
            raise InputError(f"question {question!r} is about one item: name two")
        return fit.index(first), fit.index(second)
    raise InputError(f"question {question!r} is unknown: use ratings, ranking or a pair of items")


class _State:
    """What is known while a batch is being put together."""

    def __init__(
        self, fit: BradleyTerryFit, target: tuple[int, int] | None, c: Floats, counts: Floats
    ) -> None:
        self.fit, self.target, self.c, self.counts = fit, target, c, counts
        self.first, self.second = np.triu_indices(len(fit.items), 1)
        self.gap = np.abs(fit.ratings[self.first] - fit.ratings[self.second])
        tie = fit.effects.get("log_tie_parameter")
        self.tau = 0.0 if tie is None else tie.value
        self.model: TieModel = "half" if tie is None else fit.tie_model

    def information(self, i: Ints, j: Ints) -> Floats:
        """Expected information of one verdict about the difference of i and j."""
        eta = self.fit.ratings[i] - self.fit.ratings[j]
        p = probabilities(self.model, eta, self.tau)
        return derivatives(self.model, eta, self.tau, *p).ee

    def shortlist(self, i: Ints, j: Ints, free: Any, starved: float) -> Ints:
        """Positions worth scoring: of starved items first, else the most uncertain pairs."""
        choice = np.flatnonzero(free)
        if starved > 0:
            hungry = self.counts < starved * self.counts.mean()
            fed = choice[hungry[i[choice]] | hungry[j[choice]]]
            if len(fed):
                least = np.minimum(
                    np.where(hungry[i[fed]], self.counts[i[fed]], np.inf),
                    np.where(hungry[j[fed]], self.counts[j[fed]], np.inf),
                )
                choice = fed[least == least.min()]
        if len(choice) > _SHORTLIST:
            rough = self.gains(i[choice], j[choice], "ratings")
            choice = choice[np.argsort(-rough, kind="stable")[:_SHORTLIST]]
        return choice

    def gains(self, i: Ints, j: Ints, question: Question) -> Floats:
        """How much one verdict on each pair would shrink what is asked for."""
        w = self.information(i, j)
        cd = self.c[:, i] - self.c[:, j]  # (k, pairs)
        at = np.arange(len(i))
        shrink = w / (1 + w * (cd[i, at] - cd[j, at]))
        if self.target is not None and question != "ratings":
            x, y = self.target
            return shrink * (cd[x] - cd[y]) ** 2
        if question == "ratings":
            return shrink * (cd**2).sum(axis=0)
        d = np.diag(self.c)
        now = d[self.first] + d[self.second] - 2 * self.c[self.first, self.second]
        now = np.maximum(now, 1e-300)
        drop = shrink[None, :] * (cd[self.first] - cd[self.second]) ** 2
        # each pair's share of variance that one judgment takes away, by how likely the pair stands
        # in the wrong order; on simulated rankings the expected drop in the number of wrong pairs
        # needed a third more judgments (bench/README.md)
        doubt = special.ndtr(-self.gap / np.sqrt(now))
        return (doubt / now) @ drop

    def learn(self, i: int, j: int) -> None:
        """Take one judgment of (i, j) as made."""
        pair = np.array([i]), np.array([j])
        w = float(self.information(*pair)[0])
        cd = self.c[:, i] - self.c[:, j]
        self.c = self.c - np.outer(cd, cd) * (w / (1 + w * float(cd[i] - cd[j])))
        self.counts[i] += 1
        self.counts[j] += 1


def enough(
    fit: BradleyTerryFit,
    question: Question = "ranking",
    *,
    margin: float = 0.2,
    share: float = 0.95,
    half_width: float = 0.3,
) -> Verdict:
    """Would more judgments change the answer?

    With fewer than six clusters an answer of no says that other people are needed, and no number:
    how the error falls with more judgments by the same few cannot be told.

    Args:
        fit: the present state of knowledge.
        question: (x, y): enough when the interval of the difference leaves zero, or lies within
            +-`margin` (0.2 log-odds is a win rate of 55 %); `ranking`: when `share` of all pairs
            are ordered beyond doubt or within the margin; `ratings`: when every interval is at most
            +-`half_width`.
        margin: difference that does not matter, in log-odds.
        share: share of pairs that must be settled.
        half_width: half interval that is narrow enough, in log-odds.
    """
    _refuse_no_fit(fit)
    margin, share = number(margin, "margin", 0.0), number(share, "share", 0.0, 1.0, open_=True)
    half_width = number(half_width, "half_width", 0.0, open_=True)
    total = fit.weight_total
    target = _target(fit, question)
    if target is not None:
        d = fit.difference(fit.items[target[0]], fit.items[target[1]])
        x, y = (fit.items[i] for i in target)
        if d.ci_low > 0 or d.ci_high < 0:
            winner, loser = (x, y) if d.value > 0 else (y, x)
            return Verdict(True, f"{winner} is better than {loser}: the interval leaves zero", 0)
        if -margin < d.ci_low and d.ci_high < margin:
            return Verdict(True, f"{x} and {y} differ by less than {margin:g}: call it a tie", 0)
        reach = max(abs(d.value), margin - abs(d.value))
        more = _more(total, fit.quantile * d.se, reach)
        return _not_yet(fit, f"{x} and {y} cannot be told apart yet", more)
    if question == "ratings":
        widest = float((fit.quantile * fit.se).max())
        if widest <= half_width:
            return Verdict(True, f"every interval is within {half_width:g}", 0)
        item = fit.items[int(np.argmax(fit.se))]
        more = _more(total, widest, half_width)
        return _not_yet(fit, f"{item} is known only to within {widest:.2f}", more)
    d = pairwise_differences(fit, simultaneous=False)
    settled = (d.ci_low > 0) | (d.ci_high < 0) | ((d.ci_low > -margin) & (d.ci_high < margin))
    done = float(settled.mean())
    if done >= share:
        return Verdict(True, f"{done:.0%} of pairs are settled", 0)
    reach = np.maximum(np.abs(d.value), margin - np.abs(d.value))
    need = np.sort((d.critical * d.se / reach) ** 2)
    factor = float(need[min(int(np.ceil(share * len(need))) - 1, len(need) - 1)])
    more = int(np.ceil(total * max(factor - 1, 0.0))) if np.isfinite(factor) else None
    return _not_yet(fit, f"{done:.0%} of pairs are settled, {share:.0%} are wanted", more)


def _not_yet(fit: BradleyTerryFit, reason: str, more: int | None) -> Verdict:
    few = min(fit.clusters, default=_FEW)
    if few < _FEW:
        return Verdict(False, f"{reason}: {few} annotators (or prompts) only, ask others", None)
    return Verdict(False, reason, more)


def _more(total: float, half: float, reach: float) -> int | None:
    if reach <= 0:
        return None
    return max(int(np.ceil(total * ((half / reach) ** 2 - 1))), 1)
