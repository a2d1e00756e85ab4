"""Fifty people judging at once on one Streamlit process: from the press to the next pair.

Each is a client on the app's own websocket, signed in by a cookie, who waits until the verdicts may
be pressed and then thinks for some seconds. The clock runs from sending the answer until the next
pair's token has come and the page's run is finished; the browser's drawing is not in it. There is
no peer. Processor time is that of the page's runs, Streamlit's part of them included, divided by
the judgments of one person judging alone.
"""

import asyncio
import json
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.ledger import build
from bench.measure import REPOSITORY, percentile
from bench.rows import Row

SIZES = {
    "small": {"judgments": 10_000, "people": 10, "each": 4},
    "full": {"judgments": 1_000_000, "people": 50, "each": 8},
}
THINKS_S = (4.0, 12.0)
"""A person's pace beyond the least time on a pair, drawn evenly."""
PATIENCE_S = 60.0
PAGE_BAR_S = 0.050
TRIGGER = "$$STREAMLIT_INTERNAL_KEY_{}__events"


def rows(size: str) -> list[Row]:
    """The wait for the next pair, and the page's own work."""
    choice = SIZES[size]
    with tempfile.TemporaryDirectory(prefix="personaloop-bench-") as folder:
        url = build(Path(folder) / "ledger.db", choice["judgments"])
        with served(Path(folder), url) as server:
            alone = asyncio.run(crowd(server, 1, 5 + choice["each"]))
        with served(Path(folder), url) as server:
            many = asyncio.run(crowd(server, choice["people"], choice["each"]))
    return [
        *waits(many, choice["people"], choice["judgments"]),
        work(alone, choice["judgments"]),
    ]


def waits(told: "Told", people: int, judgments: int) -> list[Row]:
    """Median and p95 from answer to next pair."""
    found = []
    for name, share in (("median", 0.5), ("p95", 0.95)):
        row = Row(
            "sessions",
            f"answer to next pair, {name}, {people} people at once, {judgments:,} judgments",
            "ms",
            percentile(told.seconds, share),
            "",
            None,
            runs={"answers": told.seconds},
        )
        row.notes.append(
            f"{len(told.seconds)} answers at {len(told.seconds) / told.wall:.1f} a second;"
            f" our code held {told.ours:.0%} of the page threads' time"
        )
        found.append(row)
    return found


def work(told: "Told", judgments: int) -> Row:
    """Processor time a judgment where one person judges."""
    each = told.cpu / len(told.seconds)
    row = Row(
        "sessions",
        f"processor time of the page's runs a judgment, {judgments:,} judgments",
        "ms",
        each,
        "",
        None,
    )
    own = each * told.ours
    met = "met" if own <= PAGE_BAR_S else "missed"
    row.notes.append(
        f"our share of its time {told.ours:.0%}, so {own * 1e3:.0f} ms; at most"
        f" {PAGE_BAR_S * 1e3:.0f} ms: {met}"
    )
    return row


@dataclass
class Server:
    """A running app."""

    port: int
    database: str
    process: "subprocess.Popen[bytes]"
    samples: Path

    def seen(self) -> dict[str, int]:
        """Whose moments the sampler has seen so far, and the page runs' microseconds (cpu)."""
        return json.loads(self.samples.read_text()) if self.samples.exists() else {}


@dataclass
class Told:
    """What a crowd met."""

    seconds: list[float] = field(default_factory=list)
    cpu: float = 0.0
    wall: float = 0.0
    ours: float = 0.0


@contextmanager
def served(folder: Path, url: str) -> Iterator[Server]:
    """The app on a free port, its page threads sampled."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    samples = folder / f"samples-{port}.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.sampled_app", "--port", str(port), "--tell", str(samples)],
        cwd=REPOSITORY,
        env={**os.environ, "DATABASE_URL": url, "PERSONALOOP_OUTPUTS": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_up(port, process)
        yield Server(port, url, process, samples)
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_up(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
            return
        except urllib.error.HTTPError:
            return  # it answers: there is no engine here
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the app did not start")


# --- the people -----------------------------------------------------------------------------------


async def crowd(server: Server, people: int, each: int) -> Told:
    """Everybody opens the page, then judges side by side; what they met after the first pair."""
    members = [Person(server, cookie, n) for n, cookie in enumerate(_signed_in(server, people))]
    told = Told()
    await asyncio.gather(*(person.open() for person in members))
    await asyncio.sleep(1.0)
    seen, began = server.seen(), time.perf_counter()
    await asyncio.gather(*(person.judge(each, told.seconds) for person in members))
    told.wall = time.perf_counter() - began
    await asyncio.sleep(1.0)
    moments = {name: number - seen.get(name, 0) for name, number in server.seen().items()}
    told.cpu = moments.pop("cpu", 0) / 1e6
    told.ours = moments.get("ours", 0) / max(1, sum(moments.values()))
    for person in members:
        await person.close()
    return told


def _signed_in(server: Server, people: int) -> list[str]:
    """Cookies of new evaluators, through the ledger's own verbs."""
    from db.people import invite, redeem
    from db.session import sessions

    cookies = []
    for _ in range(people):
        with sessions(server.database).begin() as session:
            link = invite(session, f"evaluator {secrets.token_hex(4)}", "evaluator")
            cookies.append(redeem(session, link))
    return cookies


class Person:
    """One signed-in browser session, as Streamlit's own client speaks."""

    def __init__(self, server: Server, cookie: str, seed: int) -> None:
        self.server = server
        self.cookie = cookie
        self.chance = random.Random(seed)
        self.token, self.ready_at, self.panel = "", 0.0, ""
        self.page = ""
        self.said: Any = None

    async def open(self) -> None:
        """Connect and see the first pair."""
        from websockets.asyncio.client import connect

        self.socket = await connect(
            f"ws://127.0.0.1:{self.server.port}/_stcore/stream",
            additional_headers={"Cookie": f"personaloop_login={self.cookie}"},
            subprotocols=["streamlit"],  # pyright: ignore[reportArgumentType]
            max_size=None,
        )
        await self._rerun("label", None)
        await self._until_finished()
        if not self.token:
            raise RuntimeError("the page showed no pair")

    async def judge(self, each: int, seconds: list[float]) -> None:
        """Answer some pairs at a person's pace."""
        for _ in range(each):
            await self._idle(max(0.0, self.ready_at - time.monotonic()))
            await self._idle(self.chance.uniform(*THINKS_S))
            before = self.token
            verdict = self.chance.choice(("a", "b", "tie"))
            answer = {
                "id": secrets.token_hex(8),
                "token": before,
                "act": "judge",
                "verdict": verdict,
                "strength": None if verdict == "tie" else 1,
                "details": {},
            }
            began = time.perf_counter()
            await self._rerun("", answer)
            await self._until_finished(other_than=before)
            seconds.append(time.perf_counter() - began)

    async def close(self) -> None:
        """Leave."""
        await self.socket.close()

    async def _idle(self, seconds: float) -> None:
        """Think, and read what the page's fragments send meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                self._read(await asyncio.wait_for(self.socket.recv(), left))
            except TimeoutError:
                return

    async def _rerun(self, page: str, answer: dict[str, Any] | None) -> None:
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        state = message.rerun_script
        if page:
            state.page_name = page
        else:
            state.page_script_hash = self.page
        if answer is not None:
            widget = state.widget_states.widgets.add()
            widget.id = TRIGGER.format(self.panel)
            widget.json_trigger_value = json.dumps([{"event": "answer", "value": answer}])
        await self.socket.send(message.SerializeToString())

    async def _until_finished(self, other_than: str | None = None) -> None:
        """Read until a whole run is over, and the pair is another one."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                raw = await asyncio.wait_for(self.socket.recv(), end - time.monotonic())
            except TimeoutError:
                raise RuntimeError(
                    f"no next pair came in {PATIENCE_S:.0f} s: {self.said}"
                ) from None
            finished = self._read(raw)
            if finished and self.token and self.token != other_than:
                return

    def _read(self, raw: Any) -> bool:
        """Take what a message says; whether it ends a run of the whole page."""
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        message = ForwardMsg()
        message.ParseFromString(raw)
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self.page = message.new_session.page_script_hash
        elif kind == "delta":
            element = message.delta.new_element
            if element.WhichOneof("type") == "bidi_component":
                self._see(element.bidi_component)
        return kind == "script_finished" and message.script_finished == 0

    def _see(self, panel: Any) -> None:
        said = json.loads(panel.json) if panel.json else {}
        self.said = said.get("status")
        if said.get("token"):
            self.panel, self.token = panel.id, said["token"]
            self.ready_at = time.monotonic() + said["wait_ms"] / 1000 + 0.05
