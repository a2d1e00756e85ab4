"""Fit, circles, drift and length as lines of plain text, calm when there is nothing to see.

Knows: a `Report`. Does not know how numbers were made; whoever shows a line escapes it.
"""

from __future__ import annotations

from typing import Any, cast

from preference.report import Report

CHANCE = 0.05


def doubts(report: Report) -> list[str]:
    """One line each, and one for all that has no answer."""
    made = cast("dict[str, dict[str, Any]]", report.diagnostics)
    silent: list[str] = []
    lines = [
        *_fit(made["goodness_of_fit"]),
        *_cycles(made["cycles"]),
        *_drift(made["drift"], silent),
        *_length(cast("dict[str, Any]", report.length), silent),
    ]
    return lines + ([f"not asked: {'; '.join(silent)}"] if silent else [])


def _fit(part: dict[str, Any]) -> list[str]:
    worst = part.get("worst_pairs")
    if not worst or part["degrees_of_freedom"] <= 0:
        return []
    top, pairs = worst[0], part["pairs"]
    if top["p_value"] >= CHANCE:
        return [f"fit: no pair of {pairs:,} departs from the ratings by more than chance"]
    return [
        f"fit: {top['item_a']} over {top['item_b']} {top['win_rate_a']:.0%} of {top['n']:,.0f} "
        f"where the ratings say {top['expected']:.0%} ({abs(top['residual']):.1f} standard errors, "
        f"the worst of {pairs:,} pairs)"
    ]


def _cycles(part: dict[str, Any]) -> list[str]:
    strongest = part.get("strongest")
    if not strongest or strongest[0]["p_value"] >= CHANCE:
        return []
    names = " over ".join(str(x) for x in [*strongest[0]["items"], strongest[0]["items"][0]])
    return [
        f"circle: {names}, each by {strongest[0]['evidence']:.1f} standard errors or more: no "
        "single ranking says this"
    ]


def _drift(part: dict[str, Any], silent: list[str]) -> list[str]:
    if part.get("explanation"):
        silent.append(f"drift ({part['explanation']})")
        return []
    top = part["changes"][0]
    halves = f"{part['earlier']:,} earlier and {part['later']:,} later judgments"
    if part.get("left_out"):
        items = "1 item" if part["left_out"] == 1 else f"{part['left_out']} items"
        halves += f" ({items} of one half only left out)"
    if part["p_value"] >= CHANCE:
        return [f"drift: none beyond chance between {halves}"]
    return [
        f"drift: between {halves} {top['item']} moved by {top['change']:+.2f} "
        f"({abs(top['z']):.1f} standard errors)"
    ]


def _length(part: dict[str, Any], silent: list[str]) -> list[str]:
    if part.get("explanation"):
        silent.append(f"length ({part['explanation']})")
        return []
    first = part["items"][0]
    return [
        f"length: {part['spread']:,.0f} {part['unit']} more give {part['effect']:+.2f} log-odds "
        f"[{part['ci_low']:+.2f}, {part['ci_high']:+.2f}]; at equal length {first['item']} leads "
        f"with {first['rating']:+.2f}"
    ]
