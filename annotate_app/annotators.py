"""Annotators as the analyst sees them: whom to trust, who leans to a place, who is quick.

Knows which of preference's functions answers which question. Knows no SQL, no chart, no Streamlit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotate_app.frames import Frame, pd
from db import judgments
from db.blocks import NO_DWELL, Packed
from db.judgments import Tables
from db.repeat_answers import Twice
from preference import PreferenceError
from preference.agreement import Agreement
from preference.annotators import CrowdFit, annotator_table, fit_crowd
from preference.consistency import self_consistency
from preference.covariance import quantile
from preference.encoding import encode
from preference.overlap import unit_agreement
from preference.report_input import Columns
from preference.win_rate import wilson

COIN = 0.5
"""The reliability of somebody who tosses a coin."""


@dataclass(frozen=True)
class People:
    """What is known of everybody who judged.

    Attributes:
        table: a row an annotator, the least reliable first: annotator, kind, n, ties, both_bad
            (shares), reliability, agreement, first_place, gold and again (the same answer to a
            mirrored repeat), each with its interval's ends (``_low``, ``_high``) and count
            (``agreement_n``, ``gold_n``, ``again_n``, ``decided``), seconds
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


def people_of(
    packed: Packed,
    known: Tables,
    gold: Mapping[int, tuple[int, int]],
    twice: Sequence[Twice] = (),
) -> People:
    """Everybody behind some standing judgments.

    Args:
        packed: the judgments, at least one.
        known: the tables they point into.
        gold: right first answers and first answers to gold, by annotator (``db.gold.scores``);
            pairs of gold batches are not among the judgments and count here all the same.
        twice: answers given twice, whoever gave them.
    """
    columns = judgments.columns_of(packed, known)
    ranked = packed.where(packed.adapter_a != packed.adapter_b)
    table = _table(packed, columns, known)
    _tell_care(table, known, gold, twice)
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


def _tell_care(
    table: Frame,
    known: Tables,
    gold: Mapping[int, tuple[int, int]],
    twice: Sequence[Twice],
) -> None:
    """Columns of gold and of the same answer given twice, from what is no common judgment."""
    scores = {
        known.annotators[who]: score for who, score in gold.items() if who in known.annotators
    }
    of_each: dict[str, list[Twice]] = {}
    for each in twice:
        of_each.setdefault(known.annotators.get(each.annotator_id, ""), []).append(each)
    right, of = zip(*(scores.get(name, (0, 0)) for name in table["annotator"]), strict=True)
    told = [
        self_consistency(
            [each.first.value for each in of_each.get(name, ())],
            [each.again.value for each in of_each.get(name, ())],
        )
        for name in table["annotator"]
    ]
    counts = {
        "gold": (np.array(right), np.array(of)),
        "again": (np.array([each.same for each in told]), np.array([each.n for each in told])),
    }
    for name, (good, n) in counts.items():
        share = np.divide(good, n, out=np.full(len(n), np.nan), where=n > 0)
        low, high = wilson(share, n, quantile(0.95))
        table[name], table[f"{name}_low"], table[f"{name}_high"] = share, low, high
        table[f"{name}_n"] = n


def _table(packed: Packed, columns: Columns, known: Tables) -> Frame:
    seconds = np.where(packed.dwell_ms == NO_DWELL, np.nan, packed.dwell_ms / 1000)
    told = annotator_table(
        *_items(packed),
        columns.verdict,
        columns.annotator,
        placement=columns.placement,
        unit=columns.comparison,
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
