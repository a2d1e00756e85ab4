"""A proxy between client and engine that fails on purpose: lost networks, limits, cut downloads."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Rule:
    """What happens to requests whose first line has a text, so many times."""

    where: str
    times: int
    status: int = 0
    headers: str = ""
    body: str = '{"detail": "on purpose"}'
    cut_after: int | None = None
    delay: float = 0.0


@dataclass
class Faults:
    """The proxy's state; tests change it while it runs."""

    upstream: tuple[str, int]
    url: str = ""
    down: bool = False
    rules: list[Rule] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None

    def limit(self, where: str, times: int, retry_after: float) -> None:
        """Answer 429 so many times."""
        self.rules.append(Rule(where, times, 429, f"retry-after: {retry_after:g}\r\n"))

    def fail(self, where: str, times: int, status: int, body: str = '{"detail": "no"}') -> None:
        """Answer another status so many times."""
        self.rules.append(Rule(where, times, status, body=body))

    def cut(self, where: str, times: int, after: int) -> None:
        """Break the connection after so many bytes of the answer."""
        self.rules.append(Rule(where, times, cut_after=after))

    def hold(self, where: str, times: int, seconds: float) -> None:
        """Take a poll and say after a while that there is nothing yet."""
        self.rules.append(Rule(where, times, 408, delay=seconds))

    def lose(self) -> None:
        """The network is gone: what is open breaks, and nothing is let in."""
        self.down = True
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._break_all)

    def find(self) -> None:
        """The network is back."""
        self.down = False

    def seen(self, text: str) -> int:
        """How many requests' first lines had a text."""
        return sum(text in line for line in self.history)

    def _break_all(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    def _rule(self, line: str) -> Rule | None:
        for rule in self.rules:
            if rule.times > 0 and rule.where in line:
                rule.times -= 1
                return rule
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        if self.down:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            await self._pass_on(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            with suppress(OSError, RuntimeError):
                writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        length = next(
            (int(x.partition(":")[2]) for x in lines if x.lower().startswith("content-length:")), 0
        )
        body = await reader.readexactly(length) if length else b""
        self.history.append(lines[0])
        rule = self._rule(lines[0])
        if rule is not None and rule.status:
            await asyncio.sleep(rule.delay)
            told = rule.body.encode()
            writer.write(
                f"HTTP/1.1 {rule.status} On purpose\r\n{rule.headers}connection: close\r\n"
                f"content-type: application/json\r\ncontent-length: {len(told)}\r\n\r\n".encode()
                + told
            )
            await writer.drain()
            return
        kept = [x for x in lines[:-2] if not x.lower().startswith("connection:")]
        up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        try:
            up_writer.write("\r\n".join([*kept, "connection: close", "", ""]).encode("latin-1"))
            up_writer.write(body)
            await up_writer.drain()
            left = None if rule is None else rule.cut_after
            while part := await up_reader.read(65536):
                if left is not None:
                    if len(part) >= left:
                        writer.write(part[:left])
                        await writer.drain()
                        writer.transport.close()
                        return
                    left -= len(part)
                writer.write(part)
                await writer.drain()
        finally:
            up_writer.close()


@contextmanager
def proxy(upstream: str) -> Iterator[Faults]:
    """A faulty way to an engine."""
    parts = urlsplit(upstream)
    faults = Faults((parts.hostname or "", parts.port or 0))
    ready = threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(faults.serve, "127.0.0.1", 0)
        faults._loop = asyncio.get_running_loop()
        faults.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()
        faults._break_all()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield faults
    finally:
        assert faults._loop is not None
        faults._loop.call_soon_threadsafe(stop.set)
        thread.join(10)
