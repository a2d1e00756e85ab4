"""Shares as points with whiskers: why an adapter loses, and where. Frames in, Altair charts out.

Labels are data, never expressions, so that a hostile one stays text. Knows no Streamlit.
"""

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


def shares(
    frame: Frame,
    *,
    title: str,
    axis: str,
    counted: str,
    colour: str,
    reference: float | None = None,
    ink: Ink = LIGHT,
) -> AnyChart:
    """One row a label, in the frame's order: its share, the interval, the count at the right.

    Args:
        frame: columns label, value, low, high, n.
        title: the finding.
        axis: what the share is.
        counted: what ``n`` counts, in the singular.
        colour: of the points.
        reference: a dashed line at this share.
        ink: the theme's colours.
    """
    rows = frame.copy()
    rows["shown"] = unique([findings.sentence(str(label)) for label in rows["label"]])
    rows["said"] = [
        findings.estimate(*row)
        for row in zip(rows["value"], rows["low"], rows["high"], strict=True)
    ]
    rows["judged"] = [findings.counted(int(n), counted) for n in rows["n"]]
    rows["small"] = [f"n {int(n):,}" for n in rows["n"]]
    top = min(1.0, float(max(rows["high"].max(), reference or 0.0)))
    scale = alt.Scale(domain=[0, top * 1.16], nice=False)
    step = 0.25 if top > 0.6 else 0.1 if top > 0.25 else 0.05
    ticks = [step * place for place in range(21) if step * place <= top * 1.02]
    base = alt.Chart(rows).encode(
        y=alt.Y(
            "shown:N",
            sort=None,
            title=None,
            axis=alt.Axis(labelLimit=170, ticks=False, labelFlush=False),
        ),
        tooltip=[
            alt.Tooltip("shown:N", title=" "),
            alt.Tooltip("said:N", title=axis),
            alt.Tooltip("judged:N", title="Counted"),
        ],
    )
    whisker = base.mark_rule(size=2, color=colour, opacity=0.75).encode(
        x=alt.X(
            "low:Q", title=axis, scale=scale, axis=alt.Axis(labelExpr=PERCENT_AXIS, values=ticks)
        ),
        x2="high:Q",
    )
    point = base.mark_point(size=90, filled=True, color=colour, opacity=1).encode(x="value:Q")
    counts = base.mark_text(align="left", dx=7, fontSize=11, color=ink.muted).encode(
        x="high:Q", text="small:N"
    )
    layers = [whisker, point, counts]
    if reference is not None:
        layers.insert(0, line_at(reference, "x", ink))
    return finish(alt.layer(*layers), title, len(rows))
