"""Do annotators agree: alpha, kappas and AC1, each with an interval or a reason why not.

Knows: ratings of units by raters. Does not know what the categories mean or who the raters are.

* Krippendorff's alpha: Krippendorff (2011), "Computing Krippendorff's alpha-reliability"; interval
  by the delete-one-unit jackknife with Student's t (units - 1).
* Cohen's kappa, plain and weighted: Cohen (1960, EPM 20:37-46); large-sample standard error of
  Fleiss, Cohen and Everitt (1969, Psych. Bull. 72:323-327); normal interval.
* Fleiss' kappa (1971, Psych. Bull. 76:378-382) and Gwet's AC1 (2008, BJMSP 61:29-48), both with
  Gwet's linearised standard error over units and Student's t (units - 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from preference.arguments import level as confidence
from preference.arguments import listed
from preference.counts import ranked
from preference.covariance import quantile
from preference.encoding import AnyArray, Floats, Ints
from preference.errors import InputError
from preference.untyped import pd

Level = Literal["nominal", "ordinal", "interval", "ratio"]
LEVELS: tuple[str, ...] = ("nominal", "ordinal", "interval", "ratio")
_CHUNK_VALUES = 1 << 20


@dataclass(frozen=True)
class Agreement:
    """A coefficient of agreement.

    Attributes:
        name: which coefficient.
        value: 1 is perfect, 0 is chance; NaN when undefined.
        se, ci_low, ci_high: NaN when undefined or when there is one unit only.
        observed, expected: share of agreement (for alpha: of disagreement) seen and by chance.
        units: how many units count; ratings: how many ratings they hold.
        explanation: why a number is missing, or None.
    """

    name: str
    value: float
    se: float
    ci_low: float
    ci_high: float
    observed: float
    expected: float
    units: int
    ratings: int
    explanation: str | None = None


def krippendorff_alpha(ratings: Any, level: str = "nominal", *, ci: float = 0.95) -> Agreement:
    """Krippendorff's alpha, 1 - observed / expected disagreement.

    Args:
        ratings: (annotators, units); NaN or None is missing. Numbers, or names when nominal.
        level: `nominal`, `ordinal` (values ordered by size), `interval` or `ratio`.
        ci: confidence level.

    Raises:
        InputError: unknown level, wrong shape, names at a level other than nominal.
    """
    ci = confidence(ci)
    if level not in LEVELS:
        raise InputError(f"level {level!r} is unknown: use nominal, ordinal, interval or ratio")
    counts, values = value_counts(ratings, by="column", numeric=level != "nominal")
    if level == "ratio" and values.min(initial=0.0) < 0:
        raise InputError(
            f"rating {values.min():g} at level ratio: it needs numbers of zero or more"
        )
    return alpha_of_counts(counts, values, level=level, ci=ci)


def patterns(counts: Floats) -> tuple[Floats, Floats]:
    """The different rows of (units, values) counts, and how many units have each.

    Units with equal counts are alike for every coefficient, and there are few kinds of them.
    """
    c = np.asarray(counts, dtype=np.float64)
    base = int(c.max(initial=0.0)) + 1
    if len(c) == 0 or base ** c.shape[1] >= 1 << 62 or (c != np.floor(c)).any():
        return c, np.ones(len(c))
    place = base ** np.arange(c.shape[1] - 1, -1, -1, dtype=np.int64)
    found, which = ranked((c @ place.astype(np.float64)).astype(np.int64))
    if base ** c.shape[1] > 1 << 53:
        found, which = ranked(c.astype(np.int64) @ place)
    rows = found[:, None] // place % base
    return rows.astype(np.float64), np.bincount(which, minlength=len(found)).astype(np.float64)


def alpha_of_counts(
    counts: Floats,
    values: Any = None,
    *,
    level: str = "nominal",
    ci: float = 0.95,
    times: Floats | None = None,
) -> Agreement:
    """Alpha from (units, values) counts of ratings; `values` are the numbers behind the columns.

    With `times` the rows are `patterns` and their numbers of units.
    """
    c, times = patterns(counts) if times is None else (counts, times)
    m = c.sum(axis=1)
    c, times, m = c[m >= 2], times[m >= 2], m[m >= 2]
    units = int(times.sum())
    if units == 0:
        return _undefined("krippendorff_alpha", "no unit has two ratings", 0, 0)
    numbers = np.arange(c.shape[1], dtype=np.float64) if values is None else values
    totals, size = times @ c, float(times @ m)
    if (totals > 0).sum() < 2:
        return _undefined(
            "krippendorff_alpha",
            "every rating is the same, so chance would agree too and nothing can be told",
            units,
            int(size),
        )
    delta = _distances(totals[None, :], numbers, level)[0]
    disagreement = np.einsum("uv,vw,uw->u", c, delta, c) / (m - 1)
    observed = float(times @ disagreement) / size
    expected = float(totals @ delta @ totals) / (size * (size - 1))
    value = 1 - observed / expected
    if units < 2:
        return _undefined(
            "krippendorff_alpha", "one unit only, so no interval", 1, int(size), value=value
        )
    others = _leave_one_out(c, times, m, totals, size, disagreement, numbers, level)
    middle = float(times @ others) / units
    se = float(np.sqrt((units - 1) / units * (times @ (others - middle) ** 2)))
    half = quantile(ci, units - 1) * se
    return Agreement(
        "krippendorff_alpha",
        value,
        se,
        max(value - half, -1.0),
        min(value + half, 1.0),
        observed,
        expected,
        units,
        int(size),
    )


def _leave_one_out(
    c: Floats,
    times: Floats,
    m: Floats,
    totals: Floats,
    size: float,
    disagreement: Floats,
    numbers: Floats,
    level: str,
) -> Floats:
    """(patterns,) alpha without one unit of each."""
    out = np.empty(len(c))
    step = max(1, _CHUNK_VALUES // c.shape[1] ** 2)
    total = float(times @ disagreement)
    fixed = level != "ordinal"
    delta = _distances(totals[None, :], numbers, level)
    for start in range(0, len(c), step):
        part = slice(start, start + step)
        left = totals - c[part]
        d = delta if fixed else _distances(left, numbers, level)
        seen = total - disagreement[part]
        if not fixed:  # distances depend on the totals: the other units' disagreement moves too
            pairs = (c * (times / (m - 1))[:, None]).T @ c
            own = np.einsum("uv,uw->uvw", c[part], c[part]) / (m[part] - 1)[:, None, None]
            seen = np.einsum("uvw,uvw->u", pairs[None] - own, d)
        chance = np.einsum(
            "uv,uvw,uw->u", left, np.broadcast_to(d, (len(left), *d.shape[1:])), left
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            alpha = 1 - (size - m[part] - 1) * seen / chance
        out[part] = np.where(chance > 0, alpha, 1.0)
    return out


def _distances(totals: Floats, values: Floats, level: str) -> Floats:
    """(n, v, v) squared distances between values; ordinal ones depend on the totals (n, v)."""
    v = totals.shape[1]
    if level == "nominal":
        return (1 - np.eye(v))[None]
    if level == "interval":
        return ((values[:, None] - values[None, :]) ** 2)[None]
    if level == "ratio":
        total = values[:, None] + values[None, :]
        gap = values[:, None] - values[None, :]
        return (np.divide(gap, total, out=np.zeros((v, v)), where=total != 0) ** 2)[None]
    below = np.cumsum(totals, axis=1)
    middle = below - totals / 2  # distance in ranks between the middles of two tied blocks
    return (middle[:, :, None] - middle[:, None, :]) ** 2


def cohen_kappa(a: Any, b: Any, weights: Any = None, *, ci: float = 0.95) -> Agreement:
    """Cohen's kappa of two raters.

    Args:
        a: n ratings of the first rater (names or numbers); units where either is missing are left
            out.
        b: n ratings of the second rater.
        weights: None; `linear` (Cicchetti-Allison) or `quadratic` on numeric categories, or on
            their sorted order when they are names; or a (categories, categories) matrix of
            agreement weights with ones on its diagonal.
        ci: confidence level.

    Raises:
        InputError: unequal lengths, unknown weights.
    """
    ci = confidence(ci)
    first, second = _column(a, "a"), _column(b, "b")
    if len(first) != len(second):
        raise InputError(f"a has {len(first)} ratings where b has {len(second)}")
    codes, categories = _coded(np.concatenate([first, second]))
    code_a, code_b = codes[: len(first)], codes[len(first) :]
    keep = (code_a >= 0) & (code_b >= 0)
    q, n = len(categories), int(keep.sum())
    if n == 0:
        return _undefined("cohen_kappa", "no unit was rated by both", 0, 0)
    p = np.bincount(code_a[keep] * q + code_b[keep], minlength=q * q).reshape(q, q) / n
    w = _agreement_weights(weights, list(categories))
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, expected = float((w * p).sum()), float(rows @ w @ columns)
    if 1 - expected < 1e-12:
        return _undefined(
            "cohen_kappa", "both raters gave one and the same category throughout", n, 2 * n
        )
    value = (observed - expected) / (1 - expected)
    by_row, by_column = w @ columns, rows @ w
    inner = w - (by_row[:, None] + by_column[None, :]) * (1 - value)
    variance = float((p * inner**2).sum()) - (value - expected * (1 - value)) ** 2
    se = float(np.sqrt(max(variance, 0.0) / n)) / (1 - expected)
    half = quantile(ci) * se
    return Agreement(
        "cohen_kappa",
        value,
        se,
        max(value - half, -1.0),
        min(value + half, 1.0),
        observed,
        expected,
        n,
        2 * n,
    )


def _agreement_weights(weights: Any, categories: list[Any]) -> Floats:
    q = len(categories)
    if weights is None:
        return np.eye(q)
    if isinstance(weights, str):
        if weights not in ("linear", "quadratic"):
            raise InputError(f"weights {weights!r} is unknown: use linear, quadratic or a matrix")
        numeric = all(isinstance(c, (int, float, np.number)) for c in categories)
        x = np.array(categories if numeric else range(q), dtype=np.float64)
        if not np.isfinite(x).all():
            raise InputError("a rating is infinite: weights need finite numbers")
        gap = np.abs(x[:, None] - x[None, :]) / max(float(np.ptp(x)), 1e-300)
        return 1 - gap if weights == "linear" else 1 - gap**2
    try:
        matrix = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("weights must be linear, quadratic or a matrix of numbers") from None
    if matrix.shape != (q, q):
        raise InputError(f"weights have shape {matrix.shape} for {q} categories: ({q}, {q}) needed")
    if not np.isfinite(matrix).all() or (np.diag(matrix) != 1).any() or matrix.max() > 1:
        raise InputError("weights need ones on the diagonal and finite numbers of at most 1 beside")
    return matrix


def fleiss_kappa(ratings: Any, *, ci: float = 0.95) -> Agreement:
    """Fleiss' kappa from (units, raters) ratings; NaN or None is missing."""
    return fleiss_of_counts(value_counts(ratings, by="row")[0], ci=confidence(ci))


def fleiss_of_counts(counts: Floats, *, ci: float = 0.95, times: Floats | None = None) -> Agreement:
    """Fleiss' kappa from (units, categories) counts of ratings."""
    return _chance_corrected("fleiss_kappa", counts, ci, times)


def gwet_ac1(ratings: Any, *, ci: float = 0.95) -> Agreement:
    """Gwet's AC1 from (units, raters) ratings; steady where one category dominates."""
    return ac1_of_counts(value_counts(ratings, by="row")[0], ci=confidence(ci))


def ac1_of_counts(counts: Floats, *, ci: float = 0.95, times: Floats | None = None) -> Agreement:
    """Gwet's AC1 from (units, categories) counts of ratings."""
    return _chance_corrected("gwet_ac1", counts, ci, times)


def _chance_corrected(name: str, counts: Floats, ci: float, times: Floats | None) -> Agreement:
    c, times = patterns(counts) if times is None else (counts, times)
    kept = c.sum(axis=1) > 0
    c, times = c[kept], times[kept]
    r = c.sum(axis=1)
    n, several = int(times.sum()), int(times[r >= 2].sum())
    ratings, q = int(times @ r), int((c.sum(axis=0) > 0).sum())
    if several == 0:
        return _undefined(name, "no unit has two ratings", 0, 0)
    share = c / r[:, None]
    pi = times @ share / n
    pairs = np.where(r >= 2, r * (r - 1), 1.0)
    own = (c * (c - 1)).sum(axis=1) / pairs
    observed = float((times * own)[r >= 2].sum()) / several
    if name == "fleiss_kappa":
        expected = float((pi**2).sum())
        own_expected = share @ pi
    else:
        expected = 0.0 if q < 2 else float((pi * (1 - pi)).sum()) / (q - 1)
        own_expected = np.zeros(len(c)) if q < 2 else share @ (1 - pi) / (q - 1)
    if 1 - expected < 1e-12:
        return _undefined(
            name, "every rating is the same, so chance would agree too", several, ratings
        )
    value = (observed - expected) / (1 - expected)
    if several < 2:
        return _undefined(name, "one unit only, so no interval", several, ratings, value=value)
    score = n / several * np.where(r >= 2, own - expected, 0.0) / (1 - expected)
    score = score - 2 * (1 - value) * (own_expected - expected) / (1 - expected)
    se = float(np.sqrt(times @ (score - value) ** 2 / (n * (n - 1))))
    half = quantile(ci, n - 1) * se
    return Agreement(
        name,
        value,
        se,
        max(value - half, -1.0),
        min(value + half, 1.0),
        observed,
        expected,
        several,
        ratings,
    )


def value_counts(ratings: Any, *, by: str, numeric: bool = False) -> tuple[Floats, Floats]:
    """(units, values) counts of a table of ratings, and the values as numbers.

    `by` is `column` where columns are units, `row` where rows are.
    """
    try:
        table: AnyArray = np.asarray(ratings)
    except ValueError:
        raise InputError("ratings must be a table: every row needs the same length") from None
    if table.dtype.kind == "U":  # a nested list with NaN or None among names became text
        table = np.array(ratings, dtype=object)
    if table.ndim != 2:
        raise InputError(f"ratings must have two dimensions, not shape {table.shape}")
    table = table.T if by == "column" else table
    units = table.shape[0]
    codes, values = _coded(_as_numbers(table.ravel()) if numeric else table.ravel())
    unit: Ints = np.repeat(np.arange(units, dtype=np.int64), table.shape[1])
    v = max(len(values), 1)
    keep = codes >= 0
    counts = np.bincount(unit[keep] * v + codes[keep], minlength=units * v).reshape(units, v)
    numbers = np.arange(v, dtype=np.float64)
    if numeric:
        numbers = np.asarray(values, dtype=np.float64)
        if not np.isfinite(numbers).all():
            raise InputError("a rating is infinite: give a number, or NaN where it is missing")
    return counts.astype(np.float64), numbers


def _as_numbers(ratings: AnyArray) -> Floats:
    """Ratings as numbers, so that 10 comes after 9 also where they were read as text."""
    try:
        return np.asarray(np.where(pd.isna(ratings), np.nan, ratings), dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("ratings that are names have level nominal only") from None


def _coded(ratings: AnyArray) -> tuple[Ints, AnyArray]:
    """Codes in the sorted order of the distinct ratings, -1 where missing, and those ratings."""
    try:
        codes, values = pd.factorize(ratings, sort=True)
    except TypeError:
        raise InputError("ratings must be names or numbers, not lists or dictionaries") from None
    return np.asarray(codes, dtype=np.int64), values


def _column(values: Any, name: str) -> AnyArray:
    array = np.array(listed(values, name), dtype=object)
    if array.ndim != 1:
        raise InputError(f"{name} must have one dimension, not shape {array.shape}")
    return array


def _undefined(
    name: str, why: str, units: int, ratings: int, value: float = float("nan")
) -> Agreement:
    nan = float("nan")
    return Agreement(name, value, nan, nan, nan, nan, nan, units, ratings, why)
