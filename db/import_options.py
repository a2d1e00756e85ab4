"""How an import is asked for, beside the file: tool, fields, problems, progress.

Knows neither rows nor tables.
"""

import sys
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TypeVar

from db.errors import ImportRefused, LedgerError

T = TypeVar("T")
TOOLS = ("personaloop", "label-studio", "argilla", "llmfao", "trl")
"""Who wrote a file, as ``--format`` names it."""
ROLES = ("prompt", "a", "b", "item_a", "item_b", "persona", "verdict")
"""What ``--field ROLE=NAME`` can name."""
PATIENCE_S = 2.0
"""A file that takes no longer than this shows no progress."""
ON_TERMINAL_S, IN_LOG_S = 0.5, 15.0
"""Time between two words of progress."""


class Problems:
    """What is wrong with a file: the first refusal ends the import, or all are collected."""

    def __init__(self, most: int = 0) -> None:
        """Collect.

        Args:
            most: How many refusals are kept in words; 0 raises the first one instead.
        """
        self.most = most
        self.found: list[str] = []
        self.count = 0

    @contextmanager
    def caught(self) -> Generator[None]:
        """Around the work on one row.

        Raises:
            ImportRefused: The row is refused, and refusals are not collected.
        """
        try:
            yield
        except ImportRefused as error:
            if not self.most:
                raise
            self.count += 1
            if len(self.found) < self.most:
                self.found.append(str(error).removesuffix(" (nothing was imported)"))


class Progress:
    """Words on how far a long import has come; silent without a stream."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._said = self._began
        self._line = False

    def over(self, rows: Iterable[T], work: str) -> Iterator[T]:
        """The rows, with a word now and then on how many are done."""
        terminal = self._stream is not None and self._stream.isatty()
        of = f" of {len(rows):,}" if isinstance(rows, Sized) else ""
        for number, row in enumerate(rows, start=1):
            yield row
            now = time.monotonic()
            pause = ON_TERMINAL_S if terminal else IN_LOG_S
            if self._stream is None or now - self._began < PATIENCE_S or now - self._said < pause:
                continue
            self._said = now
            words = f"{work}: {number:,}{of} rows"
            self._stream.write(f"\r{words}  " if terminal else f"{words}\n")
            self._stream.flush()
            self._line = terminal

    def end(self) -> None:
        """Leave the terminal's line clean."""
        if self._stream is not None and self._line:
            self._stream.write("\r" + " " * 60 + "\r")
            self._stream.flush()


@dataclass(frozen=True)
class Told:
    """What the importing person said about the file.

    Attributes:
        batch: The batch for rows that name none.
        tool: Who wrote it, one of ``TOOLS``; None where its content shows that.
        fields: The file's name of a field by its role, one of ``ROLES``.
        suggestions: Whether what a model suggested is taken, as an automatic annotator.
        problems: What becomes of a refused row.
        progress: Who hears how far it has come.
    """

    batch: str = ""
    tool: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    suggestions: bool = False
    problems: Problems = field(default_factory=Problems)
    progress: Progress = field(default_factory=Progress)


def told_fields(given: Sequence[str]) -> dict[str, str]:
    """``("a=text1", "b=text2")`` as fields by role.

    Raises:
        LedgerError: One is not ROLE=NAME.
    """
    found: dict[str, str] = {}
    for each in given:
        role, equals, name = each.partition("=")
        if role not in ROLES or not equals or not name:
            raise LedgerError(
                f"--field {each}: write ROLE=NAME, where ROLE is one of {', '.join(ROLES)}"
            )
        found[role] = name
    return found


def to_terminal() -> Progress:
    """Progress on standard error."""
    return Progress(sys.stderr)
