"""What every page test needs: Streamlit's script runner leaves no trace in the interpreter."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def main_module_stays() -> Iterator[None]:
    """A page that runs becomes `__main__`; a process spawned later would run that page again."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before
