"""The part of a report that doubts it: fit, circles, drift, length.

Knows: what each check needs and why it cannot be made. Does not know how a report is shown.

Everything is about the largest group of rated items. Residuals and margins shrink by the effective
number of judgments where people judge repeatedly, as the win rates' intervals do. Goodness of fit
and circles are sums over counts; drift is two fits of half the judgments each; length is one fit on
rounded differences.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preference.diagnostics import cycles_of, goodness_of_fit, pair_residuals
from preference.drift import Drift, drift_of
from preference.encoding import BOTH_BAD, Floats, Ints, Item, Judgments
from preference.errors import PreferenceError
from preference.length_effect import length_effect
from preference.report_input import Columns
from preference.results import BradleyTerryFit
from preference.win_rate import WinRates

MOST_PAIRS, MOST_CYCLES, MOST_ITEMS = 5, 5, 5
CLEAR = 2.0  # standard errors of the weakest link from which a circle is listed
_MOST_CYCLE_ITEMS = 1000
_SHARED = 0.8  # share of prompts in common from which drift does not depend on them


def diagnostics_part(
    columns: Columns,
    j: Judgments,
    clusters: list[Ints],
    fit: BradleyTerryFit | None,
    rates: WinRates,
) -> tuple[dict[str, Any], Drift | None]:
    """Goodness of fit, circles and drift, each with numbers or an `explanation`; drift whole."""
    if fit is None:
        none = {"explanation": "nothing is rated"}
        return {"goodness_of_fit": none, "cycles": none, "drift": none}, None
    worth = _worth(fit, rates)
    told, moved = _drift_part(columns, j, clusters, fit)
    return {
        "goodness_of_fit": _fit_part(columns, fit, worth, clustered=bool(clusters)),
        "cycles": _cycle_part(fit, worth),
        "drift": told,
    }, moved


def _worth(fit: BradleyTerryFit, rates: WinRates) -> Floats:
    """(k, k) effective number of judgments over the number of them; 1 without clusters."""
    k = len(fit.items)
    place = {item: i for i, item in enumerate(fit.items)}
    out = np.ones((k, k))
    p = rates.pairs
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(p.n > 0, np.minimum(p.effective_n / p.n, 1.0), 1.0)
    for first, second, one in zip(p.first, p.second, share.tolist(), strict=True):
        if first in place and second in place:
            out[place[first], place[second]] = out[place[second], place[first]] = one
    return out


def _fit_part(
    columns: Columns, fit: BradleyTerryFit, worth: Floats, *, clustered: bool
) -> dict[str, Any]:
    test = goodness_of_fit(fit)
    why = test.explanation
    if why is None and columns.weight is not None:
        why = "weights are not counts, so the p-value means nothing"
    if why is None and clustered:
        why = "people judged repeatedly, so the p-value is too small: read the worst pairs"
    worst, pairs = pair_residuals(fit, worth, most=MOST_PAIRS)
    return {
        "statistic": test.statistic,
        "degrees_of_freedom": test.degrees_of_freedom,
        "p_value": test.p_value,
        "pairs": pairs,
        "worst_pairs": [
            {
                "item_a": r.first,
                "item_b": r.second,
                "win_rate_a": r.win_rate,
                "expected": r.expected,
                "n": r.n,
                "residual": r.residual,
                "p_value": r.p_value,
            }
            for r in worst
        ],
        "explanation": why,
    }


def _cycle_part(fit: BradleyTerryFit, worth: Floats) -> dict[str, Any]:
    if len(fit.items) < 3:
        return {"count": 0, "strongest": [], "explanation": "a circle needs three items"}
    if len(fit.items) > _MOST_CYCLE_ITEMS:
        why = f"more than {_MOST_CYCLE_ITEMS:,} items: call intransitive_cycles on those you mean"
        return {"count": None, "strongest": [], "explanation": why}
    found, several = cycles_of(fit, most=MOST_CYCLES, least=CLEAR, worth=worth)
    return {
        "count": several,
        "strongest": [
            {"items": [c.first, c.second, c.third], "evidence": c.evidence, "p_value": c.p_value}
            for c in found
        ],
        "explanation": None,
    }


def _rows_of(j: Judgments, items: tuple[Item, ...], known: Any) -> Ints:
    """Positions of judgments between these items for which something is known."""
    among = frozenset(items)
    inside = np.array([label in among for label in j.labels], dtype=np.bool_)
    return np.flatnonzero(inside[j.a] & inside[j.b] & known)


def _drift_part(
    columns: Columns, j: Judgments, clusters: list[Ints], fit: BradleyTerryFit
) -> tuple[dict[str, Any], Drift | None]:
    out: dict[str, Any] = {"p_value": None, "changes": []}
    if columns.when is None:
        return out | {"explanation": columns.no_time}, None
    if fit.prior != "none":
        why = "some items have no finite rating even in all judgments together"
        return out | {"explanation": why}, None
    rows = _rows_of(j, fit.items, ~np.isnan(columns.when) & (j.verdict != BOTH_BAD))
    when = columns.when[rows]
    if len(when) == 0 or when.min() == when.max():
        return out | {"explanation": "every judgment has the same time"}, None
    rows, later = _in_both_halves(j, rows, columns.when)
    if not len(rows):
        return out | {"explanation": "no two items were compared in both halves of the time"}, None
    part = j.take(rows)
    if fit.placement_effect is None:
        part = replace(part, placement=None)
    out |= {"earlier": int((~later).sum()), "later": int(later.sum())}
    try:
        got = drift_of(part, _ways([c[rows] for c in clusters], later), later, fit.tie_model)
    except PreferenceError as error:
        return out | {"explanation": str(error).split(":")[0] + _second(str(error))}, None
    order = np.argsort(-np.abs(got.z).round(9), kind="stable")[:MOST_ITEMS]
    out["p_value"] = got.p_largest
    out["changes"] = [
        {
            "item": got.items[int(i)],
            "change": float(got.change[i]),
            "se": float(got.se[i]),
            "z": float(got.z[i]),
        }
        for i in order
    ]
    out["left_out"] = len(fit.items) - len(got.items)
    return out | {"explanation": None}, got


def _in_both_halves(j: Judgments, rows: Ints, when: Floats) -> tuple[Ints, NDArray[np.bool_]]:
    """Judgments of items that meet others in both halves of their time, and which are later."""
    while len(rows):
        later = _later(when[rows])
        met = np.zeros((2, len(j.labels)), dtype=np.bool_)
        for half in (0, 1):
            part = rows[later == bool(half)]
            met[half, j.a[part]] = met[half, j.b[part]] = True
        both = met[0] & met[1]
        keep = both[j.a[rows]] & both[j.b[rows]]
        if keep.all():
            return rows, later
        rows = rows[keep]
    return rows, np.zeros(0, dtype=np.bool_)


def _later(when: Floats) -> NDArray[np.bool_]:
    """The half after the median time; of two ways to halve equal times, the more even one."""
    cut = float(np.median(when))
    later = when > cut
    if not later.any() or (when < cut).sum() > later.sum():
        later = when >= cut
    return later


def _ways(clusters: list[Ints], later: Any) -> list[Ints]:
    """Annotators, and prompts only where the two parts were asked different ones.

    Where the parts share their prompts, what these do to the ratings cancels in the difference;
    leaving them out then saves half of the time.
    """
    kept = clusters[:1]
    for codes in clusters[1:]:
        top = int(codes.max()) + 1
        early, late = (np.bincount(codes[m], minlength=top) / m.sum() for m in (~later, later))
        if float(np.minimum(early, late).sum()) < _SHARED:
            kept.append(codes)
    return kept


def _second(message: str) -> str:
    """The cause after the first colon of an error about one part; its remedy is left out."""
    parts = message.split(":")
    return f":{parts[1]}" if len(parts) > 1 and message.startswith("in the ") else ""


def length_part(
    columns: Columns, j: Judgments, clusters: list[Ints], fit: BradleyTerryFit | None, ci: float
) -> dict[str, Any]:
    """What a longer answer gains, and the ratings at equal length; or an `explanation`."""
    out: dict[str, Any] = dict.fromkeys(("effect", "se", "ci_low", "ci_high"))
    out |= {"items": []}
    if columns.length_a is None or columns.length_b is None:
        return out | {"explanation": columns.length_unit}
    if fit is None:
        return out | {"explanation": "nothing is rated"}
    if fit.prior != "none":
        return out | {
            "explanation": "some items have no finite rating, so length has no clear effect"
        }
    gap = columns.length_a - columns.length_b
    rows = _rows_of(j, fit.items, ~np.isnan(gap))
    if len(rows) == 0:
        return out | {"explanation": "no judgment has both lengths"}
    part = j.take(rows)
    if fit.placement_effect is None:
        part = replace(part, placement=None)
    try:
        got = length_effect(part, [c[rows] for c in clusters], gap[rows], fit.tie_model, ci)
    except (PreferenceError, ArithmeticError) as error:
        return out | {"explanation": str(error).split(":")[0]}
    order = np.argsort(-got.ratings, kind="stable")
    return {
        "effect": got.effect.value,
        "se": got.effect.se,
        "ci_low": got.effect.ci_low,
        "ci_high": got.effect.ci_high,
        "spread": got.spread,
        "unit": columns.length_unit,
        "longer_win_rate": got.longer_wins,
        "n": got.n,
        "items": [
            {
                "item": got.items[int(i)],
                "rating": float(got.ratings[i]),
                "ci_low": float(got.ci_low[i]),
                "ci_high": float(got.ci_high[i]),
            }
            for i in order
        ],
        "explanation": None,
    }
