"""Mishaps made on purpose, for the browser tests: a wire that can be cut, a ledger that is busy."""

import contextlib
import socket
import sqlite3
import threading
from collections.abc import Iterator


class Wire:
    """Carries bytes between a port of its own and a server's, until it is cut."""

    def __init__(self, to: int) -> None:
        self.to = to
        self.whole = True
        self.ends: set[socket.socket] = set()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop every connection and refuse new ones."""
        self.whole = False
        for end in list(self.ends):
            _drop(end)

    def mend(self) -> None:
        """Let new connections through again."""
        self.whole = True

    def close(self) -> None:
        """End for good."""
        self.cut()
        _drop(self.listening)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listening.accept()
            except OSError:  # closed
                return
            if not self.whole:
                _drop(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:  # the server is gone: so is this connection
                _drop(near)
                continue
            self.ends |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):  # cut in the middle of something, as wires are
            while data := one.recv(65_536):
                other.sendall(data)
        for end in (one, other):
            _drop(end)
            self.ends.discard(end)


def _drop(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was faster
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextlib.contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """A wire to a server's port."""
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()


@contextlib.contextmanager
def write_lock(database: str) -> Iterator[None]:
    """Somebody else writes to an SQLite ledger: nobody can store anything meanwhile."""
    with contextlib.closing(
        sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
    ) as holder:
        holder.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            holder.execute("ROLLBACK")
