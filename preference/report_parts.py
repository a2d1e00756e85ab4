"""The parts of a report: items, ties, placement, pairs, settings, notes, the finding.

Knows: counts, win rates and fits, and how each part is read from them. Does not know which fits are
needed or how a report is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from preference.connectivity import listed
from preference.counts import Cells
from preference.encoding import Item
from preference.outcomes import TieModel
from preference.report_input import Columns
from preference.results import BradleyTerryFit
from preference.win_rate import WinRates


@dataclass(frozen=True)
class ReportItem:
    """One line of the ranking; None where the data cannot say."""

    item: Item
    rating: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    wins: float
    losses: float
    ties: float
    win_rate: float | None
    win_rate_ci_low: float | None
    win_rate_ci_high: float | None
    n: float


def report_items(
    rates: WinRates,
    islands: tuple[tuple[Item, ...], ...],
    fits: list[BradleyTerryFit | None],
) -> tuple[ReportItem, ...]:
    """Every item with its rating and win rate, best first within each group."""
    out: list[ReportItem] = []
    place = {item: i for i, item in enumerate(rates.items)}
    for group, fit in zip(islands, fits, strict=True):
        rated: dict[Item, tuple[float, float, float, float]] = {}
        if fit is not None:
            columns = (fit.ratings, fit.se, fit.ci_low, fit.ci_high)
            for i, item in enumerate(fit.items):
                rated[item] = tuple(float(c[i]) for c in columns)  # type: ignore[assignment]
        order = sorted(group, key=lambda x: (-rated[x][0] if x in rated else np.inf, str(x)))
        for item in order:
            i = place[item]
            rating, se, low, high = rated.get(item, (None, None, None, None))
            out.append(
                ReportItem(
                    item,
                    rating,
                    se,
                    low,
                    high,
                    float(rates.wins[i]),
                    float(rates.losses[i]),
                    float(rates.ties[i]),
                    _known(rates.value[i]),
                    _known(rates.ci_low[i]),
                    _known(rates.ci_high[i]),
                    float(rates.n[i]),
                )
            )
    return tuple(out)


def _known(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None


def tie_part(
    cells: Cells,
    fit: BradleyTerryFit | None,
    model: TieModel,
    choice: Mapping[str, float],
    ci: float,
) -> dict[str, Any]:
    """How ties were treated, how many there are, and the tie parameter with its interval."""
    tied = float(cells.ties.sum())
    total = tied + float(cells.wins_a.sum() + cells.wins_b.sum())
    out: dict[str, Any] = {
        "model": fit.tie_model if fit is not None else model,
        "parameter": None,
        "ci_low": None,
        "ci_high": None,
        "count": tied,
        "share": tied / total if total else None,
    }
    if choice:
        out["held_out_log_likelihood"] = dict(choice)
    if fit is not None and fit.tie_parameter is not None:
        out["parameter"] = fit.tie_parameter
        effect = fit.effects.get("log_tie_parameter")
        if effect is not None:
            with np.errstate(over="ignore"):  # an endless interval has no upper end to show
                out["ci_low"], out["ci_high"] = np.exp(effect.ci_low), np.exp(effect.ci_high)
    return out


def bias_part(cells: Cells, fit: BradleyTerryFit | None, *, placed: bool) -> dict[str, Any]:
    """Being shown first: its effect on the log-odds, and how often the first one wins."""
    out: dict[str, Any] = dict.fromkeys(("placement_effect", "se", "ci_low", "ci_high"))
    known = cells.placement != 0
    first = np.where(cells.placement > 0, cells.wins_a, cells.wins_b)[known].sum()
    second = np.where(cells.placement > 0, cells.wins_b, cells.wins_a)[known].sum()
    tied = cells.ties[known].sum()
    n = float(first + second + tied)
    out["first_place_win_rate"] = float(first + tied / 2) / n if n else None
    out["n"] = n
    effect = fit.effects.get("placement") if fit is not None else None
    if effect is not None:
        out |= {
            "placement_effect": effect.value,
            "se": effect.se,
            "ci_low": effect.ci_low,
            "ci_high": effect.ci_high,
        }
    elif not placed:
        out["explanation"] = "no placement column, so the pull of the first place is not measured"
    elif n == 0:
        out["explanation"] = "no judgment that counts says which item had the first place"
    else:
        out["explanation"] = "the first place cannot be told apart from the items"
    return out


def both_bad_part(cells: Cells) -> dict[str, Any]:
    """How many judgments found both bad."""
    bad = float(cells.both_bad.sum())
    total = bad + float((cells.wins_a + cells.wins_b + cells.ties).sum())
    return {"count": bad, "share": bad / total if total else None}


def pair_part(rates: WinRates) -> tuple[dict[str, Any], ...]:
    """Win rate and counts of every pair that met."""
    p = rates.pairs
    return tuple(
        {
            "item_a": p.first[i],
            "item_b": p.second[i],
            "wins_a": float(p.wins[i]),
            "wins_b": float(p.losses[i]),
            "ties": float(p.ties[i]),
            "both_bad": float(p.both_bad[i]),
            "win_rate_a": _known(p.value[i]),
            "ci_low": _known(p.ci_low[i]),
            "ci_high": _known(p.ci_high[i]),
        }
        for i in range(len(p.first))
    )


def settings_part(
    columns: Columns,
    ties: str,
    model: TieModel,
    prior: float | str | None,
    ci: float,
    names: list[str],
    clusters: tuple[int, ...],
    fits: list[BradleyTerryFit | None],
    *,
    strength: bool,
) -> dict[str, Any]:
    """How the numbers were made."""
    used = sorted({f.prior for f in fits if f is not None})
    out: dict[str, Any] = {
        "source": columns.source,
        "strength_counts": strength,
        "ties_asked": ties,
        "ties": model,
        "ci": ci,
        "prior_asked": "none" if prior is None else prior,
        "prior": used[0] if len(used) == 1 else used,
        "intervals": "cluster-robust sandwich" if names else "sandwich",
        "clusters": dict(zip(names, clusters, strict=True)),
        "weighted": columns.weight is not None,
        "placement": columns.placement is not None,
    }
    if columns.annotator_kind is not None:
        out["judgments_by_kind"] = _shares(columns.annotator_kind, columns.n)
    if columns.persona is not None:
        out["personas"] = _shares(columns.persona, columns.n)
    return out


def _shares(labels: Any, n: int) -> dict[str, int]:
    counts = np.bincount(np.asarray(labels.codes), minlength=len(labels.categories))
    return {str(c): int(k) for c, k in zip(labels.categories, counts, strict=True) if k and n}


def general_notes(
    columns: Columns,
    islands: tuple[tuple[Item, ...], ...],
    fits: list[BradleyTerryFit | None],
    cells: Cells,
) -> list[str]:
    """What a reader must know about the judgments themselves."""
    notes: list[str] = []
    rated = sum(fit is not None for fit in fits)
    if rated > 1:
        notes.append(
            f"{rated} groups of items were never compared with each other: each is rated "
            "apart, and ratings of different groups must not be compared; the tie parameter and "
            "the effect of the first place are those of the largest group"
        )
    bare = [group[0] for group, fit in zip(islands, fits, strict=True) if fit is None]
    if bare:
        notes.append(f"no rating for {listed(bare)}: every judgment there found both bad")
    if columns.weight is not None and columns.annotator is None:
        notes.append(
            "weights are taken as repeated judgments, so the intervals depend on their scale: a "
            "column annotator would free them of it"
        )
    if columns.annotator_kind is not None:
        kinds = _shares(columns.annotator_kind, columns.n)
        for kind in ("simulated", "automatic"):
            if kinds.get(kind):
                share = kinds[kind] / columns.n
                notes.append(f"{share:.0%} of the judgments come from {kind} annotators")
    if columns.persona is not None and len(_shares(columns.persona, columns.n)) > 1:
        notes.append("several personas are pooled here")
    bad = both_bad_part(cells)
    if bad["share"]:
        notes.append(
            f"both were found bad {bad['count']:g} times ({bad['share']:.1%}): such judgments "
            "prefer nothing and are left out of ratings and win rates"
        )
    return notes


def finding_of(
    fits: list[BradleyTerryFit], ranks: Mapping[Item, tuple[int, int]], ci: float
) -> str:
    """The result in one sentence, no stronger than the intervals allow; one fit a rated group."""
    if len(fits) > 1:
        return f"{len(fits)} groups of items never met: no overall ranking exists"
    if not fits:
        return "No judgment prefers one item over another: there is nothing to rank"
    fit = fits[0]
    order = np.argsort(-fit.ratings, kind="stable")
    level = [x for x, r in zip(fit.items, fit.ratings, strict=True) if r > fit.ratings.max() - 1e-9]
    top, second = fit.items[int(order[0])], fit.items[int(order[1])]
    if len(fit.items) == 2:
        gap = fit.difference(top, second)
        sure = gap.ci_low > 0
        size = f"{gap.value:.2f} [{gap.ci_low:.2f}, {gap.ci_high:.2f}] at {ci:.0%}"
        if sure:
            return f"{top} is ahead of {second} by {size}"
        return f"{top} and {second} cannot be told apart yet: difference {size}"
    if len(level) > 1:
        return f"No item is ahead of all others: {listed(level, most=3)} are level"
    rivals = [fit.items[int(i)] for i in order[1:] if ranks[fit.items[int(i)]][0] == 1]
    if ranks[top][1] == 1:
        others = "both others" if len(fit.items) == 3 else f"all {len(fit.items) - 1} others"
        return f"{top} is ahead of {others}"
    behind = len(fit.items) - ranks[top][1]
    if behind == 0:
        return f"No item is clearly ahead yet: {top} leads, within the uncertainty of all others"
    return (
        f"{top} leads and is clearly ahead of {behind} of {len(fit.items) - 1} others; "
        f"{listed(rivals, most=3)} could still be first"
    )
