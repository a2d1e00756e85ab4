"""A report as plain text for a terminal, and as Markdown.

Knows: a `Report` and the width of words. Does not know how numbers were made.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, cast

from preference.agreement import Agreement
from preference.render_doubts import doubts
from preference.report import Report, ReportItem

_MOST_PAIRS = 20


def table(report: Report) -> str:
    """The ranking with intervals, then what a reader must know; for a terminal."""
    lines = [visible(report.finding), ""]
    rows = [row(report, i, item, visible) for i, item in enumerate(report.items)]
    lines += aligned(HEADERS, rows)
    lines += ["", *map(visible, facts(report))]
    if report.notes:
        lines += ["", *(f"! {visible(note)}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def markdown(report: Report) -> str:
    """The same as GitHub-flavoured Markdown, names escaped."""
    lines = [f"# {escape(report.finding)}", ""]
    rows = [row(report, i, item, escape) for i, item in enumerate(report.items)]
    lines += ["| " + " | ".join(HEADERS) + " |", "|" + "|".join(ALIGN) + "|"]
    lines += ["| " + " | ".join(r) + " |" for r in rows]
    lines += ["", *(f"- {escape(fact)}" for fact in facts(report))]
    if report.notes:
        lines += ["", *(f"> **Note:** {escape(note)}\n" for note in report.notes)]
    return "\n".join(lines).rstrip() + "\n"


HEADERS = ("rank", "item", "rating", "interval", "win rate", "interval", "n", "W-L-T")
ALIGN = ("---:", "---", "---:", "---", "---:", "---", "---:", "---")


def row(
    report: Report, position: int, item: ReportItem, name: Callable[[str], str]
) -> tuple[str, ...]:
    """One line of the ranking: rank and, where open, the ranks possible; a star means a flag."""
    low, high = report.ranks.get(item.item, (0, 0))
    rank = f"{position + 1}"
    if low and (low, high) != (position + 1, position + 1):
        rank += f" ({low}-{high})"
    star = " *" if report.flags.get(item.item) else ""
    record = f"{count(item.wins)}-{count(item.losses)}-{count(item.ties)}"
    return (
        rank,
        name(str(item.item)) + star,
        number(item.rating, "+.2f"),
        interval(item.ci_low, item.ci_high, "+.2f"),
        number(item.win_rate, ".0%"),
        interval(item.win_rate_ci_low, item.win_rate_ci_high, ".0%"),
        count(item.n),
        record,
    )


def facts(report: Report) -> list[str]:
    """Ties, placement, agreement, both_bad, intervals and flags, one line each."""
    s, ties, bias = report.settings, report.ties, report.bias
    level = f"{s['ci']:.0%}"
    lines = [f"{report.n_judgments:,} judgments of {len(report.items)} items"]
    clusters = cast("dict[str, int]", s["clusters"])
    if clusters:
        by = " and ".join(f"{n} {name}s" for name, n in clusters.items())
        lines.append(f"intervals: {level}, robust to repeated judging by {by}")
    else:
        lines.append(f"intervals: {level}, judgments taken as independent")
    if ties["share"] is not None:
        text = f"ties: {ties['share']:.0%} of judgments, model {ties['model']}"
        if ties["parameter"] is not None:
            text += f", parameter {ties['parameter']:.2f}"
        lines.append(text)
    if bias["placement_effect"] is not None:
        lines.append(
            f"first place: {number(bias['placement_effect'], '+.2f')} log-odds "
            f"{interval(bias['ci_low'], bias['ci_high'], '+.2f')}, wins "
            f"{number(bias['first_place_win_rate'], '.0%')} of {count(bias['n'])}"
        )
    lines += agreement_facts(report)
    lines += doubts(report)
    if report.both_bad["count"]:
        lines.append(f"both bad: {count(report.both_bad['count'])}, not in ratings or win rates")
    if s["strength_counts"]:
        lines.append("strength: a much better counts as two judgments")
    if s["prior"] not in ("none", []):
        lines.append(f"prior: {s['prior']}")
    if report.dropped:
        lines.append(
            f"dropped: {report.dropped:,} judgments of weight zero or of an item against itself"
        )
    if report.flags:
        named = "; ".join(f"{item}: {', '.join(why)}" for item, why in report.flags.items())
        lines.append(f"* {named}")
    return lines


def agreement_facts(report: Report) -> list[str]:
    """Agreement between annotators, and of automatic ones with people."""
    alpha = report.agreement.get("krippendorff_alpha")
    if not isinstance(alpha, Agreement):
        return [f"agreement: {report.agreement.get('explanation')}"]
    text = "agreement: Krippendorff's alpha "
    if alpha.value != alpha.value:
        lines = [text + f"undefined ({alpha.explanation})"]
    elif alpha.explanation:
        lines = [text + f"{number(alpha.value, '.2f')} ({alpha.explanation})"]
    else:
        lines = [
            text + f"{alpha.value:.2f} {interval(alpha.ci_low, alpha.ci_high, '.2f')} over "
            f"{alpha.units:,} comparisons judged more than once"
        ]
    judge = report.agreement.get("automatic")
    if isinstance(judge, Agreement):
        lines.append(
            f"automatic judges with people: kappa {number(judge.value, '.2f')} "
            f"{interval(judge.ci_low, judge.ci_high, '.2f')}, same verdict "
            f"{number(judge.observed, '.0%')} over {judge.units:,} comparisons"
        )
    return lines


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width; numbers to the right, names to the left."""
    widths = [max(len(r[c]) for r in (headers, *rows)) for c in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        parts = [
            cell.rjust(w) if ALIGN[c].endswith(":") else cell.ljust(w)
            for c, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    return [line(headers), line(["-" * w for w in widths]), *(line(r) for r in rows)]


def number(value: Any, form: str) -> str:
    """A number, or a dash where there is none; a rounded zero has no minus."""
    if value is None or value != value:
        return "–"
    text = format(value, form)
    return text if text.strip("-0.%") else format(0.0, form)


def interval(low: Any, high: Any, form: str) -> str:
    """`[low, high]`, or nothing."""
    if low is None or high is None or low != low or high != high:
        return ""
    return f"[{number(low, form)}, {number(high, form)}]"


def count(value: float) -> str:
    """A count; weighted ones with one decimal."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def visible(text: str) -> str:
    """Text on one line in which no character commands the terminal: those are shown escaped."""
    return "".join(each if _harmless(each) else ascii(each)[1:-1] for each in text)


def _harmless(letter: str) -> bool:
    kind = unicodedata.category(letter)
    return letter in "\u200c\u200d" or kind not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def escape(text: str) -> str:
    """Text that Markdown shows as it is."""
    out = visible(text.replace("\r", " ").replace("\n", " ")).replace("\\", "\\\\")
    for mark in "|`*_[]<>#~":
        out = out.replace(mark, "\\" + mark)
    return out
