"""The sentences that dashboards open with: numbers in, one plain statement out.

Knows how a win rate with its interval, a rating, a training curve and a round are said in words.
Knows no database, no chart and no Streamlit. A statement never claims more than its interval does.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from annotate_app.frames import Frame
from preference.agreement import Agreement


def percent(share: float | None) -> str:
    """``64 %`` for 0.64, a dash for a share that is not known."""
    return "–" if share is None or not isfinite(share) else f"{100 * share:.0f} %"


def interval(low: float | None, high: float | None) -> str:
    """``58 to 70`` for the shares 0.58 and 0.70, in whole per cent."""
    if low is None or high is None or not (isfinite(low) and isfinite(high)):
        return "no interval yet"
    return f"{100 * low:.0f} to {100 * high:.0f}"


def estimate(share: float | None, low: float | None, high: float | None) -> str:
    """``64 %, 58 to 70``."""
    return f"{percent(share)}, {interval(low, high)}"


def estimates(
    frame: Frame, value: str = "value", low: str = "ci_low", high: str = "ci_high"
) -> list[str]:
    """``estimate`` of each row of a frame with these columns."""
    return [estimate(*row) for row in zip(frame[value], frame[low], frame[high], strict=True)]


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 judgment``, ``1,204 judgments``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """``a, b and c``; ``a, b, c, d and 3 more``."""
    if len(names) > most:
        return ", ".join(names[:most]) + f" and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def versus(
    challenger: str, incumbent: str, persona: str, rate: tuple[float, float, float] | None, n: int
) -> str:
    """Who is ahead, as far as the interval allows it to be said.

    Args:
        challenger: short name of the one whose win rate this is.
        incumbent: short name of the other.
        persona: display name, or empty.
        rate: win rate of the challenger with the ends of its interval, as shares.
        n: judgments behind it, ``both_bad`` left out.
    """
    where = f" for {persona}" if persona else ""
    if rate is None or n == 0:
        return sentence(f"nobody has judged {challenger} against {incumbent}{where} yet")
    said = estimate(*rate)
    if rate[1] > 0.5:
        return sentence(f"{challenger} beats {incumbent}{where}: {said}")
    if rate[2] < 0.5:
        return sentence(f"{challenger} loses to {incumbent}{where}: {said}")
    return sentence(f"{challenger} and {incumbent} cannot be told apart yet{where}: {said}")


def leader(
    ratings: Sequence[tuple[str, float, float, float]],
    persona: str = "",
    lead: tuple[float, float] | None = None,
) -> str:
    """Who leads a table of ratings.

    Args:
        ratings: (name, rating, low, high) in falling order of rating.
        persona: display name, or empty.
        lead: joint interval of the difference between the first two; None compares their own
            intervals, which is the more careful answer.
    """
    where = f" for {persona}" if persona else ""
    if not ratings:
        return sentence(f"no ratings yet{where}")
    first, rating, low, _ = ratings[0]
    if len(ratings) == 1:
        return sentence(f"{first} is alone{where}: a rating needs two to compare")
    second, apart = ratings[1][0], rating - ratings[1][1]
    sure = low > ratings[1][3] if lead is None else lead[0] > 0
    between = f", {lead[0]:.2f} to {lead[1]:.2f}" if lead is not None else ""
    if sure:
        return sentence(f"{first} leads{where}, ahead of {second} by {apart:.2f}{between}")
    return sentence(
        f"{first} and {second} cannot be told apart{where}: {apart:.2f} between them{between}"
    )


def course(
    label: str, values: Iterable[float], shares: bool = False, steps: int | None = None
) -> str:
    """How a quantity went: ``Loss fell from 0.69 to 0.41 in 24 steps``.

    Args:
        label: what the quantity is called.
        values: in the order of their steps.
        shares: whether they are shares of one.
        steps: up to which step, where not every step has a value; None is one step a value.
    """
    known = [value for value in values if isfinite(value)]
    if not known:
        return f"{label}: nothing measured yet"
    say = percent if shares else _decimal
    if len(known) == 1:
        return f"{label} stands at {say(known[0])}"
    head, tail = known[0], known[-1]
    span = max(known) - min(known)
    length = counted(len(known) if steps is None else steps, "step")
    if abs(tail - head) <= 0.1 * span or say(head) == say(tail):
        return f"{label} stayed near {say(tail)} over {length}"
    verb = "fell" if tail < head else "rose"
    return f"{label} {verb} from {say(head)} to {say(tail)} in {length}"


def over_rounds(persona: str, rows: Sequence[tuple[int, float, float, float]], against: str) -> str:
    """How win rates moved over rounds: rows of (round, rate, low, high) in order."""
    if not rows:
        return sentence(f"{persona} has no blind comparison yet")
    number, rate, low, high = rows[-1]
    verb = "wins" if low > 0.5 else "loses" if high < 0.5 else "is level"
    return sentence(
        f"after round {number} {persona} {verb} against {against}: {estimate(rate, low, high)}"
    )


def agreement(alpha: float | None) -> str:
    """Krippendorff's alpha in words, with the usual bars (0.8 and 0.667)."""
    if alpha is None or not isfinite(alpha):
        return "Agreement cannot be told yet: it needs comparisons that two people judged"
    level = (
        "agree well"
        if alpha >= 0.8
        else "agree fairly"
        if alpha >= 0.667
        else "agree only in part"
        if alpha >= 0.2
        else "hardly agree"
    )
    return f"Annotators {level}: alpha {alpha:.2f}"


def automatic(kappa: Agreement) -> str:
    """How far automatic judges agree with people, in words; Markdown."""
    if not isfinite(kappa.value):
        return sentence(f"automatic judges cannot be compared with people: {kappa.explanation}")
    level = (
        "agree with people well"
        if kappa.value >= 0.6
        else "agree with people in part"
        if kappa.value >= 0.2
        else "hardly agree with people"
    )
    between = f"{kappa.ci_low:.2f} to {kappa.ci_high:.2f}" if isfinite(kappa.se) else "no interval"
    return (
        f"**Automatic judges {level}**: kappa {kappa.value:.2f} ({between}); the same verdict in"
        f" {percent(kappa.observed)} of pairs of judgments, {percent(kappa.expected)} by chance"
    )


def first_place(bias: Mapping[str, Any]) -> str:
    """Which way the place on the page pulls, from a report's ``bias``; Markdown."""
    if bias.get("placement_effect") is None:
        return sentence(f"{bias.get('explanation', 'the pull of the place is not known')}.")
    low, high = bias["ci_low"], bias["ci_high"]
    pull = "pulls" if low > 0 or high < 0 else "does not pull clearly"
    return (
        f"**The place {pull}**: being shown as Response A adds"
        f" {bias['placement_effect']:+.2f} to the log-odds ({low:+.2f} to {high:+.2f});"
        f" it won {percent(bias['first_place_win_rate'])} of {bias['n']:,.0f} judgments."
    )


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def _decimal(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value + 0.0 if abs(value) >= 0.005 else 0.0:.2f}"
