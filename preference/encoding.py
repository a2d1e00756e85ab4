"""Judgments as they come in, checked and turned into small integers.

Knows: items, verdict codes, weights, placement, covariates and cluster labels, and what can be
wrong with them. Does not know any model, and keeps no copy that it does not need: integer and
categorical columns are used as they stand.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from preference.errors import InputError
from preference.numeric_columns import (
    Floats,
    encode_covariates,
    encode_placement,
    encode_weights,
    same_length,
)
from preference.untyped import pd

Item = str | int
Ints = NDArray[np.int64]
AnyArray = NDArray[Any]

VERDICTS: tuple[str, ...] = ("a", "b", "tie", "both_bad")
A_WINS, B_WINS, TIE, BOTH_BAD = 0, 1, 2, 3


_WIDEST_RANGE = 1 << 16  # integer items that span more than this are factorised instead


@dataclass(frozen=True, eq=False)
class Judgments:
    """Judgments in codes; every array has length n.

    Attributes:
        labels: label of each item code; codes without any judgment may occur.
        a, b: item codes (any integer dtype), the two sides.
        verdict: uint8, 0 a, 1 b, 2 tie, 3 both_bad.
        weight: positive or zero, or None for all ones.
        placement: int8, +1 where a had the first place, -1 where b had it, 0 neither; or None.
        covariates: (n, m), or None; each adds to a's side.
        covariate_names: one name a column.
    """

    labels: tuple[Item, ...]
    a: AnyArray
    b: AnyArray
    verdict: NDArray[np.uint8]
    weight: Floats | None = None
    placement: NDArray[np.int8] | None = None
    covariates: Floats | None = None
    covariate_names: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of judgments, both_bad included."""
        return len(self.verdict)

    def take(self, rows: Ints) -> Judgments:
        """The judgments at these positions."""
        return Judgments(
            self.labels,
            self.a[rows],
            self.b[rows],
            self.verdict[rows],
            None if self.weight is None else self.weight[rows],
            None if self.placement is None else self.placement[rows],
            None if self.covariates is None else self.covariates[rows],
            self.covariate_names,
        )


def encode(
    item_a: Any,
    item_b: Any,
    verdict: Any,
    *,
    weight: Any = None,
    placement: Any = None,
    covariates: Any = None,
) -> Judgments:
    """Check the columns and encode them.

    Args:
        item_a: n items: strings, integers or pandas categoricals.
        item_b: n items, the other side.
        verdict: n names (`a`, `b`, `tie`, `both_bad`) or uint8 codes 0 to 3.
        weight: n numbers >= 0; a judgment of weight 2 counts as two.
        placement: n values of +1, -1, 0.
        covariates: (n,), (n, m), a mapping or a data frame of columns of length n.

    Returns:
        The encoded judgments.

    Raises:
        InputError: with the index and the value of the first offending judgment.
    """
    codes = encode_verdicts(verdict)
    n = len(codes)
    if n == 0:
        raise InputError("no judgments: at least one is needed")
    labels, a, b = encode_items(item_a, item_b)
    same_length(n, item_a=len(a), item_b=len(b))
    _no_self_comparison(a, b, labels)
    w = None if weight is None else _unless_ones(encode_weights(weight, n))
    p = None if placement is None else encode_placement(placement, n)
    x, names = (None, ()) if covariates is None else encode_covariates(covariates, n)
    return Judgments(labels, a, b, codes, w, p, x, names)


def encode_verdicts(verdict: Any) -> NDArray[np.uint8]:
    """Verdict names or codes to uint8 codes.

    Raises:
        InputError: unknown name, code outside 0 to 3, or missing value, with its index.
    """
    values = _array(verdict, "verdict")
    if not len(values):
        return np.zeros(0, np.uint8)
    dtype = _dtype_kind(values)
    if dtype == "category":
        table = np.array([_verdict_code(c) for c in _categories(values)], dtype=np.int16)
        codes = _category_codes(values)
        _refuse_missing(codes < 0, "verdict")
        _refuse_unknown(table, codes, _categories(values))
        return table[codes].astype(np.uint8)
    if dtype in "iu":
        codes = np.asarray(values)
        if len(codes) and (int(codes.max()) > BOTH_BAD or int(codes.min()) < 0):
            i = int(np.flatnonzero((codes > BOTH_BAD) | (codes < 0))[0])
            raise InputError(
                f"verdict {codes[i]} at index {i} is unknown: codes are 0 a, 1 b, 2 tie, 3 both_bad"
            )
        return codes.astype(np.uint8, copy=False)
    if dtype == "f" or dtype == "b":
        i = _first_nan(values)
        what = f"is missing at index {i}" if i is not None else f"has dtype {values.dtype}"
        raise InputError(f"verdict {what}: use a, b, tie, both_bad or the codes 0 to 3")
    codes, uniques = _factorize(values, "verdict")
    _refuse_missing(codes < 0, "verdict")
    table = np.array([_verdict_code(u) for u in uniques], dtype=np.int16)
    _refuse_unknown(table, codes, uniques)
    return table[codes].astype(np.uint8) if len(codes) else np.zeros(0, np.uint8)


def encode_items(item_a: Any, item_b: Any) -> tuple[tuple[Item, ...], AnyArray, AnyArray]:
    """Two item columns to one sorted label table and two code arrays.

    Raises:
        InputError: missing item (with its index), or a mixture of strings and integers.
    """
    a, b = _array(item_a, "item_a"), _array(item_b, "item_b")
    if _dtype_kind(a) in "iu" and _dtype_kind(b) in "iu" and len(a) and len(b):
        low = min(int(a.min()), int(b.min()))
        high = max(int(a.max()), int(b.max()))
        if high - low < _WIDEST_RANGE:
            labels = tuple(range(low, high + 1))
            first, second = cast("AnyArray", a), cast("AnyArray", b)
            if low != 0:
                first, second = first.astype(np.int64) - low, second.astype(np.int64) - low
            return cast("tuple[Item, ...]", labels), first, second
    codes_a, uniques_a = _item_codes(a, "item_a")
    codes_b, uniques_b = _item_codes(b, "item_b")
    labels = _sorted_labels(uniques_a, uniques_b)
    place = {label: i for i, label in enumerate(labels)}
    size = np.uint16 if len(labels) <= 1 << 16 else np.int64
    table_a = np.array([place[u] for u in uniques_a], dtype=size)
    table_b = np.array([place[u] for u in uniques_b], dtype=size)
    return labels, table_a[codes_a], table_b[codes_b]


def _unless_ones(weight: Floats) -> Floats | None:
    """Weights that are all one are none: the judgments count as they stand."""
    return None if weight[0] == 1 and (weight == 1).all() else weight


def encode_clusters(cluster: Any, n: int) -> list[Ints]:
    """One or two label arrays to lists of codes 0..G-1, numbered in sorted label order.

    A list or tuple of two sequences of length n means two-way clustering.

    Raises:
        InputError: missing label with its index, wrong length, more than two arrays.
    """
    groups = split_clusters(cluster)
    if not 1 <= len(groups) <= 2:
        raise InputError(f"cluster takes one or two arrays of labels, not {len(groups)}")
    coded: list[Ints] = []
    for number, group in enumerate(groups):
        values = _array(group, "cluster")
        same_length(n, **{f"cluster {number}": len(values)})
        codes, uniques = _item_codes(values, "cluster")
        order = np.argsort(np.array([str(u) for u in uniques]), kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        coded.append(place[codes])
    return coded


def split_clusters(cluster: Any) -> list[Any]:
    """Tell one label array from two: a list or tuple whose members are themselves columns."""
    if isinstance(cluster, pd.DataFrame):
        return [cluster.iloc[:, i] for i in range(cluster.shape[1])]
    if isinstance(cluster, Mapping):
        return list(cast("Mapping[Any, Any]", cluster).values())
    if isinstance(cluster, (list, tuple)):
        members = cast("Sequence[Any]", cluster)
        if members and all(
            isinstance(m, (np.ndarray, pd.Series, pd.Categorical, list, tuple)) for m in members
        ):
            return list(members)
    if isinstance(cluster, np.ndarray) and cast("AnyArray", cluster).ndim == 2:
        return list(cast("AnyArray", cluster))
    return [cluster]


# --- small pieces -------------------------------------------------------------------------------


def _array(values: Any, name: str) -> Any:
    """A one-dimensional numpy array or pandas extension array, not copied where possible."""
    if isinstance(values, (str, bytes, set, frozenset, Mapping, pd.DataFrame)) or not hasattr(
        values, "__len__"
    ):
        raise InputError(f"{name} must be a column of values, not {type(values).__name__}")
    if isinstance(values, (pd.Series, pd.Index)):
        values = values.array
    if isinstance(values, pd.api.extensions.ExtensionArray):
        if values.dtype.kind in "iufb":
            _refuse_missing(np.asarray(pd.isna(values)), name)
        return values.to_numpy() if values.dtype.kind in "iufb" and not _has_na(values) else values
    if isinstance(values, np.ndarray):
        array = cast("AnyArray", values)
    else:
        items = list(cast("Sequence[Any]", values))
        array = np.asarray(items) if _all_integers(items) else np.empty(len(items), dtype=object)
        if array.dtype == object:
            array[:] = items
    if array.ndim != 1:
        raise InputError(f"{name} must have one dimension, not shape {array.shape}")
    return array


def _all_integers(items: list[Any]) -> bool:
    return bool(items) and all(
        isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in items
    )


def _has_na(values: Any) -> bool:
    return bool(np.asarray(pd.isna(values)).any())


def _dtype_kind(values: Any) -> str:
    if isinstance(values, pd.Categorical):
        return "category"
    return str(getattr(values.dtype, "kind", "O"))


def _categories(values: Any) -> list[Any]:
    return list(values.categories)


def _category_codes(values: Any) -> AnyArray:
    return np.asarray(values.codes)


def _factorize(values: Any, name: str) -> tuple[AnyArray, list[Any]]:
    if isinstance(values, np.ndarray) and cast("AnyArray", values).dtype.kind == "U":
        return _factorize_text(cast("AnyArray", values))
    try:
        codes, uniques = pd.factorize(values)
    except TypeError:  # a list or a dictionary among the values
        i = next(i for i, v in enumerate(cast("list[Any]", values)) if not isinstance(v, Hashable))
        raise InputError(f"{name} {values[i]!r} at index {i}: use strings or integers") from None
    return np.asarray(codes), [_plain(u) for u in uniques]


def _factorize_text(values: AnyArray) -> tuple[AnyArray, list[Any]]:
    """Fixed-width text by a hash of its bytes; checked, so that a collision only costs time."""
    width = values.dtype.itemsize // 4
    if not width or not len(values):
        return np.zeros(len(values), dtype=np.int64), [""] * bool(len(values))
    letters = np.ascontiguousarray(values).view(np.uint32).reshape(len(values), width)
    hashes = np.zeros(len(values), dtype=np.uint64)
    for column in range(width):
        hashes += letters[:, column]
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    codes, unique = pd.factorize(hashes)
    first = np.zeros(len(unique), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(values))[::-1]
    names = values[first]
    if not (names[codes] == values).all():
        codes, unique = pd.factorize(values.astype(object))
        return np.asarray(codes), [str(u) for u in unique]
    return np.asarray(codes), [str(n) for n in names]


def _plain(value: Any) -> Any:
    """A Python value of the exact base type: str for a StrEnum member, int for a numpy integer."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, np.integer):
        return int(cast(Any, value))
    return value


def _item_codes(values: Any, name: str) -> tuple[AnyArray, list[Any]]:
    kind = _dtype_kind(values)
    if kind == "category":
        codes, uniques = _category_codes(values), [_plain(u) for u in _categories(values)]
    elif kind in "fb" and name != "cluster":
        i = _first_nan(values)
        if i is not None:
            raise InputError(f"{name} is missing (NaN) at index {i}")
        raise InputError(f"{name} has dtype {values.dtype}: use strings, integers or categoricals")
    else:
        codes, uniques = _factorize(values, name)
    _refuse_missing(codes < 0, name)
    if name != "cluster":
        for u in uniques:
            if not isinstance(u, (str, int)) or isinstance(u, bool):
                i = int(np.flatnonzero(codes == uniques.index(u))[0])
                raise InputError(f"{name} {u!r} at index {i}: use strings, integers, categoricals")
    return codes, uniques


def _sorted_labels(first: list[Any], second: list[Any]) -> tuple[Item, ...]:
    labels = set(first) | set(second)
    if len({isinstance(v, str) for v in labels}) > 1:
        example = next(v for v in sorted(labels, key=str) if not isinstance(v, str))
        raise InputError(f"items mix strings and integers ({example!r}): use one kind for all")
    return tuple(sorted(labels))


def _verdict_code(value: Any) -> int:
    name = _plain(value)
    return VERDICTS.index(name) if isinstance(name, str) and name in VERDICTS else -1


def _refuse_unknown(table: NDArray[np.int16], codes: AnyArray, names: list[Any]) -> None:
    if (table >= 0).all():
        return
    bad = np.flatnonzero(table[codes] < 0)
    if len(bad):
        i = int(bad[0])
        raise InputError(
            f"verdict {names[int(codes[i])]!r} at index {i} is unknown: use a, b, tie or both_bad"
        )


def _refuse_missing(missing: Any, name: str) -> None:
    if missing.any():
        raise InputError(f"{name} is missing at index {int(np.flatnonzero(missing)[0])}")


def _first_nan(values: Any) -> int | None:
    missing = np.flatnonzero(np.asarray(pd.isna(values)))
    return int(missing[0]) if len(missing) else None


def _no_self_comparison(a: AnyArray, b: AnyArray, labels: tuple[Item, ...]) -> None:
    same = a == b
    if same.any():
        i = int(np.flatnonzero(same)[0])
        raise InputError(f"item {labels[int(a[i])]!r} is compared with itself at index {i}")
