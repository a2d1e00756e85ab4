"""Engines for tests: one in a thread, or one as a process that can be killed."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from training.engine.connection import find, prepare_client, start, wait_ready
from training.engine.serve import Announcement, serve
from training.engine.settings import EngineSettings

KEY = "tml-test-key-0123456789"


@dataclass
class Running:
    """Where a test's engine is, and ways to talk to it."""

    url: str
    settings: EngineSettings

    def client(self):
        import tinker

        return tinker.ServiceClient(base_url=self.url, api_key=KEY)

    def post(self, path: str, json: object = None, key: str | None = KEY, **kwargs):
        headers = {"X-API-Key": key} if key is not None else {}
        url = f"{self.url}{path}" if path.startswith("/download") else f"{self.url}/api/v1{path}"
        return httpx.request(
            kwargs.pop("method", "POST"),
            url,
            json=json,
            headers=headers,
            trust_env=False,
            timeout=30,
            **kwargs,
        )

    def get(self, path: str, **kwargs):
        return self.post(path, method="GET", **kwargs)


@contextmanager
def engine_in_thread(settings: EngineSettings) -> Iterator[Running]:
    prepare_client()
    told: list[Announcement] = []
    ready, stop = threading.Event(), threading.Event()
    failure: list[BaseException] = []

    def run() -> None:
        try:
            serve(
                replace(settings, key=KEY),
                ready=lambda a: (told.append(a), ready.set()),
                stop=stop,
            )
        except BaseException as error:  # noqa: BLE001
            failure.append(error)
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(120), "the engine was not ready in time"
    if failure:
        raise failure[0]
    try:
        yield Running(told[0].url, settings)
    finally:
        stop.set()
        thread.join(30)


class EngineProcess:
    """An engine as a process, on a fixed port, to be killed and started again."""

    def __init__(self, settings: EngineSettings):
        prepare_client()
        self.settings = replace(settings, key=KEY)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Running:
        self.process = start(self.settings)
        told = wait_ready(self.settings, self.process)
        # The same address after a restart, as the supervised engine's clients would have it.
        self.settings = replace(self.settings, port=int(told["url"].rpartition(":")[2]))
        return Running(told["url"], self.settings)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        limit = time.monotonic() + 10
        while find(self.settings) is not None and time.monotonic() < limit:
            time.sleep(0.05)

    def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def __enter__(self) -> "EngineProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


def run_engine_command(*arguments: str, env: dict[str, str] | None = None, timeout: float = 180):
    """``python -m training.engine …``, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "training.engine", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        cwd=Path(__file__).resolve().parents[3],
    )
