"""How long an answer of the model service is waited for; the SDK itself would wait for ever.

Knows clocks and where to ask whether the service is still there. Does not know what is awaited.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from training import hosted
from training.errors import ServiceGone
from training.hosted import HostedConfig

if TYPE_CHECKING:
    from training.engine.settings import EngineSettings
    from training.service import Service

GONE_SECONDS = 180.0
"""How long a local engine may be silent (being started again, say) before waiting ends."""
LOOK_SECONDS = 2.0
"""Between two looks at the local engine, and the longest until `Service.check` is called again."""


class InThread:
    """A call that blocks, as a future: the SDK's constructors wait for minutes on their own."""

    def __init__(self, call: Callable[[], Any]):
        """Begin; a call that is given up goes on in its thread and is not waited for."""
        self._future: Future[Any] = Future()
        threading.Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self._future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._future.set_exception(error)

    def result(self, timeout: float | None = None) -> Any:
        """As the SDK's futures have it."""
        return self._future.result(timeout)

    def future(self) -> "Future[Any]":
        """As the SDK's futures have it."""
        return self._future


class Watch:
    """Looks, while an answer is awaited, whether the service is still there."""

    def __init__(self, service: "Service"):
        """Begin to wait."""
        self.service = service
        self.began = time.monotonic()
        self.silent_since: float | None = None
        self.next_look = self.began + (service.terms.look_seconds if service.terms else 0.0)
        self.pause = min(
            LOOK_SECONDS, service.terms.look_seconds if service.terms else LOOK_SECONDS
        )

    def look(self) -> None:
        """Once more.

        Raises:
            ServiceGone: waiting is in vain.
        """
        if self.service.terms is not None:
            self._look_far(self.service.terms, self.service.address)
        elif self.service.settings is not None:
            self._look_near(self.service.settings, self.service.address)

    def _look_far(self, terms: HostedConfig, url: str) -> None:
        now = time.monotonic()
        if now - self.began > terms.answer_minutes * 60:
            raise ServiceGone(
                f"hosted Tinker took a request but has not answered it for {terms.answer_minutes:g}"
                " minutes (answer_minutes in configs/hosted.yaml); the run goes on from its last "
                "saved state"
            )
        if now < self.next_look:
            return
        self.next_look = now + terms.look_seconds
        if hosted.answers(url):
            self.silent_since = None
            return
        self.silent_since = self.silent_since or now
        if now - self.silent_since > terms.silent_minutes * 60:
            raise ServiceGone(
                f"hosted Tinker at {url} has not answered for {terms.silent_minutes:g} minutes "
                "(silent_minutes in configs/hosted.yaml); the run goes on from its last saved state"
            )

    def _look_near(self, settings: "EngineSettings", url: str) -> None:
        from training.engine.connection import find

        found = find(settings)
        if found is not None and found["url"] != url:
            raise ServiceGone(f"the engine was started anew at {found['url']}")
        if found is not None:
            self.silent_since = None
            return
        now = time.monotonic()
        if self.silent_since is not None and now - self.silent_since > GONE_SECONDS:
            raise ServiceGone(f"the engine at {url} is gone; start it again")
        self.silent_since = self.silent_since or now
