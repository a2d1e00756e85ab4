"""What could mislead the ratings: place, length, drift, a model that does not fit, circles.

Knows which of preference's functions answers which question. Knows no SQL, no chart, no Streamlit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotate_app.frames import Frame, pd
from annotate_app.results import Section, clusters_of
from db import judgments
from db.blocks import Packed
from db.judgments import Tables
from preference.covariance import quantile
from preference.win_rate import wilson, win_rates

TIE = 2
WINDOWS = 12
"""Parts of equal size in which the place is looked at over time."""
FEWEST_IN_WINDOW = 30
CLEARLY_LONGER = 1.1
"""From this ratio of lengths on one text is called the longer one."""


@dataclass(frozen=True)
class Checks:
    """What could mislead one persona's ratings.

    Attributes:
        pulls: what pulls besides quality; rows label, value (win rate), ci_low, ci_high, n.
        places: win share of the first place over time; rows at, value, ci_low, ci_high (jointly
            95 %), n.
        drift: change of each rating, later half less earlier; rows item, value, ci_low, ci_high,
            n, z; empty where ``drift_why`` says so.
        drift_p: chance that any rating changes so much though nothing moved; NaN where unknown.
        fit: the report's ``goodness_of_fit``, with the pairs furthest from the ratings.
        cycles: the report's ``cycles``: circles of three, the strongest first.
        length: the report's ``length``: what a longer answer gains, beside the ratings.
    """

    pulls: Frame
    places: Frame
    drift: Frame
    drift_p: float
    drift_why: str
    fit: Mapping[str, Any]
    cycles: Mapping[str, Any]
    length: Mapping[str, Any]


def checks_of(packed: Packed, known: Tables, section: Section) -> Checks:
    """Every check of one persona's standing judgments."""
    moved, p, why = _drift(section)
    report = section.report
    return Checks(
        pulls=_pulls(packed, known),
        places=_places(packed),
        drift=moved,
        drift_p=p,
        drift_why=why,
        fit=report.diagnostics["goodness_of_fit"] if report else {},
        cycles=report.diagnostics["cycles"] if report else {},
        length=report.length if report else {},
    )


def _pulls(packed: Packed, known: Tables) -> Frame:
    shorter = np.minimum(packed.length_a, packed.length_b)
    longer = np.maximum(packed.length_a, packed.length_b)
    sides = {
        "Response A, shown first": packed.placement,
        "The longer response": np.where(
            (shorter > 0) & (longer >= CLEARLY_LONGER * shorter),
            np.sign(packed.length_a - packed.length_b),
            0,
        ),
    }
    rows = [
        found
        for label, side in sides.items()
        if (found := _share(packed, known, side, label)) is not None
    ]
    return pd.DataFrame(rows, columns=["label", "value", "ci_low", "ci_high", "n"])


def _share(packed: Packed, known: Tables, side: Any, label: str) -> list[Any] | None:
    """Win rate of a side (+1 canonical A, −1 B, 0 neither), clustered as ratings are."""
    counts = (side != 0) & (packed.verdict <= TIE)
    part, own = packed.where(counts), side[counts]
    if not part.n:
        return None
    verdict = np.where((own < 0) & (part.verdict < TIE), 1 - part.verdict, part.verdict)
    columns = judgments.columns_of(part, known)
    rates = win_rates(
        np.zeros(part.n, dtype=np.int64),
        np.ones(part.n, dtype=np.int64),
        verdict.astype(np.uint8),
        weight=columns.weight,
        cluster=list(clusters_of(columns).values()) or None,
    )
    found = rates.pair(0, 1)
    return [label, found.value, found.ci_low, found.ci_high, part.n]


def _places(packed: Packed) -> Frame:
    told = packed.where((packed.verdict < TIE) & (packed.placement != 0))
    names = ["at", "value", "ci_low", "ci_high", "n"]
    windows = min(WINDOWS, told.n // FEWEST_IN_WINDOW)
    if windows < 2 or len(np.unique(told.created)) < FEWEST_IN_WINDOW:
        return pd.DataFrame(columns=names)
    order = np.argsort(told.created, kind="stable")
    first = ((told.verdict == 0) == (told.placement > 0))[order]
    edges = np.linspace(0, told.n, windows + 1).astype(int)
    sizes = np.diff(edges)
    shares = np.add.reduceat(first.astype(np.float64), edges[:-1]) / sizes
    low, high = wilson(shares, sizes, quantile(1 - 0.05 / windows))  # jointly 95 % (Bonferroni)
    at = pd.to_datetime(told.created[order][edges[:-1]], unit="us", utc=True)
    return pd.DataFrame(dict(zip(names, (at, shares, low, high, sizes), strict=True)))


def _drift(section: Section) -> tuple[Frame, float, str]:
    """The report's drift as a table, or why there is none."""
    nothing = pd.DataFrame(columns=["item", "value", "ci_low", "ci_high", "n", "z"])
    if section.report is None:
        return nothing, float("nan"), "too few judgments that rank anything"
    found = section.report.drift
    if found is None:
        return nothing, float("nan"), str(section.report.diagnostics["drift"]["explanation"])
    half = found.se * quantile(0.95, found.freedom)
    table = pd.DataFrame(
        {
            "item": [str(item) for item in found.items],
            "value": found.change,
            "ci_low": found.change - half,
            "ci_high": found.change + half,
            "n": found.n,
            "z": found.z,
        }
    )
    return table.sort_values("z", key=np.abs, ascending=False), found.p_largest, ""
