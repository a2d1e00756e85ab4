"""Annotators as the analyst sees them: whom to trust, who leans to a place, who is quick.

Knows which of preference's functions answers which question. Knows no SQL, no chart, no Streamlit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotate_app.frames import Frame, pd
from db import judgments
from db.blocks import NO_DWELL, Packed
from db.judgments import Tables
from preference import PreferenceError
from preference.agreement import Agreement
from preference.annotators import CrowdFit, annotator_table, fit_crowd
from preference.encoding import encode
from preference.overlap import unit_agreement
from preference.report_input import Columns

COIN = 0.5
"""The reliability of somebody who tosses a coin."""


@dataclass(frozen=True)
class People:
    """What is known of everybody who judged.

    Attributes:
        table: a row an annotator, the least reliable first: annotator, kind, n, ties, both_bad
            (shares), reliability, agreement, first_place and gold, each with its interval's ends
            (``_low``, ``_high``) and count (``agreement_n``, ``gold_n``, ``decided``), seconds
            (median of a judgment), standing (``follows``, ``unclear``, ``against``). NaN where the
            data cannot say.
        alpha: Krippendorff's alpha of all, or None.
        alpha_why: why there is none, or empty.
        automatic: agreement of automatic judges with people on the same comparisons, or None.
        refusal: why there are no reliabilities, or empty.
    """

    table: Frame
    alpha: Agreement | None
    alpha_why: str
    automatic: Agreement | None
    refusal: str


def people_of(packed: Packed, known: Tables, gold: Mapping[int, str]) -> People:
    """Everybody behind some standing judgments.

    Args:
        packed: the judgments, at least one.
        known: the tables they point into.
        gold: right verdicts (canonical order) of the gold comparisons among them, by id.
    """
    columns = judgments.columns_of(packed, known)
    ranked = packed.where(packed.adapter_a != packed.adapter_b)
    table = _table(packed, columns, known, gold)
    refusal = "" if ranked.n else "no two adapters have been compared yet"
    for name in ("reliability", "reliability_low", "reliability_high"):
        table[name] = float("nan")
    fit = None
    try:
        fit = _crowd(ranked, known) if ranked.n else None
    except PreferenceError as error:
        refusal = str(error)
    if fit is not None:
        found = pd.DataFrame(
            {
                "annotator": fit.annotators,
                "reliability": fit.reliability,
                "reliability_low": fit.ci_low,
                "reliability_high": fit.ci_high,
            }
        ).set_index("annotator")[lambda frame: np.asarray(fit.n) > 0]
        for name in found.columns:
            table[name] = table["annotator"].map(found[name])
    table["standing"] = [
        _standing(low, high)
        for low, high in zip(table["reliability_low"], table["reliability_high"], strict=True)
    ]
    table = table.sort_values(["reliability", "annotator"], na_position="last")
    coded = encode(*_items(packed), columns.verdict)
    agreement = unit_agreement(coded, columns, ci=0.95)
    alpha = agreement.get("krippendorff_alpha")
    known_alpha = alpha if alpha is not None and np.isfinite(alpha.value) else None
    why = "" if known_alpha else (alpha.explanation if alpha else agreement.get("explanation"))
    return People(
        table.reset_index(drop=True), known_alpha, why or "", agreement.get("automatic"), refusal
    )


def _table(packed: Packed, columns: Columns, known: Tables, gold: Mapping[int, str]) -> Frame:
    seconds = np.where(packed.dwell_ms == NO_DWELL, np.nan, packed.dwell_ms / 1000)
    answers: Any = None
    if gold:
        ids, codes = judgments.ranked_ids(packed.comparison)
        of_id = np.array([gold.get(int(each)) for each in ids], dtype=object)
        answers = of_id[codes]
    told = annotator_table(
        *_items(packed),
        columns.verdict,
        columns.annotator,
        placement=columns.placement,
        unit=columns.comparison,
        gold=answers,
        seconds=seconds,
    )
    who = np.asarray(columns.annotator.codes)
    decided = (columns.verdict < 2) & (np.asarray(columns.placement) != 0)
    kinds = {known.annotators[each]: kind for each, kind in known.kinds.items()}
    return pd.DataFrame(
        {
            "annotator": list(told.annotators),
            "kind": [kinds.get(name, "human") for name in told.annotators],
            "n": told.n,
            "ties": told.ties,
            "both_bad": told.both_bad,
            "agreement": told.agreement,
            "agreement_low": told.agreement_low,
            "agreement_high": told.agreement_high,
            "agreement_n": told.agreement_n,
            "first_place": told.first_place,
            "first_place_low": told.first_place_low,
            "first_place_high": told.first_place_high,
            "decided": np.bincount(who[decided], minlength=len(told.n)),
            "gold": told.gold,
            "gold_low": told.gold_low,
            "gold_high": told.gold_high,
            "gold_n": told.gold_n,
            "seconds": told.seconds,
        }
    )


def _items(packed: Packed) -> tuple[Any, Any]:
    """The items by number; two responses of one adapter are told apart, so that they count too."""
    first, second = packed.adapter_a.astype(np.int64), packed.adapter_b.astype(np.int64)
    return first, np.where(first == second, second + len(packed.adapters), second)


def _crowd(packed: Packed, known: Tables) -> CrowdFit:
    columns = judgments.columns_of(packed, known)
    return fit_crowd(columns.item_a, columns.item_b, columns.verdict, columns.annotator, apart=True)


def _standing(low: float, high: float) -> str:
    if not np.isfinite(low):
        return ""
    return "follows" if low > COIN else "against" if high < COIN else "unclear"
