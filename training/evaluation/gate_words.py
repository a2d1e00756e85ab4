"""The gate's decision in words, for the ledger, the pages and the terminal.

Knows what was found. Does not know how, nor who reads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.evaluation.bounds import FEW, Bounds
from training.evaluation.guards import UNKNOWN, Guard


@dataclass(frozen=True)
class Told:
    """What a decision is told from; the fields are those of ``gate.Decision``.

    ``only`` is the annotator's name where one person gave every judgment.
    """

    outcome: str
    because: str
    challenger: str
    incumbent: str
    judgments: int
    both_bad: int
    annotators: int
    only: str
    wanted: int
    missing: int
    more: int
    most: int
    chance: float | None
    ci: float
    bounds: Bounds | None
    simulated: int
    automatic: int
    counts_everybody: bool
    early: str | None
    guards: Sequence[Guard]
    prescreen: Mapping[str, Any] | None
    exhausted: bool


def in_words(told: Told) -> str:
    """A few sentences: what was found, what follows, and whatever limits it."""
    parts = [_found(told), _follows(told), _people(told), _prescreened(told), _not_people(told)]
    unknown = [guard.name for guard in told.guards if guard.verdict == UNKNOWN and not guard.blocks]
    if unknown and told.outcome in ("promote", "reject"):
        parts.append(f"Not guarded, because not computed: {', '.join(unknown)}.")
    if told.early:
        parts.append(
            f"Decided early, on {told.judgments} of {told.wanted} judgments: {told.early}."
        )
    return " ".join(part for part in parts if part)


def _found(told: Told) -> str:
    by = f"by {told.annotators} {_plural(told.annotators, 'annotator')}"
    if not told.judgments:
        return f"Nobody has judged {told.challenger} against {told.incumbent} yet."
    if told.bounds is None:
        return (
            f"All {told.judgments} blind judgments {by} call both {told.challenger} and "
            f"{told.incumbent} bad."
        )
    kind = f"{told.ci:.0%} interval {told.bounds.low:.0%} to {told.bounds.high:.0%} at any time"
    over = {
        "every judgment": "",
        "prompts": f", over {told.bounds.prompts} prompts"
        if told.bounds.prompts < told.bounds.outcomes
        else "",
        "too few prompts": f": {told.bounds.prompts} prompts judged again and again are too few",
    }[told.bounds.method]
    if told.bounds.over_annotators:
        over += f"{' and' if over else ', over'} {told.bounds.annotators} annotators"
    return (
        f"{told.challenger} beat {told.incumbent} in {told.bounds.value:.0%} of "
        f"{told.bounds.outcomes} blind judgments {by} ({kind}{over})."
    )


def _follows(told: Told) -> str:
    failed = [guard for guard in told.guards if guard.blocks]
    if told.because == "guard":
        return (
            "Rejected by "
            + "; ".join(
                f"the guard on {guard.name} ({guard.reason}; wanted: {guard.bound})"
                for guard in failed
            )
            + ". The incumbent stays."
        )
    if told.because == "both bad":
        return "Rejected: nobody preferred the challenger; the incumbent stays."
    if told.because == "judge":
        return "Rejected: a judge clearly finds it worse, so nobody was asked; the incumbent stays."
    if told.outcome == "promote":
        return "Promoted: the whole interval lies above one half."
    if told.because == "loss":
        return "Rejected: the challenger is worse; the incumbent stays."
    if told.because == "most" and told.exhausted:
        return (
            "Rejected: the interval reaches one half or below, so it may be chance, and there is "
            "no further pair to ask; the incumbent stays."
        )
    if told.because == "most":
        return (
            "Rejected: the interval reaches one half or below, so it may be chance, and no more "
            "judgments are asked for"
            + (f" (the most is {told.most})" if told.most > 1 else "")
            + "; the incumbent stays."
        )
    if told.because == "chance":
        return (
            f"Rejected: up to {told.most} judgments would promote it with a chance of "
            f"{told.chance:.0%}, too little to ask for more; the incumbent stays."
        )
    if told.because == "early":
        return "Rejected: the interval reaches one half or below, so it may be chance."
    if told.outcome == "more":
        return _asks(told)
    return f"Not decided: {told.missing} of {told.wanted} judgments are still missing."


def _asks(told: Told) -> str:
    if told.chance is None:
        return f"Not decided: {told.more} more judgments are asked for."
    return (
        f"Not decided: {told.more} more judgments are asked for, as many as likely decide it; up "
        f"to {told.most} would promote it with a chance of {told.chance:.0%}."
    )


def _people(told: Told) -> str:
    """What few annotators cannot say."""
    if told.bounds is None or told.bounds.over_annotators:
        return ""
    if told.only:
        return f"All of it is {told.only}'s view; what others would say is not known."
    if told.annotators < FEW:
        return (
            f"It is the view of these {told.annotators} annotators; too few to say how far others "
            "differ."
        )
    return ""


def _prescreened(told: Told) -> str:
    if not told.prescreen:
        return ""
    return f"AUTOMATIC pre-screen: {told.prescreen.get('words', 'not made')}"


def _not_people(told: Told) -> str:
    others = [
        f"{count} by {whom}"
        for count, whom in (
            (told.simulated, "simulated annotators"),
            (told.automatic, "automatic judges"),
        )
        if count
    ]
    if not others:
        return ""
    number = told.simulated + told.automatic
    if told.counts_everybody:
        return f"SIMULATED: {number} of the judgments were made by no person."
    verb = "does not count" if number == 1 else "do not count"
    return (
        f"{number} {_plural(number, 'judgment')} ({', '.join(others)}) {verb}: only people decide."
    )


def _plural(number: int, word: str) -> str:
    return word if number == 1 else f"{word}s"
