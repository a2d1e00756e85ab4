"""Properties of items (a length, a family, a price) as columns of numbers.

Knows: the shapes they come in and what can be wrong with them. Does not know judgments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from preference.connectivity import listed
from preference.encoding import Floats, Item
from preference.errors import InputError
from preference.numeric_columns import RESERVED
from preference.untyped import pd


def encode_properties(properties: Any, items: tuple[Item, ...]) -> tuple[Floats, tuple[str, ...]]:
    """Properties of the given items as an (items, m) array and m names.

    A property whose values are names becomes a 0/1 column for every name but the first in sorted
    order, called `property=name`.

    Args:
        properties: item -> a number, a sequence of numbers, or a mapping of names to values; or a
            data frame or series indexed by item.
        items: the items that were compared, in the order wanted.

    Raises:
        InputError: an item or a value is missing, or something is neither a number nor a name.
    """
    rows = _rows(properties)
    absent = [item for item in items if item not in rows]
    if absent:
        raise InputError(f"items {listed(absent)} have no properties: give theirs, as for the rest")
    names = tuple(rows[items[0]])
    columns: list[Floats] = []
    labels: list[str] = []
    for name in names:
        values = [_value(rows[item], item, name, len(names)) for item in items]
        if any(isinstance(v, str) for v in values):
            known = sorted({str(v) for v in values})
            for level in known[1:]:
                columns.append(np.array([float(str(v) == level) for v in values]))
                labels.append(f"{name}={level}")
            continue
        columns.append(np.array(values, dtype=np.float64))
        labels.append(name)
    for label in labels:
        if label in RESERVED or labels.count(label) > 1:
            raise InputError(f"property {label!r} has the name of another effect: rename it")
    if not columns:
        raise InputError("no property of the items that differs: give at least one")
    return np.column_stack(columns), tuple(labels)


def _rows(properties: Any) -> dict[Any, dict[str, Any]]:
    """Item -> property -> value."""
    if isinstance(properties, pd.Series):
        properties = properties.to_frame(str(properties.name or "covariate_0"))
    if isinstance(properties, pd.DataFrame):
        keys = list(properties.index)
        if len(set(keys)) < len(keys):
            twice = next(k for k in keys if keys.count(k) > 1)
            raise InputError(f"item {twice!r} has two rows of properties: keep one")
        columns = {str(c): list(properties.iloc[:, i]) for i, c in enumerate(properties.columns)}
        return {k: {c: v[i] for c, v in columns.items()} for i, k in enumerate(keys)}
    if not isinstance(properties, Mapping):
        raise InputError(
            "items must map each item to its properties (a mapping, or a data frame indexed by "
            f"item), not {type(properties).__name__}"
        )
    out: dict[Any, dict[str, Any]] = {}
    for item, own in cast("Mapping[Any, Any]", properties).items():
        if isinstance(own, Mapping):
            out[item] = {str(k): v for k, v in cast("Mapping[Any, Any]", own).items()}
        elif isinstance(own, (Sequence, np.ndarray)) and not isinstance(own, str):
            out[item] = {f"covariate_{i}": v for i, v in enumerate(cast("Sequence[Any]", own))}
        else:
            out[item] = {"covariate_0": own}
    return out


def _value(row: dict[str, Any], item: Item, name: str, width: int) -> float | str:
    if name not in row or len(row) != width:
        raise InputError(f"item {item!r} has other properties than the rest: {listed(list(row))}")
    value = row[name]
    if isinstance(value, str):
        return str.__str__(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise InputError(
            f"{name} of item {item!r} is {value!r}: every value is needed; an item without one can "
            "have a column of its own (1 for it, 0 for the rest)"
        )
    return number
