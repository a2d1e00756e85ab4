"""What every chart is made of: the themes' colours, reference lines, titles, labels kept apart.

Knows Altair and colours; knows no data of ours and no Streamlit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from annotate_app.frames import Frame, pd

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
ROW = 32
"""Pixels that one item takes in a chart of rows."""
AXIS = 62
"""Pixels of an axis with its title; a page fits the whole drawing into the height."""
CELLS_WITH_TEXT = 14
"""Up to this many items the win-rate matrix writes its numbers into the cells."""
PERCENT_AXIS = "round(datum.value * 100) + ' %'"

AnyChart = Any
"""An Altair chart, layered or not; Altair's own types say less than its docstrings."""


@dataclass(frozen=True)
class Ink:
    """What a theme needs besides the data's colours.

    Attributes:
        text: direct labels.
        muted: reference lines and second-rank labels.
        low, middle, high: the diverging scale's ends and its neutral 50 %.
        on_ends: text on the scale's two ends.
        accent: a single series.
        turn: distance from 50 % at which a cell of the scale needs ``on_ends`` to be read.
    """

    text: str
    muted: str
    low: str
    middle: str
    high: str
    on_ends: str
    accent: str
    turn: float


LIGHT = Ink("#23272E", "#666C75", "#B84A00", "#EFEDE8", "#0B5F9E", "#FFFFFF", "#0B6B6B", 0.36)
DARK = Ink("#E5E7E9", "#9AA2AC", "#F0904A", "#2A3036", "#6DB4F0", "#15181C", "#5CC4BC", 0.3)


def colour_of(name: str | None, colours: Mapping[str, str], ink: Ink = LIGHT) -> str:
    """The colour that belongs to a persona (slug), or the accent for anything else."""
    return colours.get(name or "", ink.accent)


def spread(values: Sequence[float], apart: float) -> list[float]:
    """The values moved as little as it takes for no two to be nearer than ``apart``, in order."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    moved = [values[place] for place in order]
    for _ in range(50):
        for low, high in zip(range(len(moved)), range(1, len(moved)), strict=False):
            lack = apart - (moved[high] - moved[low])
            if lack > 0:
                moved[low] -= lack / 2
                moved[high] += lack / 2
    out = list(values)
    for place, value in zip(order, moved, strict=True):
        out[place] = value
    return out


def span(rows: Frame) -> float:
    """How far apart the ends of the intervals lie, at least 0.1."""
    return float(max(rows["high"].max() - rows["low"].min(), 0.1))


def unique(labels: Sequence[str]) -> list[str]:
    """The labels, repeated ones told apart by a number, so that no two rows fall together."""
    seen: dict[str, int] = {}
    out: list[str] = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        out.append(label if seen[label] == 1 else f"{label} ·{seen[label]}")
    return out


def room(values: Any, reference: float | None) -> alt.Scale:
    """A scale around the values, never so narrow that rounding errors look like a course."""
    known = [*values, *([] if reference is None else [reference])]
    low, high = min(known), max(known)
    lack = max(0.0, 0.02 - (high - low)) / 2
    return alt.Scale(zero=False, domain=[low - lack, high + lack], nice=True)


def line_at(value: float, axis: str, ink: Ink) -> alt.Chart:
    """A dashed reference line across the chart."""
    at = alt.X("at:Q") if axis == "x" else alt.Y("at:Q")
    return (
        alt.Chart(pd.DataFrame({"at": [float(value)]}))
        .mark_rule(strokeDash=[4, 4], color=ink.muted, opacity=0.8)
        .encode(at)
    )


def titled(text: str) -> alt.Title:
    """The finding as the chart's title."""
    return alt.Title(text, anchor="start", limit=900)


def finish(chart: AnyChart, title: str, rows: int, row: int = ROW) -> AnyChart:
    """A chart of rows with its finding and the height that its rows and axis take."""
    return chart.properties(
        title=titled(title), height=max(1, rows) * row + AXIS, description=title
    )
