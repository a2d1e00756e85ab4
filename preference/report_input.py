"""Anyone's judgments from a CSV file, or a frame, to checked columns.

Knows: the column names of DESIGN.md section 4 and how to say, with line and field, what is wrong.
Does not know statistics.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from preference.encoding import Floats
from preference.errors import ReportError
from preference.report_optional import EXTRA, read_lengths, read_times
from preference.untyped import pd

REQUIRED = ("item_a", "item_b", "verdict")
LABELS = ("annotator", "prompt", "persona", "comparison", "annotator_kind", "round")
OPTIONAL = (*LABELS, "placement", "weight", "strength", "created_at")
LEAST_WEIGHT, MOST_WEIGHT = 1e-9, 1e9
_VERDICTS = {"a": 0, "b": 1, "tie": 2, "both_bad": 3}
_PLACES = {
    **dict.fromkeys(("1", "+1", "1.0", "+1.0", "a", "left"), 1),
    **dict.fromkeys(("-1", "-1.0", "b", "right"), -1),
    **dict.fromkeys(("0", "0.0", "", "none"), 0),
}


@dataclass(frozen=True, eq=False)
class Columns:
    """Checked columns of n judgments; an optional one is None where it is absent.

    Attributes:
        item_a, item_b: pandas categoricals, or integer arrays.
        verdict: uint8 codes 0 a, 1 b, 2 tie, 3 both_bad.
        annotator, prompt, persona, comparison, annotator_kind, round: categoricals.
        placement: int8, +1 where a had the first (left) place.
        weight: numbers >= 0.
        strength: 1 (better) or 2 (much better); 1 for ties and both_bad.
        when: seconds since 1970, NaN where unknown; no_time: why there are none.
        length_a, length_b: of the answers, NaN where unknown; length_unit: of what, or why not.
        source: where they come from, for the report's settings.
        dropped: judgments left out before (an item against itself, a weight of zero).
    """

    item_a: Any
    item_b: Any
    verdict: NDArray[np.uint8]
    annotator: Any = None
    prompt: Any = None
    persona: Any = None
    comparison: Any = None
    annotator_kind: Any = None
    round: Any = None
    placement: NDArray[np.int8] | None = None
    weight: Floats | None = None
    strength: Floats | None = None
    when: Floats | None = None
    length_a: Floats | None = None
    length_b: Floats | None = None
    no_time: str = ""
    length_unit: str = ""
    source: str = ""
    dropped: int = 0

    @property
    def n(self) -> int:
        """Number of judgments."""
        return len(self.verdict)

    def where(self, mask: Any) -> Columns:
        """The judgments for which a boolean mask is true."""
        rows = np.flatnonzero(mask)
        kept = {
            f.name: value[rows]
            for f in fields(self)
            if hasattr(value := getattr(self, f.name), "__len__") and not isinstance(value, str)
        }
        return replace(self, **kept)


def read_csv(path: str | Path) -> Columns:
    """Read judgments from a CSV file (UTF-8, comma, header; `.gz` too).

    Columns `item_a,item_b,verdict` and optionally `annotator,prompt,persona,placement,weight`,
    `created_at` (or `time`) and `length_a,length_b`; other columns are ignored. Where the file has
    the texts that were compared (`text_a,text_b`), their lengths are used, and judgments of an item
    against itself (two candidates of one adapter) are taken, and a report leaves them out and
    counts them.

    Raises:
        ReportError: naming file, line, field and remedy.
    """
    path = Path(path)
    if not path.exists():
        raise ReportError(f"{path}: no such file")
    if not path.is_file():
        raise ReportError(f"{path}: not a regular file: save the judgments to one first")
    header, width = _header(path)
    _check_header(path, header)
    if width != len(header):
        raise ReportError(f"{path}: {_ragged(path, len(header))}: give every row the same fields")
    names = [c.strip() for c in header]
    try:
        frame = pd.read_csv(
            path,
            header=None,  # read as a row, its words keep 007 and 1.10 from becoming numbers
            dtype="category",
            low_memory=False,
            keep_default_na=False,
            na_filter=False,
            skip_blank_lines=True,
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError as error:
        raise ReportError(f"{path}: not UTF-8 ({error.reason}): save it as UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ReportError(f"{path}: cannot be read as CSV: {error}") from None
    except pd.errors.ParserError as error:
        raise ReportError(f"{path}: {_ragged(path, len(header)) or error}") from None
    if "" in frame.iloc[:, -1].cat.categories:  # a row that is too short ends so too
        ragged = _ragged(path, len(header))
        if ragged:
            raise ReportError(f"{path}: {ragged}: give every row the same fields")
    used = [i for i, c in enumerate(names) if c in (*REQUIRED, *OPTIONAL, *EXTRA)]
    used = [i for i in used if names.index(names[i]) == i]
    frame = frame.iloc[1:, used]
    frame.columns = [names[i] for i in used]
    for c in list(frame):
        frame[c] = frame[c].cat.remove_unused_categories()
    if len(frame) == 0:
        raise ReportError(f"{path}: no judgments below the header: add at least one row")
    drop_same = {"text_a", "text_b"} <= set(names)
    return _checked(frame, str(path), _Lines(path), drop_same=drop_same)


def from_frame(frame: Any, source: str = "", *, drop_same: bool = False) -> Columns:
    """Columns from a pandas data frame or a mapping of columns.

    With `drop_same`, judgments of an item against itself (two candidates of one adapter) are taken
    instead of refused; a report leaves them out and counts them.

    Raises:
        ReportError: naming row (0 is the first) and field.
    """
    if isinstance(frame, Mapping):
        frame = pd.DataFrame(dict(cast("Mapping[str, Any]", frame)))
    missing = [c for c in REQUIRED if c not in frame.columns]
    if missing:
        raise ReportError(f"columns {', '.join(missing)} are missing")
    if len(frame) == 0:
        raise ReportError("no judgments yet: collect some first")
    return _checked(frame, source, None, drop_same=drop_same)


# --- files ----------------------------------------------------------------------------------------


def _open(path: Path) -> Any:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _header(path: Path) -> tuple[list[str], int]:
    """The header and the number of fields of the first record below it."""
    try:
        header: list[str] = []
        with _open(path) as file:
            for row in csv.reader(file):
                if row and not header:
                    header = row
                elif row:
                    return header, len(row)
            if header:
                return header, len(header)
    except UnicodeDecodeError as error:
        raise ReportError(f"{path}: not UTF-8 ({error.reason}): save it as UTF-8") from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise ReportError(f"{path}: cannot be read as CSV: {error}") from None
    raise ReportError(f"{path}: empty file: the first line must be item_a,item_b,verdict")


def _check_header(path: Path, header: list[str]) -> None:
    names = [c.strip() for c in header]
    missing = [c for c in REQUIRED if c not in names]
    if missing:
        hint = ""
        if len(names) == 1 and any(s in names[0] for s in (";", "\t", "|")):
            hint = "; separate the columns by commas"
        raise ReportError(
            f"{path}, line 1: column {', '.join(missing)} is missing (found "
            f"{', '.join(names)}): the header needs item_a,item_b,verdict{hint}"
        )
    twice = sorted({c for c in names if names.count(c) > 1 and c in (*REQUIRED, *OPTIONAL)})
    if twice:
        raise ReportError(f"{path}, line 1: column {', '.join(twice)} occurs twice: keep one")


def _ragged(path: Path, width: int) -> str | None:
    """The first line with another number of fields than the header."""
    with _open(path) as file:
        reader = csv.reader(file)
        for row in reader:
            if row and len(row) != width:
                return f"line {reader.line_num}: {len(row)} fields where the header has {width}"
    return None


class _Lines:
    """Finds the line of a record; reads the file again, and only when there is something to say."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, record: int) -> int:
        with _open(self.path) as file:
            reader = csv.reader(file)
            seen = -1  # the header is record -1
            for row in reader:
                if not row:
                    continue
                if seen == record:
                    return reader.line_num
                seen += 1
            return reader.line_num if seen == record else record + 2


# --- checks ---------------------------------------------------------------------------------------


def _checked(frame: Any, source: str, lines: _Lines | None, *, drop_same: bool = False) -> Columns:
    def where(record: int) -> str:
        return f"{source}, line {lines.of(record)}" if lines else f"row {record}"

    item_a, item_b = (_items(frame[c], c, where) for c in ("item_a", "item_b"))
    verdict = _verdicts(frame["verdict"], where)
    same = np.flatnonzero(same_item(item_a, item_b))
    if len(same) and not drop_same:
        i = int(same[0])
        raise ReportError(
            f"{where(i)}, fields item_a and item_b: {str(item_a[i])!r} is compared with itself; "
            "remove the row or correct one name"
        )
    labels = {c: _labels(frame[c]) for c in LABELS if c in frame.columns}
    placement = _placement(frame["placement"], where) if "placement" in frame.columns else None
    weight = _weight(frame["weight"], where) if "weight" in frame.columns else None
    strength = _strength(frame["strength"], where) if "strength" in frame.columns else None
    when, no_time = read_times(frame)
    length_a, length_b, length_unit = read_lengths(frame, _texts)
    return Columns(
        item_a,
        item_b,
        verdict,
        placement=placement,
        weight=weight,
        strength=strength,
        when=when,
        length_a=length_a,
        length_b=length_b,
        no_time=no_time,
        length_unit=length_unit,
        source=source,
        **labels,
    )


def _labels(column: Any) -> Any:
    """A categorical of text; empty stays a label of its own (`(none)`), so that no row is lost."""
    codes, names = _texts(column)
    names = [n or "(none)" for n in names]
    unique = sorted(set(names))
    place = {n: i for i, n in enumerate(unique)}
    table = np.array([place[n] for n in names] or [0], dtype=np.int64)
    return pd.Categorical.from_codes(table[codes], unique)


def _texts(column: Any) -> tuple[NDArray[np.int64], list[str]]:
    """Codes and stripped texts of a column; missing values become the empty text."""
    values = column.array if hasattr(column, "array") else column
    if isinstance(values, pd.Categorical):
        codes, uniques = np.asarray(values.codes, dtype=np.int64), list(values.categories)
    else:
        codes, uniques = pd.factorize(values)
        codes, uniques = np.asarray(codes, dtype=np.int64), list(uniques)
    names = [str(u).strip() for u in uniques]
    if (codes < 0).any():
        codes = np.where(codes < 0, len(names), codes)
        names.append("")
    return codes, names


def _items(column: Any, name: str, where: Any) -> Any:
    codes, names = _texts(column)
    empty = [i for i, n in enumerate(names) if not n]
    if empty:
        bad = np.flatnonzero(np.isin(codes, empty))
        if len(bad):
            raise ReportError(f"{where(int(bad[0]))}, field {name}: empty; name the item")
    unique = sorted(set(names))
    place = {n: i for i, n in enumerate(unique)}
    table = np.array([place[n] for n in names], dtype=np.int64)
    return pd.Categorical.from_codes(table[codes], unique)


def _verdicts(column: Any, where: Any) -> NDArray[np.uint8]:
    codes, names = _texts(column)
    table = np.array([_VERDICTS.get(n.lower(), 255) for n in names], dtype=np.uint8)
    out = table[codes]
    bad = np.flatnonzero(out == 255)
    if len(bad):
        i = int(bad[0])
        said = names[int(codes[i])]
        raise ReportError(
            f"{where(i)}, field verdict: {said!r} is unknown; use a, b, tie or both_bad"
        )
    return out


def same_item(item_a: Any, item_b: Any) -> NDArray[np.bool_]:
    """Where two categoricals name the same item."""
    names = sorted({*item_a.categories, *item_b.categories})
    place = {n: i for i, n in enumerate(names)}
    a = np.array([place[n] for n in item_a.categories])[np.asarray(item_a.codes)]
    b = np.array([place[n] for n in item_b.categories])[np.asarray(item_b.codes)]
    return a == b


def _placement(column: Any, where: Any) -> NDArray[np.int8]:
    codes, names = _texts(column)
    table = np.array([_PLACES.get(n.lower(), 99) for n in names], dtype=np.int8)
    out = table[codes]
    bad = np.flatnonzero(out == 99)
    if len(bad):
        i = int(bad[0])
        raise ReportError(
            f"{where(i)}, field placement: {names[int(codes[i])]!r} is unknown; use +1 (a was "
            "first or left), -1 (b was) or 0"
        )
    return out


def _strength(column: Any, where: Any) -> Floats:
    codes, names = _texts(column)
    known = {"1": 1.0, "1.0": 1.0, "2": 2.0, "2.0": 2.0, "": 1.0, "0": 1.0, "none": 1.0, "nan": 1.0}
    table = np.array([known.get(n.lower(), np.nan) for n in names])
    out = table[codes]
    bad = np.flatnonzero(np.isnan(out))
    if len(bad):
        i = int(bad[0])
        raise ReportError(
            f"{where(i)}, field strength: {names[int(codes[i])]!r}; use 1 (better), 2 (much better)"
            " or nothing"
        )
    return out


def _weight(column: Any, where: Any) -> Floats:
    codes, names = _texts(column)
    table = np.empty(len(names))
    for i, name in enumerate(names):
        try:
            table[i] = float(name.replace("_", "?"))  # Python reads 1_0 as ten; no table means that
        except ValueError:
            table[i] = np.nan
    out = table[codes]
    bad = np.flatnonzero(~((out == 0) | ((out >= LEAST_WEIGHT) & (out <= MOST_WEIGHT))))
    if len(bad):
        i = int(bad[0])
        raise ReportError(
            f"{where(i)}, field weight: {names[int(codes[i])]!r}; use a number, zero or more, "
            f"not above {MOST_WEIGHT:.0e} and, if above zero, not below {LEAST_WEIGHT:.0e}"
        )
    if not out.any():
        raise ReportError(f"{where(0)}, field weight: every weight is zero, so nothing counts")
    return out
