"""Estimates with intervals, one row each: shares of one, or numbers around a reference.

Data frames in, Altair charts out, like ``charts``. Knows no Streamlit and no database.
"""

from typing import Any

import altair as alt

from annotate_app import findings
from annotate_app.chart_parts import (
    LIGHT,
    PERCENT_AXIS,
    AnyChart,
    Ink,
    finish,
    line_at,
    unique,
)
from annotate_app.frames import Frame


def intervals(
    frame: Frame,
    *,
    title: str,
    ink: Ink = LIGHT,
    colour: str = "",
    axis_title: str = "Win rate",
    shares: bool = True,
    reference: float | None = 0.5,
    unit: str = "judgment",
) -> AnyChart:
    """Points with whiskers in the frame's order, the count at the right end.

    Args:
        frame: columns label, value, ci_low, ci_high, n, and optionally said; rows without a value
            are left out.
        title: the finding.
        ink: the theme's colours.
        colour: of the points; the accent by default.
        axis_title: what is measured, with its unit.
        shares: True where values are shares of one, drawn in per cent.
        reference: a dashed line at this value.
        unit: what ``n`` counts.
    """
    rows = frame[frame["value"].notna()].copy()
    rows["shown"] = unique([str(label) for label in rows["label"]])
    say = findings.estimate if shares else _number
    rows["told"] = [
        say(*row) for row in zip(rows["value"], rows["ci_low"], rows["ci_high"], strict=True)
    ]
    rows["counted"] = [findings.counted(int(n), unit) for n in rows["n"]]
    rows["small"] = [f"n {int(n):,}" for n in rows["n"]]
    scale, axis = _share_scale(rows, reference) if shares else _number_scale(rows, reference)
    base = alt.Chart(rows).encode(
        y=alt.Y(
            "shown:N",
            sort=None,
            title=None,
            axis=alt.Axis(labelLimit=200, ticks=False, labelFlush=False),
        ),
        tooltip=[
            alt.Tooltip("shown:N", title="Which"),
            alt.Tooltip("told:N", title=axis_title),
            alt.Tooltip("counted:N", title="From"),
        ],
    )
    ink_of = colour or ink.accent
    whisker = base.mark_rule(size=2, color=ink_of, opacity=0.75).encode(
        x=alt.X("ci_low:Q", title=axis_title, scale=scale, axis=axis), x2="ci_high:Q"
    )
    point = base.mark_point(size=80, filled=True, color=ink_of, opacity=1).encode(
        x=alt.X("value:Q", scale=scale)
    )
    count = base.mark_text(align="left", dx=7, fontSize=11, color=ink.muted).encode(
        x=alt.X("ci_high:Q", scale=scale), text="small:N"
    )
    layers: list[Any] = [line_at(reference, "x", ink)] if reference is not None else []
    return finish(alt.layer(*layers, whisker, point, count), title, len(rows))


def over_time(
    frame: Frame, *, title: str, ink: Ink = LIGHT, axis_title: str = "Share", reference: float = 0.5
) -> AnyChart:
    """A share over time as a line of points with whiskers.

    Args:
        frame: columns at (time), value, ci_low, ci_high, n.
        title: the finding.
        ink: the theme's colours.
        axis_title: what is measured.
        reference: a dashed line at this share.
    """
    rows = frame.copy()
    rows["told"] = findings.estimates(rows)
    rows["counted"] = [findings.counted(int(n), "judgment") for n in rows["n"]]
    scale = alt.Scale(domain=[0, 1], nice=False)
    axis = alt.Axis(labelExpr=PERCENT_AXIS, values=[0, 0.25, 0.5, 0.75, 1])
    base = alt.Chart(rows).encode(
        x=alt.X("at:T", title="Judged (UTC)", axis=alt.Axis(grid=False, tickCount=5)),
        tooltip=[
            alt.Tooltip("at:T", title="From", format="%Y-%m-%d %H:%M"),
            alt.Tooltip("told:N", title=axis_title),
            alt.Tooltip("counted:N", title="From"),
        ],
    )
    line = base.mark_line(strokeWidth=1.5, opacity=0.6, color=ink.accent).encode(
        y=alt.Y("value:Q", scale=scale)
    )
    whisker = base.mark_rule(size=2, opacity=0.6, color=ink.accent).encode(
        y=alt.Y("ci_low:Q", title=axis_title, scale=scale, axis=axis), y2="ci_high:Q"
    )
    point = base.mark_point(size=60, filled=True, opacity=1, color=ink.accent).encode(
        y=alt.Y("value:Q", scale=scale)
    )
    chart = alt.layer(line_at(reference, "y", ink), line, whisker, point)
    return chart.properties(
        title=alt.Title(title, anchor="start", limit=900), height=220, description=title
    )


def narrowing(
    frame: Frame, *, title: str, ink: Ink = LIGHT, colour: str = "", reference: float = 0.5
) -> AnyChart:
    """A win rate and its bounds as judgments came in: a band that closes in on a line.

    Args:
        frame: columns n, value, low, high; a row a moment.
        title: the finding.
        ink: the theme's colours.
        colour: of line and band; the accent by default.
        reference: a dashed line at this share.
    """
    rows = frame.copy()
    rows["told"] = findings.estimates(rows, "value", "low", "high")
    rows["counted"] = [findings.counted(int(n), "judgment") for n in rows["n"]]
    last = rows.tail(1).copy()
    paint = colour or ink.accent
    scale = alt.Scale(domain=[0, 1], nice=False)
    axis = alt.Axis(labelExpr=PERCENT_AXIS, values=[0, 0.25, 0.5, 0.75, 1])
    across = alt.X(
        "n:Q",
        title="Judgments that count",
        scale=alt.Scale(domain=[0, int(rows["n"].max())], nice=False),
        axis=alt.Axis(grid=False, tickCount=5, format="d"),
    )
    tips = [
        alt.Tooltip("counted:N", title="After"),
        alt.Tooltip("told:N", title="Challenger wins, %"),
    ]
    base = alt.Chart(rows).encode(x=across, tooltip=tips)
    band = base.mark_area(opacity=0.22, color=paint, interpolate="step-after").encode(
        y=alt.Y("low:Q", title="Challenger wins", scale=scale, axis=axis), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2, color=paint).encode(y=alt.Y("value:Q", scale=scale))
    end = alt.Chart(last).encode(x=across, tooltip=tips)
    whisker = end.mark_rule(size=3, color=paint).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q")
    point = end.mark_point(size=80, filled=True, opacity=1, color=paint).encode(
        y=alt.Y("value:Q", scale=scale)
    )
    chart = alt.layer(band, line_at(reference, "y", ink), line, whisker, point)
    return chart.properties(
        title=alt.Title(title, anchor="start", limit=900), height=220, description=title
    )


def _share_scale(rows: Frame, reference: float | None) -> tuple[alt.Scale, alt.Axis]:
    """To 100 % where a half is the measure, else as far as the data go; and room for the count."""
    top = 1.0 if reference == 0.5 else min(1.0, max(*rows["ci_high"], reference or 0.0, 0.05))
    step = 0.25 if top > 0.6 else 0.1 if top > 0.25 else 0.05
    ticks = [step * place for place in range(21) if step * place <= top * 1.02]
    axis = alt.Axis(labelExpr=PERCENT_AXIS, values=ticks)
    return alt.Scale(domain=[0, top * 1.16], nice=False), axis


def _number_scale(rows: Frame, reference: float | None) -> tuple[alt.Scale, alt.Axis]:
    ends = [*rows["ci_low"], *rows["ci_high"], *([] if reference is None else [reference])]
    low, high = min(ends), max(ends)
    space = 0.05 * max(high - low, 0.1)
    return (
        alt.Scale(domain=[low - space, high + 4 * space], nice=False),
        alt.Axis(tickCount=5, format="+.2~f"),
    )


def _number(value: float, low: float, high: float) -> str:
    return f"{value:+.2f}, {low:+.2f} to {high:+.2f}"
