"""Standing judgments in, what the dashboards show out: ratings, win rates, agreement, placement.

A frame has a row a judgment, as ``db.judgments.standing_frame`` gives, or a row for ``times`` equal
ones with their summed ``weight``, as ``queries`` counts them. Knows which of preference's functions
answers which question; where one refuses, its reason is kept and shown. Knows no SQL, no chart and
no Streamlit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np

from annotate_app.frames import Frame, pd
from annotate_app.islands import Island, islands_of, times_of, win_rates_of
from preference import PreferenceError
from preference.agreement import alpha_of_counts
from preference.win_rate import wilson

NORMAL_95 = 1.959963984540054
VERDICTS = ["a", "b", "tie", "both_bad"]

PAIR_COLUMNS = ["item", "opponent", "win_rate", "ci_low", "ci_high", "wins", "losses", "ties", "n"]
BLIND_COLUMNS = [
    *("persona", "round", "state", "challenger", "incumbent", "win_rate", "ci_low", "ci_high"),
    *("n", "wins", "losses", "ties", "both_bad", "simulated", "annotators"),
]


class BlindRound(Protocol):
    """What ``blind_table`` needs to know of a round."""

    @property
    def persona(self) -> str: ...  # noqa: D102
    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def incumbent(self) -> str: ...  # noqa: D102
    @property
    def challenger(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True)
class Share:
    """A share of judgments with its 95 % interval and its count."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Section:
    """The numbers of one persona (None: judgments of no persona, as imports may be).

    Attributes:
        persona: slug or None.
        n: standing judgments.
        simulated: of these, not from people.
        same: of these, between two responses of one adapter; they train but rank nothing.
        both_bad: of these, neither response was good.
        annotators: how many judged.
        islands: groups of items with a scale of their own, largest first.
        pairs: a row for each ordered pair that met; columns ``PAIR_COLUMNS``.
        first_place: how often the response shown as A won, of those decided; None without any.
        alpha: Krippendorff's alpha of the verdicts (value, low, high), units with two or more.
        alpha_why: why there is no alpha, or empty.
        latest: time of the newest judgment.
    """

    persona: str | None
    n: int
    simulated: int
    same: int
    both_bad: int
    annotators: int
    islands: tuple[Island, ...]
    pairs: Frame
    first_place: Share | None
    alpha: tuple[float, float, float, int] | None
    alpha_why: str
    latest: datetime | None

    @property
    def ranked(self) -> int:
        """Judgments that rank adapters."""
        return self.n - self.same

    @property
    def disconnected(self) -> bool:
        """Whether some items were never compared with the others, not even through others."""
        return len(self.islands) > 1


@dataclass(frozen=True)
class Analysis:
    """Sections that rank something first, then by persona, those of no persona last."""

    sections: tuple[Section, ...]

    @property
    def n(self) -> int:
        """Standing judgments."""
        return sum(section.n for section in self.sections)

    @property
    def simulated(self) -> int:
        """Of these, not from people."""
        return sum(section.simulated for section in self.sections)


def analyse(frame: Frame, patterns: Frame | None = None) -> Analysis:
    """All numbers of a frame of standing judgments, a section a persona.

    Args:
        frame: the judgments.
        patterns: columns persona, a, b, tie, both_bad and units: how many comparisons were judged
            with exactly these verdicts. None counts them from the frame's comparisons.
    """
    if frame.empty:
        return Analysis(())
    alike = agreement_patterns(frame) if patterns is None else patterns
    keys = frame["persona"].astype(object).where(frame["persona"].notna(), None)
    slugs = sorted({key for key in keys if key is not None})
    parts = [(slug, frame[keys == slug], alike[alike["persona"] == slug]) for slug in slugs]
    parts.append((None, frame[keys.isna()], alike[alike["persona"].isna()]))
    found = [section(slug, part, some) for slug, part, some in parts if len(part)]
    return Analysis(tuple(sorted(found, key=lambda each: not each.islands)))


def section(persona: str | None, frame: Frame, patterns: Frame | None = None) -> Section:
    """The numbers of one persona's standing judgments; arguments as of ``analyse``."""
    alike = agreement_patterns(frame) if patterns is None else patterns
    frame = frame if "times" in frame else frame.assign(times=1)
    same = frame["item_a"] == frame["item_b"]
    ranked = frame[~same]
    value, why = _alpha(alike)
    return Section(
        persona=persona,
        n=int(frame["times"].sum()),
        simulated=times_of(frame, frame["annotator_kind"] != "human"),
        same=times_of(frame, same),
        both_bad=times_of(frame, frame["verdict"] == "both_bad"),
        annotators=int(frame["annotator"].nunique()),
        islands=islands_of(ranked),
        pairs=_pairs(ranked),
        first_place=_first_place(frame),
        alpha=value,
        alpha_why=why,
        latest=None if frame.empty else frame["created_at"].max(),
    )


def agreement_patterns(frame: Frame) -> Frame:
    """Comparisons with two or more judgments, by how they were judged; columns as ``analyse``'s."""
    if frame.empty:
        return pd.DataFrame(columns=["persona", *VERDICTS, "units"])
    counts = pd.crosstab(frame["comparison"], frame["verdict"]).reindex(
        columns=VERDICTS, fill_value=0
    )
    counts = counts[counts.sum(axis=1) > 1]
    persona = frame.drop_duplicates("comparison").set_index("comparison")["persona"]
    return counts.assign(persona=persona.reindex(counts.index), units=1)


def blind_table(frame: Frame, rounds: Sequence[BlindRound]) -> Frame:
    """Each round's challenger against its incumbent, from that round's blind judgments alone.

    Args:
        frame: standing judgments of blind batches.
        rounds: the rounds that have a blind batch.

    Returns:
        A row a round; columns ``BLIND_COLUMNS``; rates are NaN where nothing was judged.
    """
    rows: list[dict[str, Any]] = []
    for view in rounds:
        if view.challenger is None:
            continue
        both = {view.challenger, view.incumbent}
        part = frame[
            (frame["persona"] == view.persona)
            & (frame["round"] == view.number)
            & frame["item_a"].isin(both)
            & frame["item_b"].isin(both)
            & (frame["item_a"] != frame["item_b"])
        ]
        rows.append(
            {
                "persona": view.persona,
                "round": view.number,
                "state": view.state,
                "challenger": view.challenger,
                "incumbent": view.incumbent,
                **versus(part, view.challenger),
            }
        )
    return pd.DataFrame(rows, columns=BLIND_COLUMNS)


def versus(frame: Frame, challenger: str) -> dict[str, Any]:
    """One side's win rate with its interval and counts, over judgments of one pair."""
    frame = frame if "times" in frame else frame.assign(times=1)
    found: dict[str, Any] = dict.fromkeys(("win_rate", "ci_low", "ci_high"), float("nan"))
    found |= {
        "n": 0,
        "wins": 0,
        "losses": 0,
        "ties": 0,
        "both_bad": times_of(frame, frame["verdict"] == "both_bad"),
        "simulated": times_of(frame, frame["annotator_kind"] != "human"),
        "annotators": int(frame["annotator"].nunique()),
    }
    if int(frame["times"].sum()) == found["both_bad"]:
        return found
    rates = win_rates_of(frame)
    place = rates.items.index(challenger)
    found |= {
        "win_rate": float(rates.value[place]),
        "ci_low": float(rates.ci_low[place]),
        "ci_high": float(rates.ci_high[place]),
        "n": int(rates.n[place]),
        "wins": int(rates.wins[place]),
        "losses": int(rates.losses[place]),
        "ties": int(rates.ties[place]),
    }
    return found


def _pairs(frame: Frame) -> Frame:
    if frame.empty:
        return pd.DataFrame(columns=PAIR_COLUMNS)
    rates = win_rates_of(frame)
    p = rates.pairs
    one = pd.DataFrame(
        {
            "item": p.first,
            "opponent": p.second,
            "win_rate": p.value,
            "ci_low": p.ci_low,
            "ci_high": p.ci_high,
            "wins": p.wins,
            "losses": p.losses,
            "ties": p.ties,
            "n": p.n,
        }
    )
    other = pd.DataFrame(
        {
            "item": p.second,
            "opponent": p.first,
            "win_rate": 1 - p.value,
            "ci_low": 1 - p.ci_high,
            "ci_high": 1 - p.ci_low,
            "wins": p.losses,
            "losses": p.wins,
            "ties": p.ties,
            "n": p.n,
        }
    )
    both = pd.concat([one, other], ignore_index=True)
    return both[both["n"] > 0].reset_index(drop=True)[PAIR_COLUMNS]


def _first_place(frame: Frame) -> Share | None:
    """How often the response shown as A won, over decided judgments whose placement is known."""
    told = frame[frame["verdict"].isin(["a", "b"]) & (frame["placement"] != 0)]
    if told.empty:
        return None
    first = (told["verdict"] == "a") == (told["placement"] > 0)
    n = int(told["times"].sum())
    share = float(told["times"][first].sum()) / n
    low, high = wilson(share, n, NORMAL_95)
    return Share(share, float(low), float(high), n)


def _alpha(patterns: Frame) -> tuple[tuple[float, float, float, int] | None, str]:
    """Krippendorff's alpha of the verdicts over comparisons that two or more judged."""
    if patterns.empty:
        return None, "no comparison has been judged by two people yet"
    counts = np.repeat(
        patterns[VERDICTS].to_numpy(dtype=np.float64), patterns["units"].astype(int), axis=0
    )
    try:
        found = alpha_of_counts(counts[:, counts.sum(axis=0) > 0])
    except PreferenceError as error:
        return None, str(error)
    if not np.isfinite(found.value):
        return None, found.explanation or "it is not defined for these judgments"
    return (found.value, found.ci_low, found.ci_high, found.units), ""
