"""What a start costs: importing the app that people label in, and `personaloop serve` to its 200.

Every run is a fresh process. The label app and the dashboards must not import torch or tinker;
what they would pay for it is the row's other side.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.ledger import build
from bench.measure import REPOSITORY, Measured, Side, interleave
from bench.rows import Row, compared

Work = Callable[[], dict[str, Any] | None]
SIZES = {"small": {"imports": 3, "starts": 2}, "full": {"imports": 7, "starts": 3}}
PATIENCE_S = 120.0
START_BAR_S = 10.0
APP = (
    "import importlib, pkgutil, annotate_app\n"
    "skip = ('annotate_app.app', 'annotate_app.app_pages')\n"
    "for found in pkgutil.walk_packages(annotate_app.__path__, 'annotate_app.'):\n"
    "    if not found.name.startswith(skip):\n"
    "        importlib.import_module(found.name)\n"
)
LIBRARIES = "import streamlit, sqlalchemy, pandas, altair, starlette, httpx\n"


def rows(size: str) -> list[Row]:
    """Every measurement of this subject."""
    choice = SIZES[size]
    return [*imports(choice["imports"]), serving(choice["starts"])]


def imports(rounds: int) -> list[Row]:
    """Seconds and memory of importing every module of the app but its page scripts."""
    ours, theirs, floor = interleave(
        [
            Side("ours", "bench.start:fresh_import", {"code": APP}),
            Side("import tinker", "bench.start:fresh_import", {"code": "import tinker\n"}),
            Side("floor", "bench.start:fresh_import", {"code": LIBRARIES}),
        ],
        rounds,
    )
    libraries = "importing streamlit, sqlalchemy, pandas, altair, starlette and httpx alone"
    first = compared(
        "start",
        "importing the label app and the dashboards",
        ours,
        theirs,
        inside=False,
        floor=floor.median,
        floor_is=libraries,
    )
    if ours.values:
        loaded = ours.last("loaded")
        first.notes.append(
            f"torch, tinker, transformers, peft imported by it: {', '.join(loaded) or 'none'}"
        )
    second = compared("start", "memory of that process", ours, theirs, unit="MB", inside=False)
    second.ours, second.theirs, second.floor = (_memory(side) for side in (ours, theirs, floor))
    return [first, second]


def serving(rounds: int) -> Row:
    """The second start as `make run` does it, until /healthz says that all is ready."""
    with tempfile.TemporaryDirectory(prefix="personaloop-bench-") as folder:
        build(Path(folder) / "personaloop.db", 400)
        ours, theirs = interleave(
            [
                Side("ours", "bench.start:second_start", {"outputs": folder}),
                Side("streamlit run of an empty page", "bench.start:empty_page"),
            ],
            rounds,
        )
    row = compared(
        "start",
        "second start (init, serve: app, database, engine) to the first 200",
        ours,
        theirs,
        inside=False,
    )
    if ours.median is not None:
        met = "met" if ours.median < START_BAR_S else "missed"
        page = sorted(ours.pooled("page"))
        row.notes.append(f"under {START_BAR_S:.0f} s: {met}")
        row.notes.append(f"the app's first page answers after {page[len(page) // 2]:.1f} s")
    return row


def _memory(side: Measured) -> float | None:
    found = sorted(value["bytes"] for value in side.values)
    return float(found[len(found) // 2]) if found else None


# --- sides ----------------------------------------------------------------------------------------


@contextmanager
def fresh_import(code: str) -> Iterator[Work]:
    """A new interpreter that runs the imports and tells how long they took."""
    program = (
        "import time\nstarted = time.perf_counter()\n" + code + "seconds = time.perf_counter()"
        " - started\nimport json, sys\nfrom bench.side import resident\n"
        "names = [n for n in ('torch', 'tinker', 'transformers', 'peft') if n in sys.modules]\n"
        "print(json.dumps({'seconds': seconds, 'bytes': resident('VmHWM'), 'loaded': names}))\n"
    )

    def work() -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
        return json.loads(done.stdout.splitlines()[-1])

    yield work


@contextmanager
def second_start(outputs: str) -> Iterator[Work]:
    """`personaloop init --sample`, then `personaloop serve`; the warm-up was the first start."""
    env = {k: v for k, v in os.environ.items() if k not in {"TINKER_API_KEY", "DATABASE_URL"}}
    env["PERSONALOOP_OUTPUTS"] = outputs
    command = [sys.executable, "-m", "personaloop"]

    def work() -> dict[str, Any]:
        started = time.perf_counter()
        subprocess.run(
            [*command, "init", "--sample"], env=env, cwd=REPOSITORY, check=True, capture_output=True
        )
        port = _free_port()
        with _running([*command, "serve", "--port", str(port)], env) as process:
            page = _first_200(process, f"http://127.0.0.1:{port}/") - started
            ready = _first_200(process, f"http://127.0.0.1:{port}/healthz") - started
        return {"seconds": ready, "page": [page]}

    yield work


@contextmanager
def empty_page() -> Iterator[Work]:
    """Streamlit's own server with one line on its page."""
    with tempfile.TemporaryDirectory(prefix="personaloop-bench-") as folder:
        script = Path(folder) / "page.py"
        script.write_text("import streamlit as st\nst.write('hello')\n", encoding="utf-8")

        def work() -> dict[str, Any]:
            port = _free_port()
            command = [sys.executable, "-m", "streamlit", "run", str(script)]
            options = ["--server.port", str(port), "--server.headless", "true"]
            started = time.perf_counter()
            with _running([*command, *options], dict(os.environ)) as process:
                ready = _first_200(process, f"http://127.0.0.1:{port}/_stcore/health")
            return {"seconds": ready - started}

        yield work


@contextmanager
def _running(command: Sequence[str], env: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        command,
        env=dict(env),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _first_200(process: "subprocess.Popen[bytes]", url: str) -> float:
    """The moment of the first answer 200.

    Raises:
        RuntimeError: the process ended, or there was none in time.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    limit = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < limit:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with status {process.returncode} before it answered")
        try:
            with opener.open(url, timeout=2) as answer:
                if answer.status == 200:
                    return time.perf_counter()
        except OSError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"no 200 from {url} in {PATIENCE_S:.0f} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
