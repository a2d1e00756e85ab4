"""Columns that a report can use for more: when a judgment was made, how long the answers were.

Knows: their names and how to read them. Does not know statistics. What cannot be read is no error,
because a report without it is as good as before: the reason is kept, with the first bad value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from preference.encoding import Floats
from preference.untyped import pd

TIMES = ("created_at", "time")
LENGTHS = (("length_a", "length_b"), ("text_a", "text_b"), ("response_a", "response_b"))
EXTRA = (*TIMES, *(name for pair in LENGTHS for name in pair))


def read_times(frame: Any) -> tuple[Floats | None, str]:
    """Seconds since 1970 (or the numbers given), NaN where unknown; or None and why not."""
    name = next((c for c in TIMES if c in frame.columns), None)
    if name is None:
        return None, "no column created_at"
    column = frame[name]
    if column.dtype.kind == "M":
        return _seconds(pd.to_datetime(column, utc=True)), ""
    named = isinstance(column.dtype, pd.CategoricalDtype)
    values = pd.Series(column.cat.categories) if named else column
    try:
        table = pd.to_numeric(values, errors="raise").to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        table = _dates(values)
        unknown = np.flatnonzero(np.isnan(table))
        texts = ["" if pd.isna(v) else str(v).strip() for v in values.iloc[unknown]]
        table[unknown] = _dates(pd.Series(texts, dtype=object))
        bad = [t for t, at in zip(texts, table[unknown], strict=True) if t and np.isnan(at)]
        if bad:
            return None, f"{name} {bad[0]!r} is no time (use 2026-01-31T12:00:00Z, or a number)"
    table = np.where(np.isfinite(table), table, np.nan)
    if not named:
        return table, ""
    codes = np.asarray(column.cat.codes)
    return np.where(codes < 0, np.nan, np.append(table, np.nan)[codes]), ""


def _dates(values: Any) -> Floats:
    return _seconds(pd.Series(pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")))


def _seconds(column: Any) -> Floats:
    values = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    seconds = values.astype(np.int64) / 1e6
    return np.where(np.isnat(values), np.nan, seconds)


def read_lengths(frame: Any, texts: Any) -> tuple[Floats | None, Floats | None, str]:
    """Lengths of both answers, NaN where unknown, and their unit; or None, None and why not."""
    for a, b in LENGTHS:
        if not {a, b} <= set(frame.columns):
            continue
        if a == "length_a":
            sides = [_numbers(frame[c], texts) for c in (a, b)]
            for name, (_, bad) in zip((a, b), sides, strict=True):
                if bad is not None:
                    return None, None, f"{name} {bad!r} is no length (use a number, zero or more)"
            return sides[0][0], sides[1][0], "units of length_a and length_b"
        return _letters(frame[a], texts), _letters(frame[b], texts), "characters"
    return None, None, "no lengths or texts of both sides"


def _numbers(column: Any, texts: Any) -> tuple[Floats, str | None]:
    codes, names = texts(column)
    table = np.full(len(names), np.nan)
    for i, name in enumerate(names):
        if name in ("", "nan", "None", "<NA>"):
            continue
        try:
            table[i] = float(name)
        except ValueError:
            return table, name
        if not 0 <= table[i] < np.inf:
            return table, name
    return table[codes], None


def _letters(column: Any, texts: Any) -> Floats:
    codes, names = texts(column)
    return np.array([float(len(n)) if n else np.nan for n in names])[codes]
