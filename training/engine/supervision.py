"""Keeping a local engine running, for ``personaloop serve`` and ``personaloop work``. No torch."""

import logging
import os
import subprocess
import threading
from dataclasses import replace

from training.engine.connection import BUSY_S, find, start, start_lock, wait_ready
from training.engine.errors import EngineError
from training.engine.settings import EngineSettings

logger = logging.getLogger(__name__)


class EngineSupervisor:
    """Keeps a local engine running: starts it, watches its health, restarts it with backoff.

    Used by ``personaloop serve`` and ``personaloop work``. An engine that somebody else started is
    used and left alone; only the supervisor's own child is ever stopped. With ``TINKER_API_KEY``
    set there is nothing to supervise.

    Attributes:
        last_error: why the last start failed; None after one that did not.
    """

    def __init__(self, settings: EngineSettings | None = None, *, check_every_s: float = 5.0):
        """Bind the settings; nothing starts before :meth:`start`."""
        self.settings = settings or EngineSettings()
        self._check_every_s = check_every_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.last_error: str | None = None

    @property
    def hosted(self) -> bool:
        """Whether hosted Tinker is configured, so that no local engine is needed."""
        return bool(os.environ.get("TINKER_API_KEY"))

    def start(self, *, wait: bool = True) -> None:
        """Begin supervising.

        Args:
            wait: return only once the engine is ready.

        Raises:
            EngineError: with ``wait``, the engine cannot be started.
        """
        if self.hosted or self._thread is not None:
            return
        if wait:
            self._ensure()
        self._thread = threading.Thread(target=self._watch, name="engine-supervisor", daemon=True)
        self._thread.start()

    def healthy(self) -> bool:
        """Whether requests would be answered now."""
        return self.hosted or find(self.settings) is not None

    def stop(self, timeout_s: float = 20.0) -> None:
        """Stop watching, and end the engine if it is our own child."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._check_every_s + 10.0)
            self._thread = None
        self._end_child(timeout_s)

    def __enter__(self) -> "EngineSupervisor":
        """Start and wait."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def _ensure(self) -> None:
        with start_lock(self.settings):
            # A busy engine is waited for; only one that stays silent is replaced.
            if find(self.settings, patience_s=BUSY_S) is not None:
                return
            if self._stop.is_set():
                return
            self._end_child(5.0)
            self._process = start(replace(self.settings, parent=os.getpid()))
            wait_ready(self.settings, self._process, self._stop.is_set)

    def _watch(self) -> None:
        delay = 1.0
        while not self._stop.is_set():
            if not self.healthy():
                try:
                    self._ensure()
                    delay = 1.0
                    self.last_error = None
                except EngineError as error:
                    if self._stop.is_set():
                        return
                    logger.warning("%s; trying again in %.0f s", error, delay)
                    self.last_error = str(error)
                    self._stop.wait(delay)
                    delay = min(delay * 2, 60.0)
            self._stop.wait(self._check_every_s)

    def _end_child(self, timeout_s: float) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
