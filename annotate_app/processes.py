"""Starts child processes, restarts them with growing pauses, stops them. Knows not what they do.

All of it runs in the caller's main thread: ``tick()`` is called every half second.
"""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 60.0
"""A child that ran this long starts again with the shortest pause."""
LOG_BYTES = 5_000_000
"""A log that grew past this is started anew; one older log is kept."""
GRACE_S = 12.0


@dataclass
class Child:
    """One command that should be running.

    Attributes:
        name: For people and for the log's name.
        command: What to run.
        env: Its whole environment.
        cwd: Where to run it.
        log_file: Where its output goes; None for ours.
        restart: Whether it is started again when it ends.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    log_file: Path | None = None
    restart: bool = True
    process: subprocess.Popen[bytes] | None = None
    exit_status: int | None = None
    _pause: float = FIRST_PAUSE_S
    _started: float = 0.0
    _next: float = 0.0
    _stopping: bool = field(default=False, repr=False)

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and self.process.poll() is None

    def tick(self) -> None:
        """Start it where it should run and does not, and its pause is over."""
        if self._stopping or self.running:
            return
        now = time.monotonic()
        if self.process is not None:
            self.exit_status = self.process.returncode
            self.process = None
            if not self.restart:
                self._stopping = True
                return
            if now - self._started > STEADY_S:
                self._pause = FIRST_PAUSE_S
            self._next = now + self._pause
            log.warning(
                "%s ended (status %s); starting it again in %.0f s",
                self.name,
                self.exit_status,
                self._pause,
            )
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
        if now >= self._next:
            self._start(now)

    def stop(self) -> None:
        """Ask it to end; ``wait`` sees to it."""
        self._stopping = True
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait until it has ended; end it by force when the deadline (monotonic) has passed."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _start(self, now: float) -> None:
        output = None
        if self.log_file is not None:
            self.log_file.parent.mkdir(parents=True, exist_ok=True)
            if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES:
                self.log_file.replace(self.log_file.with_suffix(".log.1"))
            output = self.log_file.open("ab")
        try:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.env),
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,  # Ctrl+C reaches us alone; we end the children in order
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        finally:
            if output is not None:
                output.close()
        self._started = now


def stop_all(children: Sequence[Child], grace: float = GRACE_S) -> None:
    """End every child, first asking, then by force."""
    for child in children:
        child.stop()
    deadline = time.monotonic() + grace
    for child in children:
        child.wait(deadline)


def until_stopped(tick: Callable[[], bool], every: float = 0.5) -> None:
    """Call ``tick`` until it returns False or the process is asked to stop (TERM, INT, HUP)."""
    stopped = False

    def stop(signum: int, frame: object) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    while not stopped and tick():
        end = time.monotonic() + every
        while not stopped and time.monotonic() < end:
            time.sleep(0.05)


def _die_with_parent() -> None:
    """On Linux the kernel ends the child when we are killed, so that no port stays taken."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() == 1:
        os.kill(os.getpid(), signal.SIGTERM)
