"""Finding and starting the engine from the client's side.

``connect()`` gives a ``tinker.ServiceClient``. The SDK waits minutes for a server that is not
there, so the engine is always asked for its health first. Imports tinker only inside ``connect``.
"""

import fcntl
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from training.engine.errors import EngineError
from training.engine.protocol.files import read_json
from training.engine.settings import EngineSettings, base_model_name, new_key

if TYPE_CHECKING:
    import tinker

logger = logging.getLogger(__name__)
POLL_S = 0.1
ASK_S = 3.0
BUSY_S = 60.0
IDLE_EXIT_S = 1800.0
KEY_VARIABLE = "PERSONALOOP_ENGINE_KEY"
LOG_LINES = 12


def connect(settings: EngineSettings | None = None) -> "tinker.ServiceClient":
    """A service client: hosted when ``TINKER_API_KEY`` is set, else the local engine.

    A healthy engine that announced itself in the state folder is used; otherwise one is started in
    the background (it ends by itself after half an hour without a request).

    Args:
        settings: of the local engine; defaults from the environment.

    Raises:
        EngineError: the local engine cannot be started, or serves another base model.
    """
    if os.environ.get("TINKER_API_KEY"):
        import tinker

        return tinker.ServiceClient()
    told = find_or_start(settings or EngineSettings())
    prepare_client()
    import tinker

    return tinker.ServiceClient(base_url=told["url"], api_key=told["key"])


def prepare_client() -> None:
    """Set what the SDK reads from the environment for a local engine: no proxy, no telemetry."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [h for h in os.environ.get(name, "").split(",") if h]
        for host in ("127.0.0.1", "localhost", "::1"):
            if host not in hosts:
                hosts.append(host)
        os.environ[name] = ",".join(hosts)
    os.environ.setdefault("TINKER_TELEMETRY", "0")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def announced(settings: EngineSettings) -> dict[str, Any] | None:
    """What the state folder says of a running engine: ``url``, ``key``, ``pid``, ``base_model``."""
    told = read_json(settings.announcement)
    if not isinstance(told, dict) or not {"url", "key", "pid", "base_model"} <= set(told):
        return None
    return told


def find(settings: EngineSettings, *, patience_s: float = 0.0) -> dict[str, Any] | None:
    """The healthy engine that announced itself in the state folder, or None.

    Args:
        settings: whose state folder is looked at.
        patience_s: how long an engine that is there but too busy to answer is asked again; one
            that is not there is never waited for.

    Returns:
        ``url``, ``key``, ``pid`` and ``base_model``.
    """
    limit = time.monotonic() + patience_s
    while True:
        told = announced(settings)
        answer = _ask(told["url"], told["key"]) if told else False
        if answer:
            return told
        if answer is False or time.monotonic() > limit:
            return None


def is_healthy(url: str, key: str) -> bool:
    """Whether an engine answers there and takes the key."""
    return bool(_ask(url, key))


def _ask(url: str, key: str) -> bool | None:
    """True: ready. False: nothing there, or not ours. None: there, but no answer in time."""
    try:
        with httpx.Client(trust_env=False, timeout=ASK_S) as client:
            ready = client.get(f"{url}/healthz")
            if ready.status_code != 200 or ready.json().get("status") != "ok":
                return False
            ours = client.get(f"{url}/api/v1/get_server_capabilities", headers={"X-API-Key": key})
            return ours.status_code == 200
    except httpx.TimeoutException:
        return None
    except (httpx.HTTPError, ValueError):
        return False


def find_or_start(settings: EngineSettings) -> dict[str, Any]:
    """A healthy engine, started in the background when there is none.

    Raises:
        EngineError: it does not start, or serves another base model than the settings name.
    """
    told = find(settings, patience_s=BUSY_S)
    if told is None:
        with start_lock(settings):
            told = find(settings)  # somebody else may have started it while we waited
            if told is None:
                idle = settings.idle_exit_s or IDLE_EXIT_S
                process = start(replace(settings, idle_exit_s=idle))
                told = wait_ready(settings, process)
    wanted = base_model_name(settings.base_model)
    if told["base_model"] != wanted:
        raise EngineError(
            f"the engine at {told['url']} serves {told['base_model']}, wanted {wanted}; stop it "
            f"(kill {told['pid']}) or use another state folder (PERSONALOOP_OUTPUTS)"
        )
    return told


@contextmanager
def start_lock(settings: EngineSettings) -> Iterator[None]:
    """One starts, the others wait and then find it."""
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        stream = (settings.state_dir / "start.lock").open("w")
    except OSError as error:
        raise EngineError(
            f"state folder {settings.state_dir}: {error.strerror or error}"
        ) from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def start(settings: EngineSettings) -> "subprocess.Popen[bytes]":
    """Start an engine process of its own session, writing to the state folder's log.

    Where the settings leave them open, it gets the key and, if free, the port of the engine that
    was there before, so that clients of that one find their way back.
    """
    last = read_json(settings.announcement) or read_json(settings.last_announcement) or {}
    port = str(last.get("url", "")).rpartition(":")[2]
    command = [
        sys.executable,
        "-m",
        "training.engine",
        f"--host={settings.host}",
        f"--port={settings.port}",
        *([f"--prefer-port={port}"] if port.isdigit() and not settings.port else []),
        f"--base-model={settings.base_model}",
        f"--state={settings.state_dir}",
        *(f"--adapters={root}" for root in settings.adapters),
    ]
    if settings.idle_exit_s:
        command.append(f"--idle-exit={settings.idle_exit_s}")
    if settings.parent is not None:
        command.append(f"--parent={settings.parent}")
    if settings.device:
        command.append(f"--device={settings.device}")
    if settings.threads:
        command.append(f"--threads={settings.threads}")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.update(GOMP_SPINCOUNT="0", OMP_WAIT_POLICY="passive")
    # By the environment, so that neither the process list nor the log shows it.
    environment[KEY_VARIABLE] = settings.key or str(last.get("key") or new_key())
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with settings.log_file.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=Path(__file__).resolve().parents[2],
            start_new_session=True,
        )


def wait_ready(
    settings: EngineSettings,
    process: "subprocess.Popen[bytes]",
    given_up: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Wait until the started process serves, or the caller gives up.

    Raises:
        EngineError: it ended or took too long; the message has the log's last lines.
    """
    limit = time.monotonic() + settings.start_timeout_s
    while time.monotonic() < limit and not given_up():
        if process.poll() is not None:
            raise EngineError(
                f"the engine ended with status {process.returncode} while starting: "
                f"{_log_tail(settings)}"
            )
        told = read_json(settings.announcement)
        if isinstance(told, dict) and told.get("pid") == process.pid:
            found = find(settings)
            if found is not None:
                return found
        time.sleep(POLL_S)
    process.terminate()
    raise EngineError(
        f"the engine was not ready after {settings.start_timeout_s:.0f} s: {_log_tail(settings)}"
    )


def _log_tail(settings: EngineSettings) -> str:
    try:
        lines = settings.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"no log at {settings.log_file}"
    return " | ".join(line for line in lines[-LOG_LINES:] if line.strip()) or "its log is empty"
