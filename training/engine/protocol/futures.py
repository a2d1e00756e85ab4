"""Requests on their way: submitted under an id, fetched by long polls, kept until a TTL.

Submitting an id again gives the same future (the SDK repeats a POST whose reply was lost), so
nothing runs twice. Everything here happens on the event loop's thread except ``resolve``.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from training.engine.errors import EngineError, Gone

MAX_RESULT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """The bytes of a finished request."""

    body: bytes
    content_type: str = "application/json"


@dataclass
class _Entry:
    created: float
    extra: dict[str, Any]
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    reply: Reply | None = None
    finished: float = 0.0


def json_reply(value: dict[str, Any]) -> Reply:
    """A JSON result."""
    return Reply(json.dumps(value).encode())


def failure(error: Exception) -> Reply:
    """A failed request, in the form that makes the SDK raise ``RequestFailedError`` at once."""
    user = isinstance(error, EngineError) and error.status < 500
    text = str(error) or type(error).__name__
    return json_reply({"error": text, "category": "user" if user else "server"})


class Futures:
    """All futures of this process."""

    def __init__(self, ttl_s: float):
        self._ttl_s = ttl_s
        self._entries: dict[str, _Entry] = {}
        self._bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()

    def bind(self) -> None:
        """Remember the running event loop; call once at start."""
        self._loop = asyncio.get_running_loop()

    def submit(
        self, request_id: str, start: Callable[[], None], **extra: Any
    ) -> tuple[dict[str, Any], bool]:
        """Register a request and start it, unless its id is known.

        Args:
            request_id: deterministic id.
            start: begins the work; may raise, and then nothing is registered.
            extra: further fields of the reply to the POST.

        Returns:
            The POST's reply and whether the request is new.
        """
        known = self._entries.get(request_id)
        if known is not None:
            return {"request_id": request_id, **known.extra}, False
        self._entries[request_id] = _Entry(time.monotonic(), extra)
        try:
            start()
        except BaseException:
            del self._entries[request_id]
            raise
        return {"request_id": request_id, **extra}, True

    def resolve(self, request_id: str, reply: Reply) -> None:
        """Finish a request; from any thread."""
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._finish, request_id, reply)

    def _finish(self, request_id: str, reply: Reply) -> None:
        entry = self._entries.get(request_id)
        if entry is None or entry.reply is not None:
            return
        entry.reply = reply
        entry.finished = time.monotonic()
        self._bytes += len(reply.body)
        entry.ready.set()

    async def fetch(self, request_id: str, wait_s: float) -> Reply | None:
        """The reply, or None when it is still pending after ``wait_s``.

        Raises:
            Gone: no such request (never made, from before a restart, or past its TTL).
        """
        entry = self._entries.get(request_id)
        if entry is None:
            raise Gone(f"request {request_id} is unknown here or its result has expired")
        if entry.reply is None and not self._closing.is_set():
            waits = [
                asyncio.ensure_future(entry.ready.wait()),
                asyncio.ensure_future(self._closing.wait()),
            ]
            _, pending = await asyncio.wait(
                waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in pending:
                task.cancel()
        return entry.reply

    def sweep(self) -> None:
        """Forget results past their TTL, and the oldest while they hold too much memory."""
        limit = time.monotonic() - self._ttl_s
        finished = [(k, e) for k, e in self._entries.items() if e.reply is not None]
        finished.sort(key=lambda item: item[1].finished)
        for key, entry in finished:
            if entry.finished > limit and self._bytes <= MAX_RESULT_BYTES:
                break
            self._bytes -= len(entry.reply.body) if entry.reply else 0
            del self._entries[key]

    def close(self) -> None:
        """Let all waiting polls return, because the engine is ending."""
        self._closing.set()

    @property
    def pending(self) -> int:
        """How many requests are unfinished."""
        return sum(1 for entry in self._entries.values() if entry.reply is None)
