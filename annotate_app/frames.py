"""pandas without types: it ships none, and what a type checker infers from it is wrong.

``Frame`` says in a signature that a data frame is meant; docstrings name its columns.
"""

from typing import Any

import pandas

pd: Any = pandas
Frame = Any
