"""Agreement of annotators who judged the same comparison.

Knows: how to gather judgments of one pair (and prompt) into units. Does not know who is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from preference.agreement import (
    Agreement,
    ac1_of_counts,
    alpha_of_counts,
    cohen_kappa,
    fleiss_of_counts,
    patterns,
)
from preference.counts import chunks, exact_bincount, ranked
from preference.encoding import Floats, Ints, Judgments
from preference.report_input import Columns
from preference.tallies import same_key


def unit_codes(j: Judgments, columns: Columns) -> Ints:
    """Code of each judgment's unit: its comparison, or its unordered pair, prompt and persona."""
    return ranked(_unit_keys(j, columns))[1]


def _unit_keys(j: Judgments, columns: Columns) -> Ints:
    """(n,) a number for each unit, not yet consecutive."""
    raw = len(j.labels)
    key = np.minimum(j.a, j.b).astype(np.int64)
    key *= raw
    key += np.maximum(j.a, j.b)
    top = raw * raw
    told: Sequence[Any] = (columns.prompt, columns.persona)
    for labels in told if columns.comparison is None else (columns.comparison,):
        if labels is not None:
            if top * len(labels.categories) >= 1 << 62:
                key = ranked(key)[1]
                top = int(key.max(initial=0)) + 1
            top *= len(labels.categories)
            key *= len(labels.categories)
            key += np.asarray(labels.codes)
    return key


def oriented(j: Judgments) -> Ints:
    """Verdicts as if the item that sorts first were always side a: 0, 1, 2 tie, 3 both_bad."""
    verdict = j.verdict.astype(np.int64)
    return np.where((j.a > j.b) & (verdict < 2), 1 - verdict, verdict)


def unit_counts(j: Judgments, columns: Columns) -> tuple[Floats, int]:
    """(units, 4) counts of verdicts, and judgments by someone of a unit that he had judged already.

    Weights do not count here. One sort of unit, annotator and verdict in a single integer.
    """
    who = np.asarray(columns.annotator.codes)
    bits = int(max(len(columns.annotator.categories) - 1, 1)).bit_length() + 2
    key = _unit_keys(j, columns)
    if int(key.max(initial=0)).bit_length() + bits > 62:
        key = ranked(key)[1]
    swap = j.a > j.b
    for part in chunks(j.n):
        verdict = j.verdict[part]
        own = key[part]
        own <<= bits - 2
        own |= who[part]
        own <<= 2
        own |= np.where(swap[part] & (verdict < 2), 1 - verdict, verdict)
    key.sort()
    again = int(same_key(key, 2).sum())
    starts = ~same_key(key, bits)
    key &= 3
    key[1:] += 4 * np.cumsum(starts[:-1])
    top = int(starts.sum())
    return np.bincount(key, minlength=top * 4).reshape(top, 4).astype(np.float64), again


def unit_agreement(j: Judgments, columns: Columns, ci: float) -> dict[str, Any]:
    """Alpha, Fleiss' kappa and AC1 over comparisons judged more than once, or why there is none.

    Where human and automatic annotators judged the same comparisons, `automatic` says how far the
    automatic ones agree with people: Cohen's kappa over (automatic, human) pairs of judgments.
    """
    if columns.annotator is None:
        return {
            "krippendorff_alpha": None,
            "explanation": "no annotator column, so nobody can agree with anybody",
        }
    counts, repeats = unit_counts(j, columns)
    kinds_of_unit, times = patterns(counts)
    several = int(times[kinds_of_unit.sum(axis=1) >= 2].sum())
    if several == 0:
        return {
            "krippendorff_alpha": None,
            "explanation": "no comparison was judged twice: raise the overlap to measure agreement",
        }
    out: dict[str, Any] = {
        "krippendorff_alpha": alpha_of_counts(kinds_of_unit, ci=ci, times=times),
        "fleiss_kappa": fleiss_of_counts(kinds_of_unit, ci=ci, times=times),
        "gwet_ac1": ac1_of_counts(kinds_of_unit, ci=ci, times=times),
        "comparisons_judged_more_than_once": several,
        "comparisons": len(counts),
    }
    if repeats:
        out["repeated_by_one_annotator"] = repeats
    kinds = columns.annotator_kind
    if kinds is not None:
        names = [str(c) for c in kinds.categories]
        codes = np.asarray(kinds.codes)
        if "human" in names and "automatic" in names:
            out["automatic"] = automatic_agreement(
                j, columns, codes == names.index("human"), codes == names.index("automatic"), ci
            )
    return out


def automatic_agreement(
    j: Judgments, columns: Columns, human: Any, automatic: Any, ci: float
) -> Agreement:
    """Cohen's kappa between automatic judgments and human ones of the same comparison.

    Every (automatic, human) pair of judgments within a unit counts once; the interval is over units
    by the delete-one jackknife, because pairs within a unit share judgments.
    """
    units, verdict = unit_codes(j, columns), oriented(j)
    top = int(units.max(initial=-1)) + 1

    def table(rows: Any) -> Floats:
        flat = exact_bincount(units[rows] * 4 + verdict[rows], np.ones(int(rows.sum())), top * 4)
        return flat.reshape(top, 4)

    auto, people = table(automatic), table(human)
    both = (auto.sum(axis=1) > 0) & (people.sum(axis=1) > 0)
    auto, people = auto[both], people[both]
    joint = np.einsum("ua,uh->uah", auto, people)
    if len(joint) == 0:
        return cohen_kappa([], [])
    total = joint.sum(axis=0)
    value, observed, expected = _kappa(total[None])
    others, _, _ = _kappa(total[None] - joint)
    n = len(joint)
    se = float("nan")
    others = others[np.isfinite(others)]
    if n > 1:
        se = float(np.sqrt((n - 1) / n * ((others - others.mean()) ** 2).sum()))
    from preference.covariance import quantile

    half = quantile(ci, max(n - 1, 1)) * se
    return Agreement(
        "cohen_kappa_with_people",
        float(value[0]),
        se,
        float(value[0]) - half,
        min(float(value[0]) + half, 1.0),
        float(observed[0]),
        float(expected[0]),
        n,
        int(total.sum()),
        None if np.isfinite(value[0]) else "both gave one and the same verdict throughout",
    )


def _kappa(tables: Floats) -> tuple[Floats, Floats, Floats]:
    with np.errstate(divide="ignore", invalid="ignore"):
        p = tables / tables.sum(axis=(1, 2))[:, None, None]
        observed = np.einsum("naa->n", p)
        expected = np.einsum("na,na->n", p.sum(axis=2), p.sum(axis=1))
        value = np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)
    return value, observed, expected
