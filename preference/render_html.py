"""A report as one HTML file: no script, no network, every name escaped.

Knows: a `Report`, SVG and CSS. Does not know how numbers were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from preference.encoding import Item
from preference.render_text import HEADERS, count, facts, interval, number, row
from preference.report import Report, ReportItem

_MOST_MATRIX = 24
_ROW = 24
_LABEL = 210
_PLOT = 440

_STYLE = """
:root{--ink:#1b2430;--soft:#5d6b7a;--line:#d9dfe6;--paper:#fff;--accent:#2a6f97;--low:#b35806;
--warn:#fff4de}
@media (prefers-color-scheme:dark){:root{--ink:#e7ecf2;--soft:#9aa7b5;--line:#344150;
--paper:#151b23;--accent:#6cb4dd;--low:#e8a15c;--warn:#3a3017}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1rem 4rem;max-width:60rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.1rem;margin:2rem 0 .5rem}
p.lead,figcaption{color:var(--soft);margin:.2rem 0 1rem}
figure{margin:0;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .5rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600}
td:nth-child(2),th:nth-child(2){text-align:left;white-space:normal;overflow-wrap:anywhere}
.matrix td,.matrix th{text-align:center;padding:.25rem;font-size:.8rem;min-width:2.6rem}
.matrix th:first-child{text-align:left;min-width:8rem;max-width:14rem;overflow-wrap:anywhere;
white-space:normal}
.note{background:var(--warn);border-left:4px solid var(--low);padding:.5rem .75rem;margin:.5rem 0}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}
svg .soft{fill:var(--soft)}
svg .grid{stroke:var(--line)}
svg .bar{stroke:var(--accent);stroke-width:2}
svg .dot{fill:var(--accent)}
ul{padding-left:1.2rem}
"""


def html(report: Report) -> str:
    """The whole page."""
    title = escape(report.finding)
    rated = [item for item in report.items if item.rating is not None]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        f'<p class="lead">{escape(_lead(report))}</p>',
        *(f'<p class="note" role="note">{escape(note)}</p>' for note in report.notes),
    ]
    if rated:
        parts += [
            "<h2>Ratings</h2>",
            _whiskers(
                rated,
                [(i.rating, i.ci_low, i.ci_high) for i in rated],
                0.0,
                "+.1f",
                f"Log-worth with {report.settings['ci']:.0%} interval; n is the number of "
                "judgments. The line at 0 is the average item.",
            ),
        ]
    rates = [item for item in report.items if item.win_rate is not None]
    if rates:
        rates.sort(key=lambda i: -(i.win_rate or 0.0))
        parts += [
            "<h2>Win rates</h2>",
            _whiskers(
                rates,
                [(i.win_rate, i.win_rate_ci_low, i.win_rate_ci_high) for i in rates],
                0.5,
                ".0%",
                "Wins plus half the ties, against the opponents each item happened to meet.",
            ),
        ]
    parts += ["<h2>Numbers</h2>", _table(report), _matrix(report)]
    parts += ["<h2>How to read this</h2>", "<ul>"]
    parts += [f"<li>{escape(fact)}</li>" for fact in facts(report)]
    parts += ["</ul></body></html>"]
    return "\n".join(parts) + "\n"


def _lead(report: Report) -> str:
    kinds = report.settings.get("judgments_by_kind")
    text = f"{report.n_judgments:,} judgments"
    if kinds:
        text += " (" + ", ".join(f"{n:,} {kind}" for kind, n in kinds.items()) + ")"
    source = report.settings.get("source")
    return text + (f" from {source}" if source else "")


def _whiskers(
    items: Sequence[ReportItem],
    values: Sequence[tuple[Any, Any, Any]],
    middle: float,
    form: str,
    caption: str,
) -> str:
    """Points with whiskers, one row an item."""
    ends = [v for triple in values for v in triple if v is not None and np.isfinite(v)]
    low, high = min([*ends, middle]), max([*ends, middle])
    span = (high - low) or 1.0
    low, high = low - 0.03 * span, high + 0.03 * span
    height = _ROW * (len(items) + 1) + 10

    def x(value: float) -> float:
        return round(_LABEL + _PLOT * (value - low) / (high - low), 1)

    out = [
        f'<figure><svg role="img" aria-label="{escape(caption)}" width="{_LABEL + _PLOT + 190}" '
        f'height="{height}" viewBox="0 0 {_LABEL + _PLOT + 190} {height}">',
        f'<line class="grid" x1="{x(middle)}" x2="{x(middle)}" y1="4" y2="{height - _ROW}"/>',
    ]
    for tick in _ticks(low, high):
        out.append(
            f'<text class="soft" text-anchor="middle" x="{x(tick)}" y="{height - 8}">'
            f"{format(tick, form)}</text>"
        )
    for i, (item, (value, start, stop)) in enumerate(zip(items, values, strict=True)):
        y = _ROW * i + 16
        name = str(item.item)
        short = name if len(name) <= 30 else name[:29] + "…"
        said = f"{number(value, form)} {interval(start, stop, form)}  n {count(item.n)}"
        out.append(f"<g><title>{escape(name)}: {escape(said)}</title>")
        out.append(f'<text x="{_LABEL - 10}" y="{y + 4}" text-anchor="end">{escape(short)}</text>')
        if start is not None and stop is not None:
            out.append(f'<line class="bar" x1="{x(start)}" x2="{x(stop)}" y1="{y}" y2="{y}"/>')
        out.append(f'<circle class="dot" cx="{x(value)}" cy="{y}" r="4"/>')
        out.append(
            f'<text class="soft" x="{_LABEL + _PLOT + 10}" y="{y + 4}">{escape(said)}</text>'
        )
        out.append("</g>")
    out.append(f"</svg><figcaption>{escape(caption)}</figcaption></figure>")
    return "\n".join(out)


def _ticks(low: float, high: float) -> list[float]:
    step = 10 ** np.floor(np.log10((high - low) / 3))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= 7:
            step *= factor
            break
    first = int(np.ceil(low / step))
    last = int(np.floor(high / step + 1e-9))
    return [round(float(i * step), 10) for i in range(first, last + 1)]


def _table(report: Report) -> str:
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in HEADERS)
    out = [f"<figure><table><thead><tr>{head}</tr></thead><tbody>"]
    for i, item in enumerate(report.items):
        cells = "".join(f"<td>{cell}</td>" for cell in row(report, i, item, escape))
        out.append(f"<tr>{cells}</tr>")
    out.append("</tbody></table></figure>")
    return "".join(out)


def _matrix(report: Report) -> str:
    """Win rate of the row over the column; colour diverges at 50 %, interval and n on hover."""
    items: list[Item] = [item.item for item in report.items]
    if not 2 < len(items) <= _MOST_MATRIX:
        return ""
    cells: dict[tuple[Item, Item], str] = {}
    for p in report.pairs:
        a, b, value = p["item_a"], p["item_b"], p["win_rate_a"]
        n = p["wins_a"] + p["wins_b"] + p["ties"]
        if value is None:
            continue
        for first, second, v, low, high in (
            (a, b, value, p["ci_low"], p["ci_high"]),
            (b, a, 1 - value, 1 - p["ci_high"], 1 - p["ci_low"]),
        ):
            said = f"{first} over {second}: {v:.0%} {interval(low, high, '.0%')}, n {count(n)}"
            hue = "42,111,151" if v >= 0.5 else "179,88,6"
            shade = f"rgba({hue},{min(abs(v - 0.5) * 1.6, 0.8):.2f})"
            cells[first, second] = (
                f'<td style="background:{shade}" title="{escape(said)}">{v:.0%}</td>'
            )
    head = "".join(f'<th scope="col">{escape(str(i))}</th>' for i in items)
    out = [
        "<h2>Head to head</h2><figure><table class='matrix'><thead><tr><th></th>",
        head,
        "</tr></thead><tbody>",
    ]
    for first in items:
        out.append(f'<tr><th scope="row">{escape(str(first))}</th>')
        out += [cells.get((first, second), "<td></td>") for second in items]
        out.append("</tr>")
    out.append(
        "</tbody></table><figcaption>Win rate of the row over the column; empty where the two "
        "never met.</figcaption></figure>"
    )
    return "".join(out)
