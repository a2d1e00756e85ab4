"""``personaloop serve``: the app, the local engine and a worker, run and stopped together.

Imports neither streamlit nor torch; each runs in a process of its own.
"""

import json
import logging
import os
import socket
import sys
import time
from pathlib import Path

import click
import httpx
from sqlalchemy import select

from annotate_app.processes import Child, stop_all, until_stopped
from db import audit, guidelines, people
from db.clock import utcnow
from db.command_options import actor, database_option
from db.errors import PersonaLoopError
from db.models import Comparison, Persona, Role
from db.session import ledger_url, readers, sessions, upgrade
from db.settings import REPOSITORY, app_url_file, outputs_dir
from db.writing import write_atomically

log = logging.getLogger(__name__)

OWNER = "owner"
FIRST_PAIRS = "first_pairs.json"
READY_S = 60.0


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Anything else than this machine's own is for a network you trust.",
)
@click.option("--no-engine", is_flag=True, help="Do not start the local engine.")
@click.option("--no-worker", is_flag=True, help="Do not start a worker for queued jobs.")
@database_option
def serve(port: int, host: str, no_engine: bool, no_worker: bool, database_url: str | None) -> None:
    """Run the app, with the local engine and a worker beside it, until Ctrl+C.

    Prints the app's address and a one-time link that signs you in as the owner. With
    TINKER_API_KEY set, the hosted engine is used and none is started here. Logs are in
    outputs/logs/.
    """
    _refuse_taken_port(host, port)
    env = _environment(database_url, host, port)
    os.environ.update(env)
    address = env["PERSONALOOP_URL"]
    children = _children(host, port, env, engine=not no_engine, worker=not no_worker)
    app = children[0]
    app.tick()  # its libraries load while we look after the database
    others: list[Child] = []
    try:
        _prepare_ledger()
        with sessions().begin() as session:
            link = people.invite(session, OWNER, Role.ADMIN)
            audit.record(session, actor(), "invite", OWNER, role="admin")
        first = _FirstPairs(env, wanted=not no_engine and not _has_comparisons())
        others = first.children
        if not _answers(app, address):
            raise PersonaLoopError(f"the app did not start; {_last_words(app)}")
        write_atomically(app_url_file(), lambda file: file.write(address.encode()))
        click.echo(f"\n  PersonaLoop is running on {address}")
        click.echo(f"  Sign in (works once):     {address}/invite/{link}")
        click.echo("  Stop with Ctrl+C. Everything judged is saved as it happens.\n")
        sys.stdout.flush()

        def tick() -> bool:
            for child in children:
                child.tick()
            first.tick()
            return True

        until_stopped(tick)
    finally:
        stop_all([*reversed(children), *others])


def _environment(database_url: str | None, host: str, port: int) -> dict[str, str]:
    """What the children need to find the same ledger and outputs, whatever their folder."""
    url = ledger_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        url = url.set(database=str(Path(url.database).resolve()))
    shown_host = "127.0.0.1" if host in {"0.0.0.0", "::", "localhost"} else host  # noqa: S104
    return {
        **os.environ,
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "PERSONALOOP_OUTPUTS": str(outputs_dir()),
        "PERSONALOOP_URL": f"http://{shown_host}:{port}",
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "0"),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),
        "PYTHONUNBUFFERED": "1",
    }


def _refuse_taken_port(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except PermissionError:
        raise PersonaLoopError(f"port {port} needs more rights; choose one above 1023") from None
    except OSError as error:
        if isinstance(error, socket.gaierror):
            raise PersonaLoopError(f"{host!r} is not an address of this machine") from None
        raise PersonaLoopError(
            f"port {port} on {host} is taken ({error.strerror}); stop what uses it or choose"
            " another with --port (make run PORT=8502)"
        ) from None


def _prepare_ledger() -> None:
    """Bring the database to this version; an empty one gets the shipped personas and prompts."""
    upgrade()
    with sessions().begin() as session:
        guidelines.load_first(session)
    with readers()() as session:
        fresh = session.scalar(select(Persona.slug).limit(1)) is None
    if fresh:
        from db.sample import load_sample

        with sessions().begin() as session:
            load_sample(session)


def _has_comparisons() -> bool:
    with readers()() as session:
        return session.scalar(select(Comparison.id).limit(1)) is not None


def _children(
    host: str, port: int, env: dict[str, str], *, engine: bool, worker: bool
) -> list[Child]:
    logs = outputs_dir() / "logs"
    python = sys.executable
    children = [
        Child(
            "the app",
            [python, "-m", "annotate_app.server", "--host", host, "--port", str(port)],
            env,
            REPOSITORY,
            logs / "app.log",
        )
    ]
    if engine and not os.environ.get("TINKER_API_KEY"):
        command = [python, "-m", "training.engine.supervise"]
        children.append(Child("the engine", command, env, REPOSITORY, logs / "engine.log"))
    if worker:
        command = [python, "-m", "personaloop", "work"]
        children.append(Child("the worker", command, env, REPOSITORY, logs / "worker.log"))
    return children


def _answers(app: Child, address: str) -> bool:
    """Wait until the app answers; False where it ended instead, or takes too long."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end and app.running:
        try:
            with httpx.Client(timeout=1.0, trust_env=False) as client:
                client.get(f"{address}/healthz")
            return True
        except httpx.HTTPError:
            time.sleep(0.1)
    return False


def _last_words(app: Child) -> str:
    """Where the app's log is, and its last line."""
    try:
        lines = app.log_file.read_text("utf-8", "replace").split("\n") if app.log_file else []
    except OSError:
        lines = []
    said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"its log is {app.log_file}, which ends: {said}"


class _FirstPairs:
    """Has the first pairs written on a fresh ledger, once the engine is ready."""

    def __init__(self, env: dict[str, str], *, wanted: bool) -> None:
        self.env = env
        self.children: list[Child] = []
        self.waiting = wanted
        self.file = outputs_dir() / FIRST_PAIRS
        self.tries = 0
        self._look = 0.0
        if wanted:
            self._tell("waiting")
        else:
            self.file.unlink(missing_ok=True)

    def tick(self) -> None:
        """Look at the engine once a second; start the command when it is ready, watch it after."""
        if self.waiting and time.monotonic() >= self._look:
            self._look = time.monotonic() + 1.0
            if self._engine_ready():
                self.waiting = False
                self._begin()
        for child in self.children:
            was = child.process
            child.tick()
            if was is not None and child.process is None:
                self._ended(child)

    def _begin(self) -> None:
        self.tries += 1
        self._tell("writing")
        self.children[:] = [
            Child(
                "the first pairs",
                [sys.executable, "-m", "personaloop", "generate", "--first"],
                self.env,
                REPOSITORY,
                outputs_dir() / "logs" / "first_pairs.log",
                restart=False,
            )
        ]

    def _ended(self, child: Child) -> None:
        if child.exit_status == 0:
            self.file.unlink(missing_ok=True)
            log.info("the first pairs are ready")
        elif self.tries < 3 and not _has_comparisons():
            self.waiting = True
            self._look = time.monotonic() + 5.0
        else:
            log.warning("the first pairs could not be written; see %s", child.log_file)
            self._tell("failed", f"The reason is in {child.log_file}.")

    def _engine_ready(self) -> bool:
        if os.environ.get("TINKER_API_KEY"):
            return True
        try:
            known = json.loads((outputs_dir() / "engine" / "engine.json").read_text("utf-8"))
            with httpx.Client(timeout=1.0, trust_env=False) as client:
                answer = client.get(f"{str(known['url']).rstrip('/')}/healthz")
        except (OSError, ValueError, KeyError, TypeError, httpx.HTTPError):
            return False
        return answer.status_code == 200

    def _tell(self, state: str, message: str = "") -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        known = {"state": state, "since": utcnow().isoformat(), "message": message}
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(known), encoding="utf-8")
        temporary.replace(self.file)
