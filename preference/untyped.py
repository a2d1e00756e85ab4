"""The calls into SciPy and pandas that this room uses, in one place.

Neither ships complete types, so they are imported as `Any` here and given types where they are
used. Knows nothing else. `scipy.stats` is left out on purpose: it takes longer to import than
everything else together, and `scipy.special` has the two quantiles that are needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

pd: Any = import_module("pandas")
sparse: Any = import_module("scipy.sparse")
csgraph: Any = import_module("scipy.sparse.csgraph")
linalg: Any = import_module("scipy.linalg")
special: Any = import_module("scipy.special")


def linprog(*args: Any, **options: Any) -> Any:
    """`scipy.optimize.linprog`, imported when first needed."""
    return import_module("scipy.optimize").linprog(*args, **options)
