"""The engine as a process: loads the base, binds the port, announces itself, serves.

The only place where protocol and compute meet.
"""

import fcntl
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from training.engine.errors import EngineError
from training.engine.protocol.files import read_json, write_json
from training.engine.settings import EngineSettings, check_base_folder, new_key, prepare_process

logger = logging.getLogger(__name__)
LOCK_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Announcement:
    """Where a running engine is and what it serves."""

    url: str
    key: str
    pid: int
    base_model: str


def check_key(key: str) -> str:
    """Refuse a key that the SDK would not send.

    Raises:
        EngineError: it does not begin with ``tml-`` or is short.
    """
    if not key.startswith("tml-") or len(key) < 8 or not key.isascii() or " " in key:
        raise EngineError("the key must begin with tml- and have at least 8 characters, no spaces")
    return key


def _bind(settings: EngineSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    ports = [settings.prefer_port] if settings.prefer_port and not settings.port else []
    problem = None
    for port in [*ports, settings.port]:
        # asyncio sends small packets at once only on sockets that are named as TCP; otherwise every
        # answer waits some 40 ms for the other side's acknowledgement.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((settings.host, port))
            return sock
        except OSError as error:
            sock.close()
            problem = error
    raise EngineError(
        f"cannot listen on {settings.host}:{settings.port}: "
        f"{problem.strerror if problem else ''}; give another --port"
    )


def _lock(state_dir: Path) -> IO[str]:
    """Hold the state folder: two engines in one would overwrite each other."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        stream = (state_dir / "serving.lock").open("w")
    except OSError as error:
        raise EngineError(f"state folder {state_dir}: {error.strerror or error}") from error
    limit = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return stream
        except OSError as error:
            # One that is just ending is waited for.
            if time.monotonic() > limit:
                raise EngineError(
                    f"another engine already serves from {state_dir}; stop it or give another "
                    "--state DIR"
                ) from error
            time.sleep(0.2)


def serve(
    settings: EngineSettings,
    *,
    ready: Callable[[Announcement], None] = lambda _: None,
    announce: bool = True,
    stop: threading.Event | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT (or idle for ``idle_exit_s``).

    Args:
        settings: what to serve and where.
        ready: called once, when requests can come.
        announce: whether ``engine.json`` is written for ``connect`` to find.
        stop: serving ends when it is set (for engines in a thread, where signals do not come).

    Raises:
        EngineError: the engine cannot start.
    """
    prepare_process()
    key = new_key() if settings.key is None else check_key(settings.key)
    check_base_folder(settings.base_model)
    lock = _lock(settings.state_dir)
    sock = _bind(settings)

    # Imported here, after the environment is prepared: this is where torch comes in.
    import uvicorn

    from training.engine.compute.base import BaseModel
    from training.engine.compute.memory import large_blocks_apart
    from training.engine.compute.models import Models
    from training.engine.compute.worker import Worker
    from training.engine.protocol.app import build
    from training.engine.protocol.requests import Requests

    large_blocks_apart()
    base = BaseModel(settings.base_model, settings.device, settings.threads)
    models = Models(base, settings.state_dir / "parked", settings.model_budget_bytes)
    worker = Worker(models, settings.kv_budget_bytes, on_crash=lambda: os._exit(70))
    requests = Requests(settings, base.facts, worker, models.parked())
    app, gate = build(requests, key)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=120,
        backlog=2048,
    )
    server = _server(config, requests.futures.close)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    announcement = Announcement(
        f"http://{host}:{sock.getsockname()[1]}", key, os.getpid(), base.facts.name
    )
    worker.start()
    stop = stop or threading.Event()

    def on_ready() -> None:
        if announce:
            write_json(settings.announcement, vars(announcement), mode=0o600)
        ready(announcement)
        watch = (server, stop, settings, lambda: idle_seconds(gate, requests))
        threading.Thread(target=_watch, args=watch, daemon=True).start()

    server.on_ready = on_ready
    try:
        server.run(sockets=[sock])
    finally:
        stop.set()
        requests.release_all()
        worker.stop()
        requests.flush()
        told = read_json(settings.announcement)
        if announce and isinstance(told, dict) and told.get("pid") == os.getpid():
            settings.announcement.replace(settings.last_announcement)
        lock.close()


def idle_seconds(gate: Any, requests: Any) -> float:
    """Seconds since the last request; 0 while one is being worked on."""
    return 0.0 if requests.futures.pending else time.monotonic() - gate.last_request


def _watch(
    server: Any, stop: threading.Event, settings: EngineSettings, idle: Callable[[], float]
) -> None:
    """End the server when told to, when idle for too long, or when its supervisor is gone."""
    while not stop.wait(1.0):
        if settings.idle_exit_s and idle() > settings.idle_exit_s:
            logger.info("no request for %.0f s, ending", settings.idle_exit_s)
            break
        if settings.parent is not None and os.getppid() != settings.parent:
            logger.info("the supervisor is gone, ending")
            break
    server.should_exit = True


def _server(config: Any, on_exit: Callable[[], None]) -> Any:
    """Uvicorn's server, told apart in three ways; uvicorn is imported late, as torch is."""
    import uvicorn

    class Server(uvicorn.Server):
        """Tells when it listens, lets long polls go when it ends, and ends without a signal."""

        on_ready: Callable[[], None] = staticmethod(lambda: None)

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if not self.should_exit:
                self.on_ready()

        async def shutdown(self, sockets: Any = None) -> None:
            on_exit()
            await super().shutdown(sockets)

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            # uvicorn raises the signal again at the end, which would cut our own ending short.
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            signals = (signal.SIGINT, signal.SIGTERM)
            before = {s: signal.signal(s, self.handle_exit) for s in signals}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    return Server(config)
