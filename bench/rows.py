"""Rows of the result: one a measurement, printed as a table and written as JSON.

Knows how a number is shown and what a bar is; knows nothing of how it was measured.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.measure import Measured

UNITS = {
    "s": (1.0, "s"),
    "ms": (1e3, "ms"),
    "MB": (1e-6, "MB"),
    "tokens/s": (1.0, "tok/s"),
    "pairs/s": (1.0, "pairs/s"),
    "tokens": (1.0, "tokens"),
    "judgments": (1.0, ""),
}


@dataclass
class Row:
    """One line of the table.

    Attributes:
        subject: ratings, engine, training, labeling, pages or start.
        work: what was done, with its size.
        unit: of ``ours``, ``theirs`` and ``floor``: s and ms (both stored in seconds), MB
            (stored in bytes), tokens/s, pairs/s, tokens and judgments (counts).
        ours: our median.
        peer: what it is compared with.
        theirs: the peer's median; None where it could not be measured.
        bar: what the ratio must reach: at most this, or at least where more is better.
        floor: the least (or, for rates, the most) that this machine allows.
        floor_is: what the floor counts.
        missing: why there is no number, one line a side.
        notes: what a reader must know: checks, memory.
        runs: the raw seconds by side.
        cpu: processor seconds of the same runs by side; none where a side has child processes.
    """

    subject: str
    work: str
    unit: str
    ours: float | None
    peer: str
    theirs: float | None
    bar: float | None = None
    floor: float | None = None
    floor_is: str = ""
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    runs: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    @property
    def rising(self) -> bool:
        """Whether more is better."""
        return self.unit.endswith("/s")

    @property
    def ratio(self) -> float | None:
        """Ours over theirs."""
        return self.ours / self.theirs if self.ours is not None and self.theirs else None

    @property
    def cpu_ratio(self) -> float | None:
        """As ``ratio``, of processor time: what remains of it on a busy machine."""
        spent = [statistics.median(seconds) for seconds in self.cpu.values() if seconds]
        if len(spent) != 2 or not all(spent):
            return None
        return spent[1] / spent[0] if self.rising else spent[0] / spent[1]

    @property
    def of_floor(self) -> float | None:
        """How many times the floor ours takes; 1 is the floor itself."""
        if self.ours is None or not self.floor:
            return None
        return self.floor / self.ours if self.rising else self.ours / self.floor

    @property
    def met(self) -> bool | None:
        """Whether the ratio reaches the bar; None where there is no bar or no ratio."""
        if self.bar is None or self.ratio is None:
            return None
        return self.ratio >= self.bar if self.rising else self.ratio <= self.bar

    def to_json(self) -> dict[str, Any]:
        """Plain values, derived ones included."""
        derived = {
            "ratio": self.ratio,
            "cpu_ratio": self.cpu_ratio,
            "of_floor": self.of_floor,
            "met": self.met,
        }
        return {**asdict(self), **derived}


def compared(
    subject: str,
    work: str,
    ours: Measured,
    theirs: Measured,
    *,
    unit: str = "s",
    amount: float | None = None,
    inside: bool = True,
    **more: Any,
) -> Row:
    """A row from two measured sides.

    Args:
        subject: the row's.
        work: the row's.
        ours: our side.
        theirs: the peer's.
        unit: the row's.
        amount: where rates are compared: so much a run.
        inside: whether both sides work in their own process alone, as far as time is counted.
        more: other fields of the row.
    """

    def value(side: Measured) -> float | None:
        median = side.median
        return median if median is None or amount is None else amount / median

    missing = [f"{side.name}: {side.missing}" for side in (ours, theirs) if side.missing]
    runs = {side.name: side.seconds for side in (ours, theirs)}
    cpu = {side.name: side.cpu_seconds for side in (ours, theirs)} if inside else {}
    return Row(
        subject, work, unit, value(ours), theirs.name, value(theirs),
        missing=missing, runs=runs, cpu=cpu, **more,
    )  # fmt: skip


def shown(value: float | None, unit: str) -> str:
    """A number with its unit, three digits that matter."""
    if value is None:
        return "-"
    factor, name = UNITS[unit]
    number = value * factor
    text = f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
    return f"{text} {name}".rstrip()


def table(rows: Sequence[Row]) -> str:
    """The table of the rows that have numbers; below it notes and what could not be measured."""
    head = ["", "work", "ours", "peer", "theirs", "ratio", "cpu", "bar", "", "floor",
            "of floor"]  # fmt: skip
    lines = [head]
    after: list[str] = []
    for number, row in enumerate(rows, 1):
        if row.ours is None or (row.peer and row.theirs is None):
            after.append(f"{number:>3} not measured: {row.work}: {'; '.join(row.missing)}")
            continue
        bar = "" if row.bar is None else f"{'>=' if row.rising else '<='} {_ratio(row.bar)}"
        met = {True: "met", False: "missed", None: ""}[row.met]
        near = "" if row.of_floor is None else f"{row.of_floor:.3g}x"
        floor = "" if row.floor is None else shown(row.floor, row.unit)
        theirs = shown(row.theirs, row.unit) if row.peer else ""
        ratio, cpu = _ratio(row.ratio), _ratio(row.cpu_ratio)
        lines.append(
            [str(number), row.work, shown(row.ours, row.unit), row.peer, theirs, ratio, cpu, bar,
             met, floor, near]
        )  # fmt: skip
        if row.floor_is:
            after.append(f"{number:>3} floor: {row.floor_is}")
        after += [f"{number:>3} {note}" for note in row.notes]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    left = {1, 3, 8}
    text = [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    text.insert(1, "-" * max(len(line) for line in text))
    return "\n".join([*text, "", *after])


def _ratio(value: float | None) -> str:
    """2.5 as 2.5x, 0.02 as 1/50."""
    if value is None:
        return ""
    if 0 < value < 0.1:
        return f"1/{1 / value:.3g}"
    return f"{value:.3g}x"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    Path(temporary).replace(path)
