"""Two adapters head to head: plain win rate, one that may be looked at daily, one at equal length.

Knows which of preference's functions answers which question. Knows no SQL, no chart, no Streamlit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from annotate_app import findings
from annotate_app.frames import Frame, pd
from annotate_app.results import clusters_of
from db import judgments
from db.blocks import Packed
from db.judgments import Tables
from preference import PreferenceError
from preference.length_control import length_controlled_win_rate
from preference.report_input import Columns
from preference.sequential import win_rate_sequence
from preference.win_rate import win_rates

COLUMNS = ["label", "value", "ci_low", "ci_high", "n", "said", "why"]
_SWAPPED = np.array([1, 0, 2, 3], dtype=np.uint8)


@dataclass(frozen=True)
class HeadToHead:
    """What is known of one adapter against another.

    Attributes:
        rates: a row a way of asking; columns ``COLUMNS``; NaN where ``why`` says it has no answer.
        n: judgments that prefer or tie.
        both_bad: judgments that found neither good.
        notes: what a reader must know.
    """

    rates: Frame
    n: int
    both_bad: int
    notes: tuple[str, ...]

    def finding(self, one: str, other: str) -> str:
        """The result in one sentence."""
        if not self.n:
            return findings.versus(one, other, "", None, 0)
        row = self.rates.iloc[0]
        rate = (row["value"], row["ci_low"], row["ci_high"])
        return findings.versus(one, other, "", rate, self.n)


def head_to_head(packed: Packed, known: Tables, one: str, other: str) -> HeadToHead:
    """All that some standing judgments say of one adapter against another."""
    columns, lengths = _oriented(packed, known, one, other)
    bad = int((columns.verdict == 3).sum())
    n = columns.n - bad
    notes = [f"{bad:,} more judgments found both bad."] if bad else []
    rows = []
    if n:
        clusters = clusters_of(columns)
        rows = [
            _plain(columns, clusters),
            _anytime(columns, clusters),
            _equal_length(columns, lengths, clusters),
        ]
        if "annotator" not in clusters:
            people = len(columns.annotator.categories)
            notes.append(f"Judged by {people}: the intervals are about these, not people at large.")
    return HeadToHead(pd.DataFrame(rows, columns=COLUMNS), n, bad, tuple(notes))


def _oriented(
    packed: Packed, known: Tables, one: str, other: str
) -> tuple[Columns, tuple[Any, Any]]:
    """The pair's judgments with ``one`` as side a, and the lengths of its and the other's texts."""
    if one not in packed.adapters or other not in packed.adapters:
        packed = packed.where(np.zeros(packed.n, dtype=np.bool_))
        return judgments.columns_of(packed, known), (packed.length_a, packed.length_b)
    first, second = packed.adapters.index(one), packed.adapters.index(other)
    same_way = (packed.adapter_a == first) & (packed.adapter_b == second)
    packed = packed.where(same_way | ((packed.adapter_a == second) & (packed.adapter_b == first)))
    turned = packed.adapter_a == second
    columns = judgments.columns_of(packed, known)
    lengths = (
        np.where(turned, packed.length_b, packed.length_a),
        np.where(turned, packed.length_a, packed.length_b),
    )
    verdict = np.where(turned, _SWAPPED[columns.verdict], columns.verdict)
    item_a = np.full(packed.n, one, dtype=object)
    item_b = np.full(packed.n, other, dtype=object)
    return (
        Columns(
            item_a,
            item_b,
            verdict,
            annotator=columns.annotator,
            prompt=columns.prompt,
            weight=columns.weight,
        ),
        lengths,
    )


def _plain(columns: Columns, clusters: dict[str, Any]) -> list[Any]:
    rates = win_rates(
        columns.item_a,
        columns.item_b,
        columns.verdict,
        weight=columns.weight,
        cluster=list(clusters.values()) or None,
    )
    found = rates.pair(columns.item_a[0], columns.item_b[0])
    by = " and ".join(f"{name}s" for name in clusters)
    why = f"Interval over {by}" if by else "Every judgment is taken as independent"
    return _row("All judgments", found.value, found.ci_low, found.ci_high, columns, why)


def _anytime(columns: Columns, clusters: dict[str, Any]) -> list[Any]:
    label = "Looked at any time"
    cluster = columns.annotator if "annotator" in clusters else None
    found = win_rate_sequence(columns.verdict, cluster=cluster)
    if found.explanation:
        return _row(label, np.nan, np.nan, np.nan, columns, findings.sentence(found.explanation))
    why = "Holds at every look: stopping when it leaves 50 % is allowed"
    return _row(label, found.value, found.ci_low, found.ci_high, columns, why)


def _equal_length(
    columns: Columns, lengths: tuple[Any, Any], clusters: dict[str, Any]
) -> list[Any]:
    label = "At equal length"
    told = (lengths[0] > 0) & (lengths[1] > 0)
    if not told.any():
        return _row(label, np.nan, np.nan, np.nan, columns, "The texts are not known")
    who = clusters.get("annotator")
    try:
        found = length_controlled_win_rate(
            columns.verdict[told],
            *(length[told] for length in lengths),
            cluster=None if who is None else who[told],
        )
    except PreferenceError as error:
        return _row(label, np.nan, np.nan, np.nan, columns, findings.sentence(str(error)))
    effect = found.effect
    if effect.ci_low > 0:
        why = "The longer text is preferred; this takes that away"
    elif effect.ci_high < 0:
        why = "The shorter text is preferred; this takes that away"
    else:
        why = "Length has no clear pull here"
    at = found.controlled
    return _row(label, at.value, at.ci_low, at.ci_high, columns, why)


def _row(
    label: str, value: float, low: float, high: float, columns: Columns, why: str
) -> list[Any]:
    n = int((columns.verdict != 3).sum())
    return [label, value, low, high, n, findings.estimate(value, low, high), why]
