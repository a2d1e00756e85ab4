"""Runs two or more sides of a measurement in turns (A B A B), each in a process of its own.

Knows processes, clocks, medians and memory; knows nothing of what is measured. Needs the standard
library only, so that a side can run under another environment's Python.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parents[1]


class SideFailed(RuntimeError):
    """A side could not be prepared or run; the message is one line."""


@dataclass(frozen=True)
class Side:
    """One of the things that are compared.

    Attributes:
        name: what the table calls it.
        factory: ``module:function``, a context manager that gives the work to be timed: a function
            without arguments that returns a dict of plain values (or None). A ``seconds`` in it
            replaces the measured wall time.
        params: keyword arguments of the factory, plain values.
        repeats: timed runs at most; a slow side takes part in the first rounds only.
        warmups: untimed runs before the first round.
        python: interpreter, where the side has an environment of its own.
        missing: why it cannot run here, known beforehand.
    """

    name: str
    factory: str
    params: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 1000
    warmups: int = 1
    python: str = sys.executable
    missing: str | None = None


@dataclass
class Measured:
    """What a side gave.

    Attributes:
        name: the side's.
        seconds: one a timed run.
        cpu_seconds: processor time of the same runs, child processes left out.
        values: what each timed run returned.
        growth_bytes: largest resident memory above that of the prepared process, warm-ups included.
        missing: why there are no numbers, in one line.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    growth_bytes: int = 0
    missing: str | None = None

    @property
    def median(self) -> float | None:
        """Median seconds, None without runs."""
        return statistics.median(self.seconds) if self.seconds else None

    def last(self, key: str) -> Any:
        """A value of the last run, None where there is none."""
        return self.values[-1].get(key) if self.values else None

    def pooled(self, key: str) -> list[float]:
        """A list-valued result of every run, joined."""
        return [x for value in self.values for x in value.get(key, [])]


class _Child:
    """A prepared side, waiting in its process to be told to run."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop
        self._process = subprocess.Popen(
            [side.python, "-m", "bench.side"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=REPOSITORY,
            env={**os.environ, **child_environment()},
            text=True,
        )
        try:
            self._say(json.dumps({"factory": side.factory, "params": dict(side.params)}))
            self._read()
        except SideFailed:
            self.stop()
            raise

    def run(self) -> dict[str, Any]:
        """One run: seconds, value and memory growth.

        Raises:
            SideFailed: the process ended or the work raised.
        """
        self._say("run")
        return self._read()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise SideFailed(self._last_words()) from None

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SideFailed(self._last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise SideFailed(answer["error"])
        return answer

    def _last_words(self) -> str:
        status = self._process.wait(30)
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"its process ended with status {status}: {lines[-1] if lines else 'no message'}"

    def stop(self) -> None:
        """End the process kindly, then not."""
        if self._process.stdin is not None:
            with suppress(OSError):  # it has ended already
                self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> "_Child":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def child_environment() -> dict[str, str]:
    """What every measured process gets: sleeping OpenMP threads, no network look-ups.

    numpy's BLAS waits by spinning, whatever OMP_WAIT_POLICY says: on two busy cores a Cholesky
    factor of 200 x 200 took 250 ms on two threads and 2 ms on one.
    """
    return {
        "OPENBLAS_NUM_THREADS": "1",
        "GOMP_SPINCOUNT": "0",
        "OMP_WAIT_POLICY": "passive",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TINKER_TELEMETRY": "0",
        "PYTHONHASHSEED": "0",
    }


def interleave(sides: Sequence[Side], rounds: int) -> list[Measured]:
    """Prepare all sides, then run them in turns.

    Args:
        sides: at least one; each in its own process, all alive for the whole run.
        rounds: how many times each is run (a side's ``repeats`` may be fewer).

    Returns:
        One result a side, in their order; a side that failed says why and has no numbers.
    """
    results = [Measured(side.name, missing=side.missing) for side in sides]
    with ExitStack() as stack:
        children: list[_Child | None] = []
        for side, result in zip(sides, results, strict=True):
            child = None
            if result.missing is None:
                try:
                    child = stack.enter_context(_Child(side))
                    for _ in range(side.warmups):
                        child.run()
                except SideFailed as error:
                    result.missing, child = str(error), None
            children.append(child)
        for turn in range(rounds):
            for side, child, result in zip(sides, children, results, strict=True):
                if child is None or result.missing is not None or turn >= side.repeats:
                    continue
                try:
                    answer = child.run()
                except SideFailed as error:
                    result.missing, result.seconds, result.values = str(error), [], []
                    continue
                result.seconds.append(answer["seconds"])
                result.cpu_seconds.append(answer["cpu_seconds"])
                result.values.append(answer["value"])
                result.growth_bytes = max(result.growth_bytes, answer["growth_bytes"])
    return results


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values lie (the nearest one above)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
