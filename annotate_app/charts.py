"""Data frames in, Altair charts out.

Every estimate is drawn with its interval and its count, titles say the finding, colours are safe
for colour-blind readers and carry light and dark. Names reach the chart as data, never as
expressions or field names, so that a hostile one stays text. Knows no Streamlit and no database.
"""

from collections.abc import Mapping
from typing import Any

import altair as alt

from annotate_app import findings
from annotate_app.chart_parts import (
    CELLS_WITH_TEXT,
    DARK,
    LIGHT,
    OKABE_ITO,
    PERCENT_AXIS,
    AnyChart,
    Ink,
    colour_of,
    finish,
    line_at,
    room,
    span,
    spread,
    titled,
    unique,
)
from annotate_app.frames import Frame, pd

__all__ = [
    "DARK",
    "LIGHT",
    "Ink",
    "colour_of",
    "curve",
    "gate_strip",
    "over_rounds",
    "ratings",
    "spread",
    "unique",
    "win_matrix",
]


def ratings(frame: Frame, *, title: str, colour: str = OKABE_ITO[0], ink: Ink = LIGHT) -> AnyChart:
    """Ratings as points with whiskers, one row an item, best first, counts at the right.

    Args:
        frame: columns item, label, rating, ci_low, ci_high, n, and optionally mark (a word such
            as ``incumbent`` written beside the label).
        title: the finding.
        colour: of the points.
        ink: the theme's colours.
    """
    rows = frame.sort_values(["rating", "item"], ascending=[False, True]).copy()
    mark = rows["mark"].fillna("") if "mark" in rows else pd.Series("", index=rows.index)
    rows["shown"] = rows["label"] + mark.map(lambda word: f" ({word})" if word else "")
    rows["shown"] = unique(rows["shown"].tolist())
    rows["interval"] = [
        f"{low:+.2f} to {high:+.2f}"
        for low, high in zip(rows["ci_low"], rows["ci_high"], strict=True)
    ]
    rows["judged"] = [findings.counted(int(n), "judgment") for n in rows["n"]]
    y = alt.Y(
        "shown:N",
        sort=None,
        title=None,
        axis=alt.Axis(labelLimit=220, ticks=False, labelFlush=False),
    )
    tips = [
        alt.Tooltip("item:N", title="Adapter"),
        alt.Tooltip("rating:Q", title="Rating", format="+.2f"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("judged:N", title="Judged"),
    ]
    base = alt.Chart(rows).encode(y=y, tooltip=tips)
    low, high = float(rows["ci_low"].min()), float(rows["ci_high"].max())
    space = 0.14 * max(high - low, 0.1)
    scale = alt.Scale(domain=[min(low, 0.0) - space / 3, max(high, 0.0) + space], nice=False)
    axis = alt.Axis(tickCount=5, labelExpr="datum.value == 0 ? '0' : format(datum.value, '+.1f')")
    whisker = base.mark_rule(size=2, color=colour, opacity=0.75).encode(
        x=alt.X("ci_low:Q", title="Rating (log-strength, mean zero)", scale=scale, axis=axis),
        x2="ci_high:Q",
    )
    point = base.mark_point(size=90, filled=True, color=colour, opacity=1).encode(x="rating:Q")
    rows["small"] = [f"n {int(n):,}" for n in rows["n"]]
    counts = base.mark_text(align="left", dx=7, fontSize=11, color=ink.muted).encode(
        x="ci_high:Q", text="small:N"
    )
    return finish(alt.layer(line_at(0, "x", ink), whisker, point, counts), title, len(rows))


def win_matrix(frame: Frame, *, title: str, ink: Ink = LIGHT) -> AnyChart:
    """How often the row beat the column, on a diverging scale centred at 50 %.

    Args:
        frame: columns item, opponent (labels, in the wanted order), win_rate, ci_low, ci_high, n.
        title: the finding.
        ink: the theme's colours.
    """
    cells = frame.copy()
    cells["said"] = [findings.percent(rate) for rate in cells["win_rate"]]
    cells["interval"] = [
        findings.interval(low, high)
        for low, high in zip(cells["ci_low"], cells["ci_high"], strict=True)
    ]
    cells["judged"] = [findings.counted(int(n), "judgment") for n in cells["n"]]
    cells["far"] = (cells["win_rate"] - 0.5).abs() > ink.turn
    order = list(dict.fromkeys(cells["item"]))
    columns = [name for name in order if name in set(cells["opponent"])]
    columns += [name for name in dict.fromkeys(cells["opponent"]) if name not in columns]
    base = alt.Chart(cells).encode(
        x=alt.X(
            "opponent:N",
            sort=columns,
            title="against",
            axis=alt.Axis(orient="top", labelAngle=-35, labelLimit=150, ticks=False),
        ),
        y=alt.Y(
            "item:N",
            sort=order,
            title=None,
            axis=alt.Axis(labelLimit=180, ticks=False, labelFlush=False),
        ),
        tooltip=[
            alt.Tooltip("item:N", title="Row"),
            alt.Tooltip("opponent:N", title="Against"),
            alt.Tooltip("said:N", title="Row wins"),
            alt.Tooltip("interval:N", title="95 % interval, %"),
            alt.Tooltip("judged:N", title="Judged"),
        ],
    )
    written = len(order) <= CELLS_WITH_TEXT
    colour = alt.Color(
        "win_rate:Q",
        title="Row wins",
        scale=alt.Scale(
            domain=[0, 0.5, 1], range=[ink.low, ink.middle, ink.high], interpolate="rgb"
        ),
        legend=None
        if written
        else alt.Legend(
            labelExpr=PERCENT_AXIS,
            values=[0, 0.25, 0.5, 0.75, 1],
            orient="bottom",
            direction="horizontal",
        ),
    )
    layers: list[Any] = [
        base.mark_rect(cornerRadius=3, stroke="transparent", strokeWidth=2).encode(color=colour)
    ]
    if written:
        number = base.mark_text(dy=-6, fontSize=13, fontWeight=600)
        count = base.mark_text(dy=9, fontSize=10)
        shade = alt.condition("datum.far", alt.value(ink.on_ends), alt.value(ink.text))
        cells["small"] = [f"n {int(n)}" for n in cells["n"]]
        layers += [
            number.encode(text="said:N", color=shade),
            count.encode(text="small:N", color=shade),
        ]
    step, around = (48, 84) if written else (15, 190)
    return alt.layer(*layers).properties(
        title=titled(title), height=step * len(order) + around, description=title
    )


def over_rounds(
    frame: Frame,
    *,
    title: str,
    colours: Mapping[str, str],
    names: Mapping[str, str],
    value: str = "Win rate",
    reference: float | None = 0.5,
    ink: Ink = LIGHT,
) -> AnyChart:
    """A share (or a rating) over rounds with its intervals, one labelled line a persona.

    Args:
        frame: columns persona (slug), round, value, low, high, n.
        title: the finding.
        colours: slug to colour.
        names: slug to display name.
        value: the axis title; ``Rating`` is drawn in its own units, anything else in per cent.
        reference: a dashed line at this value.
        ink: the theme's colours.
    """
    shares = value != "Rating"
    rows = frame.sort_values(["persona", "round"]).copy()
    rows["name"] = [str(names.get(slug, slug)) for slug in rows["persona"]]
    rows["said"] = [
        findings.estimate(*row) if shares else f"{row[0]:+.2f}, {row[1]:+.2f} to {row[2]:+.2f}"
        for row in zip(rows["value"], rows["low"], rows["high"], strict=True)
    ]
    rows["judged"] = [findings.counted(int(n), "judgment") for n in rows["n"]]
    rows["last"] = rows.groupby("persona")["round"].transform("max") == rows["round"]
    ends = rows[rows["last"]]
    apart = 0.06 if shares else 0.06 * span(rows)
    rows["label_at"] = rows["name"].map(
        dict(zip(ends["name"], spread(ends["value"].tolist(), apart), strict=True))
    )
    slugs = list(dict.fromkeys(rows["persona"]))
    present = list(dict.fromkeys(rows["name"]))
    spare = iter(OKABE_ITO * 4)
    palette = [colours.get(slug) or next(spare) for slug in slugs]
    last = int(rows["round"].max()) if len(rows) else 1
    first = int(rows["round"].min()) if len(rows) else 1
    axis = alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5) if shares else alt.Axis(tickCount=5)
    scale = alt.Scale(domain=[0, 1]) if shares else alt.Scale(zero=False)
    side = {slug: 0.05 * (place - (len(slugs) - 1) / 2) for place, slug in enumerate(slugs)}
    rows["at"] = [n + side[slug] for n, slug in zip(rows["round"], rows["persona"], strict=True)]
    base = alt.Chart(rows).encode(
        x=alt.X(
            "at:Q",
            title="Round",
            scale=alt.Scale(domain=[first - 0.25, last + 0.55 * (last - first + 1)], nice=False),
            axis=alt.Axis(values=list(range(first, last + 1)), format="d", grid=False),
        ),
        color=alt.Color(
            "name:N", scale=alt.Scale(domain=present, range=palette), legend=None, sort=present
        ),
        tooltip=[
            alt.Tooltip("name:N", title="Persona"),
            alt.Tooltip("round:Q", title="Round", format="d"),
            alt.Tooltip("said:N", title=value),
            alt.Tooltip("judged:N", title="Judged"),
        ],
    )
    y = alt.Y("value:Q", title=value, axis=axis, scale=scale)
    layers: list[Any] = [line_at(reference, "y", ink)] if reference is not None else []
    layers += [
        base.mark_line(strokeWidth=2, opacity=0.8).encode(y=y),
        base.mark_rule(size=2, opacity=0.6).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        base.mark_point(size=80, filled=True, opacity=1).encode(y=y),
        base.transform_filter("datum.last")
        .mark_text(align="left", dx=9, fontSize=12, fontWeight=600)
        .encode(y=alt.Y("label_at:Q", scale=scale), text="name:N"),
    ]
    return alt.layer(*layers).properties(title=titled(title), height=300, description=title)


def curve(
    frame: Frame,
    *,
    title: str,
    value: str,
    shares: bool = False,
    reference: float | None = None,
    ink: Ink = LIGHT,
) -> AnyChart:
    """One training quantity over steps; a second series (held-out) is labelled at its end.

    Args:
        frame: columns step, value, series.
        title: the finding.
        value: the axis title.
        shares: True where values are shares of one, drawn in per cent.
        reference: a dashed line at this value.
        ink: the theme's colours.
    """
    rows = frame.sort_values(["series", "step"]).copy()
    rows["last"] = rows.groupby("series")["step"].transform("max") == rows["step"]
    rows["said"] = [findings.percent(v) if shares else f"{v:.4g}" for v in rows["value"]]
    series = sorted(set(rows["series"]), key=lambda name: (name != "training", name))
    many = len(series) > 1
    palette = [ink.accent, *OKABE_ITO[1:]][: max(len(series), 1)]
    axis = alt.Axis(labelExpr=PERCENT_AXIS, tickCount=4) if shares else alt.Axis(tickCount=4)
    base = alt.Chart(rows).encode(
        x=alt.X("step:Q", title="Step", axis=alt.Axis(format="d", tickMinStep=1, grid=False)),
        y=alt.Y("value:Q", title=value, axis=axis, scale=room(rows["value"], reference)),
        color=alt.Color("series:N", scale=alt.Scale(domain=series, range=palette), legend=None),
        tooltip=[
            alt.Tooltip("series:N", title="Series"),
            alt.Tooltip("step:Q", title="Step", format="d"),
            alt.Tooltip("said:N", title=value),
        ],
    )
    layers: list[Any] = [line_at(reference, "y", ink)] if reference is not None else []
    layers += [
        base.mark_line(strokeWidth=2),
        base.mark_point(size=28, filled=True, opacity=0.9),
    ]
    if many:
        layers.append(
            base.transform_filter("datum.last")
            .mark_text(align="right", dy=-10, fontSize=12, fontWeight=600)
            .encode(text="series:N")
        )
    return alt.layer(*layers).properties(title=titled(title), height=220, description=title)


def gate_strip(
    frame: Frame,
    *,
    title: str,
    colours: Mapping[str, str],
    names: Mapping[str, str],
    ink: Ink = LIGHT,
) -> AnyChart:
    """Challenger's blind win rate with its interval against 50 %, one row a comparison.

    Args:
        frame: columns persona (slug), label, win_rate, ci_low, ci_high, n.
        title: the finding.
        colours: slug to colour.
        names: slug to display name.
        ink: the theme's colours.
    """
    rows = frame.copy()
    rows["shown"] = unique([str(label) for label in rows["label"]])
    rows["name"] = [str(names.get(slug, slug)) for slug in rows["persona"]]
    rows["said"] = findings.estimates(rows, "win_rate", "ci_low", "ci_high")
    rows["judged"] = [findings.counted(int(n), "judgment") for n in rows["n"]]
    slugs = list(dict.fromkeys(rows["persona"]))
    palette = [colour_of(slug, colours, ink) for slug in slugs]
    base = alt.Chart(rows).encode(
        y=alt.Y("shown:N", sort=None, axis=None, scale=alt.Scale(padding=0.1)),
        tooltip=[
            alt.Tooltip("name:N", title="Persona"),
            alt.Tooltip("shown:N", title="Comparison"),
            alt.Tooltip("said:N", title="Challenger wins, %"),
            alt.Tooltip("judged:N", title="Judged"),
        ],
    )
    colour = alt.Color("persona:N", scale=alt.Scale(domain=slugs, range=palette), legend=None)
    scale = alt.Scale(domain=[0, 1], nice=False)
    x = alt.X(
        "win_rate:Q",
        title="Challenger wins",
        scale=scale,
        axis=alt.Axis(labelExpr=PERCENT_AXIS, values=[0, 0.25, 0.5, 0.75, 1]),
    )
    whisker = base.mark_rule(size=7, opacity=0.4, yOffset=10).encode(
        x=alt.X("ci_low:Q", scale=scale), x2="ci_high:Q", color=colour
    )
    point = base.mark_point(size=120, filled=True, opacity=1, yOffset=10).encode(x=x, color=colour)
    words = base.mark_text(align="left", dy=-12, fontSize=12, color=ink.text).encode(
        x=alt.value(0), text="shown:N"
    )
    rows["counted"] = [
        f"{said} %  ·  n {int(n):,}" for said, n in zip(rows["said"], rows["n"], strict=True)
    ]
    said = base.mark_text(align="right", dy=-12, fontSize=12, fontWeight=600, color=ink.text)
    said = said.encode(x=alt.value("width"), text="counted:N")
    return finish(
        alt.layer(line_at(0.5, "x", ink), whisker, point, words, said), title, len(rows), row=60
    )
