"""Errors of the preference room.

Knows: what can be wrong with judgments and with a fit. Does not know who asked or how it is shown.

To add one: inherit from `PreferenceError` and from the standard error it is closest to, say in the
docstring when it is raised, and give the message one line that names the value and the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence


class PreferenceError(Exception):
    """Root of every error that this room raises."""


class InputError(PreferenceError, ValueError):
    """The values handed in are wrong: unknown verdict, NaN, self-comparison, unequal lengths."""


class UnidentifiedError(PreferenceError, ValueError):
    """The data cannot answer: no finite estimate exists, or nothing ties the items together.

    Attributes:
        components: strongly connected groups of items, largest first; within one group every item
            has a chain of wins or ties to every other. Empty where the cause is another one.
        undefeated: items that never lost or tied (as far as known).
        winless: items that never won or tied.
    """

    def __init__(
        self,
        message: str,
        *,
        components: Sequence[tuple[str | int, ...]] = (),
        undefeated: Sequence[str | int] = (),
        winless: Sequence[str | int] = (),
    ) -> None:
        super().__init__(message)
        self.components = tuple(components)
        self.undefeated = tuple(undefeated)
        self.winless = tuple(winless)


class DisconnectedError(UnidentifiedError):
    """Groups of items that were never compared with each other: their ratings share no scale."""


class SeparationError(UnidentifiedError):
    """Some direction improves the likelihood without end (an undefeated item, for example)."""


class ConfoundedError(UnidentifiedError):
    """An effect cannot be told apart from the items (one item always had the first place)."""


class ConvergenceError(PreferenceError, ArithmeticError):
    """The optimiser stopped before the optimum; no number is given."""


class ReportError(PreferenceError, ValueError):
    """A file or table cannot be reported on; the message names file, line, field and remedy."""
