"""From columns of judgments to one report: every number, and what it does not cover.

Knows: how the statistics of this room combine, when a prior is needed, and which intervals the
columns allow. Does not know where judgments come from or how a report is shown (`render_*`).

The order of rows never changes a digit: everything is computed from exact sums and sorted labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from preference.agreement import Agreement
from preference.arguments import level
from preference.bradley_terry import (
    TIES,
    BradleyTerryFit,
    Ties,
    as_prior,
    choose_tie_model,
    fit_judgments,
)
from preference.comparisons import rank_intervals
from preference.connectivity import connectivity
from preference.counts import count, ranked
from preference.drift import Drift
from preference.encoding import BOTH_BAD, TIE, Ints, Item, Judgments, encode, encode_clusters
from preference.errors import (
    ConfoundedError,
    InputError,
    PreferenceError,
    ReportError,
    SeparationError,
    UnidentifiedError,
)
from preference.newton import Prior
from preference.outcomes import TieModel
from preference.overlap import unit_agreement
from preference.report_diagnostics import diagnostics_part, length_part
from preference.report_input import Columns, from_frame, read_csv, same_item
from preference.report_parts import (
    ReportItem,
    bias_part,
    both_bad_part,
    finding_of,
    general_notes,
    pair_part,
    report_items,
    settings_part,
    tie_part,
)
from preference.win_rate import WinRates, win_rates_of

__all__ = ["Report", "ReportItem", "build", "build_columns", "read_csv"]

# Fewer than these say too little about people or prompts in general to widen intervals by.
FEWEST = {"annotator": 5, "prompt": 6}
DIGITS = 10


@dataclass(frozen=True, eq=False)
class Report:
    """All numbers of one set of judgments.

    Attributes:
        finding: the result in one sentence.
        items: in falling order of rating; separate groups one after the other, largest first.
        ties: model, parameter with interval, count, share.
        bias: effect of being shown first, with interval and the first place's win rate.
        agreement: coefficients over comparisons that several annotators judged.
        components: strongly connected groups of items.
        islands: groups without any comparison between them, each rated apart.
        n_judgments: judgments in; both_bad and dropped are part of it.
        both_bad: how many and which share.
        dropped: judgments of weight zero, or of an item against itself where that is allowed.
        settings: how the numbers were made.
        notes: what a reader must know before using them.
        flags: item -> reasons to be careful.
        ranks: item -> (best, worst) rank jointly possible.
        pairs: win rate of every pair compared.
        fits: one fit an island, in the order of `islands`; None where none is possible.
        diagnostics: goodness of fit with the worst pairs, circles, drift over time.
        length: what a longer answer gains, and the ratings at equal length.
        drift: the change of every rating over time; None where the diagnostics say why.
    """

    finding: str
    items: tuple[ReportItem, ...]
    ties: Mapping[str, Any]
    bias: Mapping[str, Any]
    agreement: Mapping[str, Any]
    components: tuple[tuple[Item, ...], ...]
    islands: tuple[tuple[Item, ...], ...]
    n_judgments: int
    both_bad: Mapping[str, Any]
    dropped: int
    settings: Mapping[str, Any]
    notes: tuple[str, ...]
    flags: Mapping[Item, tuple[str, ...]]
    ranks: Mapping[Item, tuple[int, int]]
    pairs: tuple[Mapping[str, Any], ...]
    fits: tuple[BradleyTerryFit | None, ...]
    rates: WinRates
    diagnostics: Mapping[str, Any]
    length: Mapping[str, Any]
    drift: Drift | None

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for strict JSON: no NaN, no infinity, ten significant digits."""
        return cast(
            "dict[str, Any]",
            plain(
                {
                    "finding": self.finding,
                    "items": [vars(item) for item in self.items],
                    "ties": self.ties,
                    "bias": self.bias,
                    "agreement": self.agreement,
                    "components": self.components,
                    "n_judgments": self.n_judgments,
                    "both_bad": self.both_bad,
                    "dropped": self.dropped,
                    "settings": self.settings,
                    "notes": self.notes,
                    "flags": self.flags,
                    "ranks": self.ranks,
                    "pairs": self.pairs,
                    "diagnostics": self.diagnostics,
                    "length": self.length,
                }
            ),
        )


def build(
    frame: Any,
    *,
    ties: str = "davidson",
    prior: float | str | None = "auto",
    ci: float = 0.95,
    strength: bool = False,
    source: str = "",
) -> Report:
    """A report on a data frame or mapping of columns (names as in `preference.report_input`).

    Args:
        frame: `item_a`, `item_b`, `verdict` and any optional column.
        ties: `half`, `davidson`, `rao_kupper` or `auto`.
        prior: `auto` (none; Firth's where an item has no finite rating, and then it is said),
            None, `firth`, `ridge` or a precision.
        ci: confidence level.
        strength: count a `much better` (column strength, 2) as two judgments. An assumption, not
            a measurement: it says that a strong preference is worth two weak ones.
        source: what the report is about, for its settings.

    Raises:
        ReportError: a value is wrong or the question cannot be answered as asked.
    """
    columns = frame if isinstance(frame, Columns) else from_frame(frame, source)
    return build_columns(columns, ties=ties, prior=prior, ci=ci, strength=strength)


def build_columns(
    columns: Columns,
    *,
    ties: str = "davidson",
    prior: float | str | None = "auto",
    ci: float = 0.95,
    strength: bool = False,
) -> Report:
    """`build` on checked columns."""
    if strength:
        columns = _with_strength(columns)
    if ties not in TIES:
        raise ReportError(f"ties {ties!r} is unknown: use half, davidson, rao_kupper or auto")
    try:
        ci = level(ci)
    except InputError as error:
        raise ReportError(str(error)) from None
    columns = _countable(columns)
    j = encode(
        columns.item_a,
        columns.item_b,
        columns.verdict,
        weight=columns.weight,
        placement=columns.placement,
    )
    cells = count(j)
    shape = connectivity(cells)
    names, clusters, notes = _clusters(columns, j)
    rates = win_rates_of(j, clusters, ci)
    model, choice = choose_tie_model(cells, cast("Ties", ties), Prior())
    labels: dict[Item, int] = {item: g for g, group in enumerate(shape.islands) for item in group}
    fits: list[BradleyTerryFit | None] = []
    for group in shape.islands:
        fit, said = _fit_island(
            j, clusters, labels, labels[group[0]], len(shape.islands), model, prior, ci
        )
        fits.append(fit)
        notes += said
    notes = general_notes(columns, shape.islands, fits, cells) + notes
    rated = [f for f in fits if f is not None]
    ranks = _ranks(rated[0]) if len(rated) == 1 else {}
    main = rated[0] if rated else None
    flags: dict[Item, tuple[str, ...]] = {}
    for fit in rated:
        flags.update(fit.flags)
    doubts, moved = diagnostics_part(columns, j, clusters, main, rates)
    return Report(
        finding=finding_of(rated, ranks, ci),
        items=report_items(rates, shape.islands, fits),
        ties=tie_part(cells, main, model, choice, ci),
        bias=bias_part(cells, main, placed=columns.placement is not None),
        agreement=unit_agreement(j, columns, ci),
        components=shape.components,
        islands=shape.islands,
        n_judgments=columns.n + columns.dropped,
        both_bad=both_bad_part(cells),
        dropped=columns.dropped,
        settings=settings_part(
            columns, ties, model, prior, ci, names, rates.clusters, fits, strength=strength
        ),
        notes=tuple(dict.fromkeys(notes)),
        flags=flags,
        ranks=ranks,
        pairs=pair_part(rates),
        fits=tuple(fits),
        rates=rates,
        diagnostics=doubts,
        length=length_part(columns, j, clusters, main, ci),
        drift=moved,
    )


def _countable(columns: Columns) -> Columns:
    """Without judgments of weight zero or of an item against itself: those count nowhere."""
    same = same_item(columns.item_a, columns.item_b)
    if same.all():
        raise ReportError(
            f"all {columns.n} judgments compare an item with itself (two candidates of one "
            "adapter), so there is nothing to rank: compare two adapters"
        )
    kept = ~same if columns.weight is None else ~same & (columns.weight > 0)
    if not kept.any():
        raise ReportError(f"{columns.source}: every weight is zero, so nothing counts")
    if kept.all():
        return columns
    return replace(columns.where(kept), dropped=columns.dropped + int((~kept).sum()))


def _with_strength(columns: Columns) -> Columns:
    if columns.strength is None:
        raise ReportError("no column strength, so a strong preference cannot count twice")
    one = np.ones(columns.n) if columns.weight is None else columns.weight
    factor = np.where(columns.verdict < TIE, columns.strength, 1.0)
    return replace(columns, weight=one * factor)


# --- fitting --------------------------------------------------------------------------------------


def _clusters(columns: Columns, j: Judgments) -> tuple[list[str], list[Ints], list[str]]:
    """Which columns widen the intervals, their codes, and what to say about it."""
    notes: list[str] = []
    names: list[str] = []
    arrays: list[Any] = []
    informative = j.verdict != BOTH_BAD
    for name, fewest in FEWEST.items():
        labels = getattr(columns, name)
        if labels is None:
            continue
        found = len(ranked(np.asarray(labels.codes, dtype=np.int64)[informative])[0])
        if found >= fewest:
            names.append(name)
            arrays.append(labels)
        elif found == 1:
            notes.append(f"one {name} only: the intervals are about this one, not about others")
        elif found:
            notes.append(
                f"{found} {name}s are too few to speak for others: intervals are about these ones"
            )
    if columns.annotator is None:
        notes.append(
            "no annotator column: judgments are taken as independent, so the intervals are too "
            "narrow if people judged more than once"
        )
    return names, encode_clusters(arrays, j.n) if arrays else [], notes


def _fit_island(
    j: Judgments,
    clusters: list[Ints],
    labels: Mapping[Item, int],
    group: int,
    islands: int,
    model: TieModel,
    prior: float | str | None,
    ci: float,
) -> tuple[BradleyTerryFit | None, list[str]]:
    """Fit one island, with a prior only where needed, and say so."""
    if islands > 1:
        of = np.array([labels.get(label, -1) for label in j.labels], dtype=np.int64)
        rows = np.flatnonzero(of[j.a] == group)
        rows = rows[of[j.b[rows]] == group]
        j = j.take(rows)
        clusters = [c[rows] for c in clusters]
    cells = count(j) if j.n else None
    decided = 0.0 if cells is None else float(cells.wins_a.sum() + cells.wins_b.sum())
    tied = 0.0 if cells is None else float(cells.ties.sum())
    if decided + tied == 0:
        return None, []
    notes: list[str] = []
    if decided == 0:
        model, clusters = "half", []  # scores are all zero: only the model knows how sure this is
        notes.append("every judgment is a tie: all ratings are equal")
    informative = j.verdict != BOTH_BAD
    clusters = [c for c in clusters if len(ranked(c[informative])[0]) >= 2]
    asked = as_prior(None if prior == "auto" else prior)

    def fit(with_prior: Prior) -> BradleyTerryFit:
        variance = "sandwich" if decided else "model"
        return fit_judgments(j, clusters, ties=model, ci=ci, prior=with_prior, variance=variance)

    try:
        return fit(asked), notes
    except ConfoundedError:
        notes.append(
            "the first place cannot be told apart from the items here (some were always first), so "
            "its effect is left out and stays in the ratings: show pairs in both orders"
        )
        j = replace(j, placement=None)
        again, said = _fit_island(j, clusters, labels, group, 1, model, prior, ci)
        return again, notes + said
    except (UnidentifiedError, ArithmeticError) as error:
        if prior != "auto":
            raise
        fallback = as_prior("ridge" if model == "rao_kupper" else "firth")
        try:
            result = fit(fallback)
        except PreferenceError:
            fallback = as_prior("ridge")
            result = fit(fallback)
        why = "some items have no finite rating"
        if isinstance(error, SeparationError) and (error.undefeated or error.winless):
            why = "some items never lost or never won"
        words = "Firth's (Jeffreys') prior" if fallback.kind == "firth" else f"a {fallback}"
        notes.append(
            f"{why}, so ratings use {words}, which pulls them together: collect more judgments of "
            "the flagged items before trusting their distance"
        )
        return result, notes


def _ranks(fit: BradleyTerryFit) -> dict[Item, tuple[int, int]]:
    r = rank_intervals(fit)
    return {
        item: (int(low), int(high)) for item, low, high in zip(r.items, r.low, r.high, strict=True)
    }


def plain(value: Any) -> Any:
    """JSON values: mappings with text keys, lists, numbers rounded to ten digits, None for NaN."""
    if isinstance(value, Agreement):
        return plain(vars(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in cast("list[Any]", value)]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value
    number = float(value)
    if not np.isfinite(number):
        return None
    if number.is_integer() and abs(number) < 2**53:
        return int(number)
    return float(f"{number:.{DIGITS}g}")
