"""Requests on their way: submitted under an id, fetched by long polls, kept until a TTL.

Submitting an id again gives the same future (the SDK repeats a POST whose reply was lost), so
nothing runs twice. What would go beyond the limits is refused for now. Everything here happens on
the event loop's thread except ``resolve``.
"""

import asyncio
import json
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from training.engine.errors import Busy, EngineError, Gone
from training.engine.protocol.limits import Limits


@dataclass(frozen=True)
class Reply:
    """The bytes of a finished request."""

    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True)
class Weight:
    """What a request takes while it has no answer.

    Attributes:
        owner: the model or sampling session that it belongs to.
        sequences: that it samples.
        size: bytes of its data.
    """

    owner: str = ""
    sequences: int = 0
    size: int = 0


@dataclass
class _Entry:
    extra: dict[str, Any]
    weight: Weight
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    reply: Reply | None = None
    since: float = 0.0
    """When it was finished or, once fetched, last fetched."""
    asked: float = field(default_factory=time.monotonic)
    """When it was submitted or last asked for."""


def json_reply(value: dict[str, Any]) -> Reply:
    """A JSON result."""
    return Reply(json.dumps(value).encode())


def failure(error: Exception) -> Reply:
    """A failed request, in the form that makes the SDK raise ``RequestFailedError`` at once."""
    user = isinstance(error, EngineError) and error.status < 500
    text = str(error) or type(error).__name__
    return json_reply({"error": text, "category": "user" if user else "server"})


class Futures:
    """All futures of this process.

    Attributes:
        pending: how many requests are unfinished.
        finished: told the id of each that is finished, on the event loop's thread.
    """

    def __init__(self, ttl_s: float, limits: Limits | None = None):
        self._ttl_s = ttl_s
        self._limits = limits or Limits()
        self._entries: dict[str, _Entry] = {}
        self._unread: OrderedDict[str, None] = OrderedDict()
        self._read: OrderedDict[str, None] = OrderedDict()
        self._bytes = 0
        self.pending = 0
        self.finished: Callable[[str], object] = lambda _request_id: None
        self._pending_of: Counter[str] = Counter()
        self._sequences_of: Counter[str] = Counter()
        self._sequences = 0
        self._pending_bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._entries

    def bind(self) -> None:
        """Remember the running event loop; call once at start."""
        self._loop = asyncio.get_running_loop()

    def known(self, request_id: str) -> dict[str, Any] | None:
        """The reply to the POST of a request that was submitted before."""
        entry = self._entries.get(request_id)
        return {"request_id": request_id, **entry.extra} if entry is not None else None

    def submit(
        self,
        request_id: str,
        start: Callable[[], None],
        weight: Weight | None = None,
        **extra: Any,
    ) -> tuple[dict[str, Any], bool]:
        """Register a request and start it, unless its id is known.

        Args:
            request_id: deterministic id.
            start: begins the work; may raise, and then nothing is registered.
            weight: what the request takes while it has no answer.
            extra: further fields of the reply to the POST.

        Returns:
            The POST's reply and whether the request is new.

        Raises:
            Busy: too much is on its way already.
        """
        known = self.known(request_id)
        if known is not None:
            return known, False
        entry = _Entry(extra, weight or Weight())
        self._check_room(entry.weight)
        self._entries[request_id] = entry
        self._count(entry.weight, 1)
        try:
            start()
        except BaseException:
            del self._entries[request_id]
            self._count(entry.weight, -1)
            raise
        return {"request_id": request_id, **extra}, True

    def _check_room(self, new: Weight) -> None:
        limits = self._limits
        for what, found, most in (
            ("requests are on their way", self.pending + 1, limits.pending),
            (
                f"requests of {new.owner} are on their way",
                self._pending_of[new.owner] + 1,
                limits.pending_each,
            ),
            (
                "sequences are being sampled",
                self._sequences + new.sequences,
                limits.sequences if new.sequences else 0,
            ),
            (
                f"sequences of {new.owner} are being sampled",
                self._sequences_of[new.owner] + new.sequences,
                limits.sequences_each if new.sequences else 0,
            ),
            ("bytes of requests are waiting", self._pending_bytes + new.size, limits.pending_bytes),
        ):
            if most and found > most and self.pending:
                raise Busy(f"the engine is busy: at most {most} {what} at once; ask again")

    def _count(self, weight: Weight, sign: int) -> None:
        self.pending += sign
        self._sequences += sign * weight.sequences
        self._pending_bytes += sign * weight.size
        for counter, amount in ((self._pending_of, 1), (self._sequences_of, weight.sequences)):
            counter[weight.owner] += sign * amount
            if counter[weight.owner] <= 0:
                del counter[weight.owner]

    def resolve(
        self, request_id: str, reply: Reply, first: Callable[[], None] | None = None
    ) -> None:
        """Finish a request; from any thread.

        Args:
            request_id: which.
            reply: its result.
            first: called before anybody hears of it, on the event loop's thread.
        """

        def finish() -> None:
            if first is not None:
                first()
            self._finish(request_id, reply)

        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(finish)

    def _finish(self, request_id: str, reply: Reply) -> None:
        entry = self._entries.get(request_id)
        if entry is None or entry.reply is not None:
            return
        entry.reply = reply
        entry.since = time.monotonic()
        self._count(entry.weight, -1)
        self._unread[request_id] = None
        self._bytes += len(reply.body)
        entry.ready.set()
        self.finished(request_id)
        self._trim()

    async def fetch(self, request_id: str, wait_s: float) -> Reply | None:
        """The reply, or None when it is still pending after ``wait_s``.

        Raises:
            Gone: no such request (never made, from before a restart, or past its TTL).
        """
        entry = self._entries.get(request_id)
        if entry is None:
            raise Gone(f"request {request_id} is unknown here or its result has expired")
        entry.asked = time.monotonic()
        if entry.reply is None and not self._closing.is_set():
            waits = [
                asyncio.ensure_future(entry.ready.wait()),
                asyncio.ensure_future(self._closing.wait()),
            ]
            try:
                await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waits:
                    task.cancel()
        if entry.reply is not None and request_id in self._entries:
            entry.since = time.monotonic()
            self._unread.pop(request_id, None)
            self._read[request_id] = None
            self._read.move_to_end(request_id)
        return entry.reply

    def is_abandoned(self, request_id: str, seconds: float) -> bool:
        """Whether nobody has asked for a pending request for so long; the SDK always asks."""
        entry = self._entries.get(request_id)
        if entry is None or entry.reply is not None:
            return False
        return entry.asked < time.monotonic() - seconds

    def drop(self, request_id: str) -> None:
        """Forget a pending request; who asks for it after all is told to submit it again."""
        entry = self._entries.get(request_id)
        if entry is not None and entry.reply is None:
            del self._entries[request_id]
            self._count(entry.weight, -1)
            self.finished(request_id)

    def sweep(self) -> None:
        """Forget results past their time."""
        now = time.monotonic()
        read_ttl = min(self._ttl_s, self._limits.read_ttl_s)
        for order, ttl in ((self._read, read_ttl), (self._unread, self._ttl_s)):
            while order and self._entries[next(iter(order))].since <= now - ttl:
                self._forget(order)
        self._trim()

    def _trim(self) -> None:
        """Forget the oldest results beyond the limits, those that were fetched before others."""
        limits = self._limits
        while (
            len(self._read) + len(self._unread) > limits.results
            or self._bytes > limits.result_bytes
        ):
            self._forget(self._read or self._unread)

    def _forget(self, order: OrderedDict[str, None]) -> None:
        request_id, _ = order.popitem(last=False)
        entry = self._entries.pop(request_id)
        self._bytes -= len(entry.reply.body) if entry.reply else 0

    def close(self) -> None:
        """Let all waiting polls return, because the engine is ending."""
        self._closing.set()
