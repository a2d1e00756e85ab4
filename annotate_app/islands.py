"""Ratings of items that judgments link, and of each group by itself where they do not.

Knows which of preference's fits answers, what to do when the plain one cannot, and how that is
said. Frames are as ``results`` has them. Knows no SQL, no chart and no Streamlit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import preference
from annotate_app.frames import Frame, pd
from preference import PreferenceError
from preference.connectivity import connectivity
from preference.counts import count
from preference.encoding import encode
from preference.win_rate import WinRates, win_rates

FEW_ANNOTATORS = 5
"""From this many annotators on, intervals allow for judgments by one person hanging together."""
LITTLE = 20
"""Below this many judgments an item's numbers are called early."""
ITEM_COLUMNS = [
    *("item", "rating", "se", "ci_low", "ci_high", "wins", "losses", "ties", "both_bad"),
    *("win_rate", "win_rate_ci_low", "win_rate_ci_high", "n", "flag"),
]
GAP_COLUMNS = ["item", "opponent", "value", "ci_low", "ci_high"]
MOST_GAPS = 40
"""Up to this many items every pair's difference of ratings is kept."""


@dataclass(frozen=True)
class Island:
    """Items that can be rated on one scale, because judgments link them.

    Attributes:
        items: a row an item, falling by rating; columns ``ITEM_COLUMNS``. Ratings are NaN where
            ``refusal`` says why there are none.
        notes: what a reader must know of how the ratings came about.
        refusal: why there are no ratings, or empty.
        lead: joint interval of the first's rating less the second's; None without ratings.
        gaps: rating of item less that of opponent, with their joint interval, for every ordered
            pair; columns ``GAP_COLUMNS``; empty without ratings or beyond ``MOST_GAPS`` items.
    """

    items: Frame
    notes: tuple[str, ...]
    refusal: str
    lead: tuple[float, float] | None
    gaps: Frame


def islands_of(frame: Frame) -> tuple[Island, ...]:
    """Groups of items that judgments link, each with its ratings or the reason for none."""
    if frame.empty:
        return ()
    cells = count(encode(frame["item_a"], frame["item_b"], frame["verdict"]))
    groups = connectivity(cells).islands
    return tuple(
        _island(frame[frame["item_a"].isin(group) & frame["item_b"].isin(group)], group)
        for group in groups
        if len(group) > 1
    ) + tuple(_lonely(frame, group[0]) for group in groups if len(group) == 1)


def _island(frame: Frame, group: Sequence[Any]) -> Island:
    rates = win_rates_of(frame)
    notes: list[str] = []
    if cluster_of(frame) is None:
        notes.append(
            "Fewer than five annotators: the intervals treat every judgment as independent."
        )
    fit, refusal = _fit(frame, notes)
    items = _items(rates)
    lead: tuple[float, float] | None = None
    if fit is not None:
        place = {item: at for at, item in enumerate(fit.items)}
        order = [place[item] for item in items["item"]]
        for column, values in (
            ("rating", fit.ratings),
            ("se", fit.se),
            ("ci_low", fit.ci_low),
            ("ci_high", fit.ci_high),
        ):
            items[column] = np.asarray(values)[order]
        items["flag"] = [", ".join(fit.flags.get(item, ())) for item in items["item"]]
        items = items.sort_values(["rating", "item"], ascending=[False, True])
        ahead = fit.difference(items["item"].iloc[0], items["item"].iloc[1])
        lead = (ahead.ci_low, ahead.ci_high)
        if len(group) > 2 and int(items["n"].min()) < LITTLE:
            notes.append(f"Some adapters have fewer than {LITTLE} judgments: early numbers.")
    else:
        items = items.sort_values(["win_rate", "item"], ascending=[False, True])
    return Island(
        items.reset_index(drop=True)[ITEM_COLUMNS], tuple(notes), refusal, lead, _gaps(fit)
    )


def _lonely(frame: Frame, item: Any) -> Island:
    both = frame[(frame["item_a"] == item) | (frame["item_b"] == item)]
    bad = times_of(both, both["verdict"] == "both_bad")
    row = dict.fromkeys(ITEM_COLUMNS, float("nan")) | {"item": item, "flag": ""}
    row |= {"wins": 0, "losses": 0, "ties": 0, "both_bad": bad, "n": 0}
    why = "every judgment of it says that both responses were bad"
    return Island(pd.DataFrame([row], columns=ITEM_COLUMNS), (), why, None, _gaps(None))


def _fit(frame: Frame, notes: list[str]) -> tuple[preference.BradleyTerryFit | None, str]:
    """The ratings; a prior where plain likelihood has no answer, and then a note that says so."""
    columns = (frame["item_a"], frame["item_b"], frame["verdict"])
    some: dict[str, Any] = {"cluster": cluster_of(frame), "weight": weight_of(frame)}
    if (frame["placement"] != 0).any():
        some["placement"] = frame["placement"]
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("", some),
        (
            "The effect of the place was left out: too few judgments to tell it.",
            {"placement": None},
        ),
        (
            "An item won or lost everything it met: a prior (standard deviation 2) holds the"
            " ratings finite.",
            {"placement": None, "prior": "ridge"},
        ),
        (
            "Only ties so far: each counts as half a win.",
            {"placement": None, "prior": "ridge", "ties": "half"},
        ),
    ]
    why = ""
    for note, change in attempts:
        try:
            fit = preference.fit_bradley_terry(*columns, **{**some, **change})
        except PreferenceError as error:
            why = why or str(error)
            continue
        if note:
            notes.append(note)
        return fit, ""
    return None, why


def _items(rates: WinRates) -> Frame:
    frame = pd.DataFrame(
        {
            "item": list(rates.items),
            "wins": rates.wins,
            "losses": rates.losses,
            "ties": rates.ties,
            "both_bad": rates.both_bad,
            "win_rate": rates.value,
            "win_rate_ci_low": rates.ci_low,
            "win_rate_ci_high": rates.ci_high,
            "n": rates.n,
        }
    )
    for column in ("rating", "se", "ci_low", "ci_high"):
        frame[column] = float("nan")
    frame["flag"] = ""
    return frame


def _gaps(fit: preference.BradleyTerryFit | None) -> Frame:
    rows: list[tuple[Any, ...]] = []
    if fit is not None and len(fit.items) <= MOST_GAPS:
        for item in fit.items:
            for other in fit.items:
                if item != other:
                    gap = fit.difference(item, other)
                    rows.append((item, other, gap.value, gap.ci_low, gap.ci_high))
    return pd.DataFrame(rows, columns=GAP_COLUMNS)


def times_of(frame: Frame, mask: Any) -> int:
    """How many judgments a selection of the frame's rows stands for."""
    return int(frame["times"][mask].sum())


def win_rates_of(frame: Frame) -> WinRates:
    """Win rates of a frame, clustered and weighted as they should be."""
    return win_rates(
        frame["item_a"],
        frame["item_b"],
        frame["verdict"],
        weight=weight_of(frame),
        cluster=cluster_of(frame),
    )


def weight_of(frame: Frame) -> Any:
    """Weights where an import brought some; None where every judgment counts once."""
    return frame["weight"].astype(float) if (frame["weight"] != 1).any() else None


def cluster_of(frame: Frame) -> Any:
    """The annotators, where there are enough of them to cluster by; else None."""
    judged = frame[frame["verdict"] != "both_bad"]
    return frame["annotator"] if judged["annotator"].nunique() >= FEW_ANNOTATORS else None
