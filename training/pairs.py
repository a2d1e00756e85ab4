"""Judgments to training pairs: soft labels, weights, a permanent held-out part, every drop counted.

Knows verdicts and counting. Does not know tokens, models, the database or how pairs are trained on.

All judgments of the same two texts for the same prompt are one pair, whichever comparison asked.
With w = 1 for "better" and ``strong`` for "much better" (times the judgment's own weight, 1 unless
an import says otherwise),

    p = (Σ w·[judged better than the other] + a) / (Σ w + 2a),    a = ``smoothing``

is the label of the text with the larger sum. Ties and both-bad verdicts never change a label;
they are counted, like everything else that is dropped, under their reason.

``ties`` says what becomes of ties. ``drop``: nothing. ``rao_kupper``: where ties weigh more than
the judgments for either text, that is what the judgments together say, and the pair is a tie, to be
trained with the Rao-Kupper tie loss; the judgments for a text that it outweighs are dropped. Where
ties do not outweigh both, they are dropped and the others decide as always.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from training.errors import ConfigRefused

DROP, RAO_KUPPER = "drop", "rao_kupper"
TIES = (DROP, RAO_KUPPER)


class Row(Protocol):
    """What is read of one judgment of a snapshot; ``a`` and ``b`` in canonical order."""

    @property
    def judgment_id(self) -> int: ...  # noqa: D102
    @property
    def verdict(self) -> Any: ...  # noqa: D102
    @property
    def strength(self) -> int | None: ...  # noqa: D102
    @property
    def messages(self) -> Sequence[Any]: ...  # noqa: D102
    @property
    def text_a(self) -> str: ...  # noqa: D102
    @property
    def text_b(self) -> str: ...  # noqa: D102
    @property
    def weight(self) -> float: ...  # noqa: D102
    @property
    def tokens_a(self) -> Any: ...  # noqa: D102
    @property
    def tokens_b(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class PairOptions:
    """How judgments become pairs.

    Attributes:
        strong: weight of "much better" beside 1 for "better".
        smoothing: pseudo-judgments added to each side of a label, so that one judgment is not
            taken for certain.
        even: labels closer to one half than this are dropped.
        heldout_share: share of prompts whose pairs are never trained on, by hash of the prompt.
        ties: ``drop``, or ``rao_kupper``: pairs whose judgments together say tie are tie pairs.
    """

    strong: float = 1.5
    smoothing: float = 0.0
    even: float = 0.05
    heldout_share: float = 0.1
    ties: str = DROP

    def __post_init__(self) -> None:
        """Refuse values that make no sense, by name."""
        for name, low, high in (
            ("strong", 1.0, 100.0),
            ("smoothing", 0.0, 100.0),
            ("even", 0.0, 0.49),
            ("heldout_share", 0.0, 0.9),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigRefused(
                    f"{name} must lie between {low:g} and {high:g}, got {getattr(self, name)}"
                )
        if self.ties not in TIES:
            raise ConfigRefused(f"ties must be one of {', '.join(TIES)}, got {self.ties!r}")


@dataclass(frozen=True)
class PreferencePair:
    """Two responses to one prompt, the better one first.

    Attributes:
        messages: the conversation, turns of role and content, the last from the user.
        chosen: text judged better; of a tie the first in the order of texts.
        rejected: text judged worse; of a tie the other.
        label: probability that ``chosen`` is better, above 0.5 and at most 1; 0.5 of a tie.
        weight: how much it counts; the training pairs of a set have mean 1.
        judgments: ids of the judgments behind it, ascending.
        prompt: key of the prompt.
        chosen_tokens: token ids with which ``chosen`` was generated, or None where not known.
        rejected_tokens: those of ``rejected``.
        tie: whether the judgments together say that neither is better.
    """

    messages: tuple[dict[str, str], ...]
    chosen: str
    rejected: str
    label: float
    weight: float
    judgments: tuple[int, ...]
    prompt: str
    chosen_tokens: tuple[int, ...] | None = None
    rejected_tokens: tuple[int, ...] | None = None
    tie: bool = False

    @property
    def key(self) -> str:
        """SHA-256 of prompt and both texts, the same whichever was chosen."""
        texts = sorted((self.chosen, self.rejected))
        return hashlib.sha256(json.dumps([self.prompt, *texts]).encode()).hexdigest()


@dataclass(frozen=True)
class PairSet:
    """The pairs of a snapshot.

    Attributes:
        training: pairs to train on, in order of their first judgment.
        heldout: pairs of held-out prompts, to measure with, never trained on.
        judgments: how many judgments came in.
        used: how many are behind a pair of either part.
        dropped: judgments left out, by reason.
    """

    training: tuple[PreferencePair, ...]
    heldout: tuple[PreferencePair, ...]
    judgments: int
    used: int
    dropped: dict[str, int] = field(default_factory=dict)

    def in_words(self, dropped: Mapping[str, int] | None = None) -> str:
        """One line for people: how many pairs, how many judgments, what was left out and why.

        Args:
            dropped: what a run leaves out, where that is more than what made no pair.
        """
        dropped = self.dropped if dropped is None else dropped
        left = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
        return (
            f"{len(self.training)} pairs to train on and {len(self.heldout)} held out from "
            f"{self.judgments} judgments" + (f"; left out: {left}" if left else "")
        )


def prompt_key(messages: Sequence[Any]) -> str:
    """SHA-256 of the conversation as canonical JSON."""
    turns = [{"role": m["role"], "content": m["content"]} for m in messages]
    text = json.dumps(turns, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def is_heldout(prompt: str, share: float) -> bool:
    """Whether a prompt belongs to the held-out part: decided by its key alone, so for good."""
    return int(prompt[:8], 16) / 2**32 < share


def build_pairs(rows: Iterable[Row], options: PairOptions | None = None) -> PairSet:
    """Aggregate judgments into pairs.

    Args:
        rows: standing judgments, in any order.
        options: None for the defaults.
    """
    options = options or PairOptions()
    dropped: Counter[str] = Counter()
    groups: dict[tuple[str, str, str], list[Row]] = {}
    ordered = sorted(rows, key=lambda row: row.judgment_id)
    for row in ordered:
        one, other = row.text_a.strip(), row.text_b.strip()
        reason = _unusable(row, one, other, options)
        if reason is not None:
            dropped[reason] += 1
        else:
            key = (prompt_key(row.messages), min(one, other), max(one, other))
            groups.setdefault(key, []).append(row)
    training, heldout = [], []
    for (prompt, first, second), group in groups.items():
        pair = _aggregated(prompt, first, second, group, options, dropped)
        if pair is not None:
            (heldout if is_heldout(prompt, options.heldout_share) else training).append(pair)
    training.sort(key=lambda pair: pair.judgments[0])
    heldout.sort(key=lambda pair: pair.judgments[0])
    used = sum(len(pair.judgments) for pair in (*training, *heldout))
    return PairSet(
        normalised(training),
        normalised(heldout),
        len(ordered),
        used,
        {reason: count for reason, count in sorted(dropped.items()) if count},
    )


def _unusable(row: Row, one: str, other: str, options: PairOptions) -> str | None:
    """Why a judgment can make no pair whatever the others say, or None."""
    verdict = str(row.verdict)
    if verdict == "both_bad":
        return "both bad"
    if verdict == "tie" and options.ties == DROP:
        return "ties"
    if row.weight <= 0:
        return "of no weight"
    if one == other:
        return "identical texts"
    return None if one and other else "empty texts"


def _aggregated(
    prompt: str,
    first: str,
    second: str,
    group: Sequence[Row],
    options: PairOptions,
    dropped: Counter[str],
) -> PreferencePair | None:
    """The pair of all judgments on two texts; what it leaves out is counted in ``dropped``."""
    mass = {first: 0.0, second: 0.0, _TIE: 0.0}
    sides: dict[str, list[Row]] = {first: [], second: [], _TIE: []}
    for row in group:
        said = _TIE if str(row.verdict) == "tie" else _better(row)
        mass[said] += row.weight * (options.strong if row.strength == 2 else 1.0)
        sides[said].append(row)
    decided = [*sides[first], *sides[second]]
    if mass[_TIE] > max(mass[first], mass[second]):
        dropped["outweighed by ties"] += len(decided)
        return _made(prompt, (first, second), 0.5, mass[_TIE], sides[_TIE], group, tie=True)
    dropped["ties beside other judgments"] += len(sides[_TIE])
    total = mass[first] + mass[second]
    chosen, rejected = (first, second) if mass[first] >= mass[second] else (second, first)
    label = (mass[chosen] + options.smoothing) / (total + 2 * options.smoothing)
    if label - 0.5 <= options.even:
        dropped["evenly judged"] += len(decided)
        return None
    return _made(prompt, (chosen, rejected), label, total, decided, group)


_TIE = ""
"""Stands for neither text; no usable text is empty."""


def _better(row: Row) -> str:
    return (row.text_a if str(row.verdict) == "a" else row.text_b).strip()


def _made(
    prompt: str,
    texts: tuple[str, str],
    label: float,
    weight: float,
    behind: Sequence[Row],
    group: Sequence[Row],
    tie: bool = False,
) -> PreferencePair:
    """A pair of the judgments behind it, with the tokens that anyone of the group has."""
    tokens: dict[str, tuple[int, ...]] = {}
    for row in group:
        for text, ids in ((row.text_a, row.tokens_a), (row.text_b, row.tokens_b)):
            if ids is not None:
                tokens.setdefault(text.strip(), tuple(int(token) for token in ids))
    return PreferencePair(
        tuple({"role": m["role"], "content": m["content"]} for m in group[0].messages),
        *texts,
        label,
        weight,
        tuple(sorted(row.judgment_id for row in behind)),
        prompt,
        tokens.get(texts[0]),
        tokens.get(texts[1]),
        tie,
    )


def normalised(pairs: Sequence[PreferencePair]) -> tuple[PreferencePair, ...]:
    """The same pairs with weights of mean 1, so that a learning rate means the same everywhere."""
    if not pairs:
        return ()
    mean = sum(pair.weight for pair in pairs) / len(pairs)
    return tuple(replace(pair, weight=pair.weight / mean) for pair in pairs)
