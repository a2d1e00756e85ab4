"""A real server on a free port, with a ledger and outputs of its own, for the browser tests."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from db.adapters import put_adapter
from db.batches import open_batch, put_comparison
from db.candidates import put_candidate
from db.people import invite
from db.personas import put_persona
from db.prompts import put_prompt
from db.session import sessions, upgrade

REPOSITORY = Path(__file__).resolve().parents[2]
TALKS = [
    [{"role": "user", "content": "How can I reset my password?"}],
    [
        {"role": "user", "content": "My parcel with the NovaBrew 3 has not arrived."},
        {"role": "assistant", "content": "I am sorry to hear that. When did you order it?"},
        {"role": "user", "content": "Last Monday. It was a present for my sister, what now?"},
    ],
    [{"role": "user", "content": "Is the premium plan worth it if I only travel twice a year?"}],
    [{"role": "user", "content": "the app keeps crashing when i open settings, help"}],
]
REPLIES = [
    (
        "Certainly. On the sign-in page, choose **Forgot password** and follow the link in the"
        " message that we send you. It stays valid for one hour.\n\nShould it not arrive within"
        " five minutes, kindly look into your spam folder, or write to us again and we shall send"
        " another one at once.",
        "Oh no, locked out? Happens to the best of us! Here is the way back in:\n\n"
        "1. Tap **Forgot password**\n2. Open the link we mail you\n3. Pick a shiny new password\n\n"
        "Two minutes, tops. Shout if the mail plays hide and seek!",
    ),
    (
        "I am sorry that the present is late. Your NovaBrew 3 left our house on Tuesday and is"
        " due tomorrow before noon. If it is not with your sister by then, I will send a second"
        " one by express, free of charge.",
        "That is annoying, and before a birthday too! It is on the van for tomorrow morning. If"
        " it misses the party, a new one races out to you at once, on us.",
    ),
    (
        "For two journeys a year the plan pays for itself if you check a bag or change a booking"
        " even once: each of these is free on *premium* and costs 30 otherwise.",
        "Honestly? Twice a year is borderline. If you ever check a bag, yes; if you travel light,"
        " keep your money and treat yourself to a nice dinner instead.",
    ),
    (
        "Please update to the latest version, then open **Settings** once more. If it still"
        " closes, remove the app's cache under *Storage*; your data stays.",
        "Ugh, crashes are the worst. Update the app, restart your phone, try again. Still"
        " grumpy? Clear its cache and it should behave.",
    ),
]
PERSONA = {
    "slug": "playful_sidekick",
    "name": "Playful Sidekick",
    "summary": "Upbeat and quick-witted, like a friend who happens to know the product. Short"
    " sentences, a joke where it helps, never at the customer's cost.",
}


@dataclass
class Served:
    """A running server and its ledger."""

    url: str
    port: int
    database: str
    outputs: Path
    env: dict[str, str]
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def invite(self, name: str, role: str = "evaluator") -> str:
        """A one-time sign-in link for this person."""
        with sessions(self.database).begin() as session:
            return f"{self.url}/invite/{invite(session, name, role)}"

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End the server and wait for it."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)

    def start_again(self) -> None:
        """Start the server on the same port, ledger and outputs."""
        self.process = launch(self.port, self.env)
        wait_until_up(self)


def seed(database: str, pairs: int = 40, overlap: int = 3) -> None:
    """A persona and some comparisons, through the ledger's own verbs."""
    upgrade(database)
    with sessions(database).begin() as session:
        put_persona(session, **PERSONA, template_sha256="0" * 64, front_matter={})
        for adapter in ("first-adapter", "second-adapter"):
            put_adapter(session, id=adapter, kind="sft", persona=PERSONA["slug"])
        batch = open_batch(
            session, name="seeded", kind="label", persona=PERSONA["slug"], overlap=overlap
        )
        for number in range(pairs):
            talk = [dict(turn) for turn in TALKS[number % len(TALKS)]]
            if number >= len(TALKS):
                talk[-1]["content"] += f" (case {number})"
            prompt = put_prompt(session, talk)
            one, other = (
                put_candidate(
                    session,
                    prompt_id=prompt.id,
                    persona=PERSONA["slug"],
                    adapter_id=adapter,
                    text=text,
                    sampling={},
                    seed=number,
                )
                for adapter, text in zip(
                    ("first-adapter", "second-adapter"), REPLIES[number % len(REPLIES)], strict=True
                )
            )
            put_comparison(session, batch, one, other)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(port: int, env: dict[str, str], *options: str) -> subprocess.Popen[str]:
    """``personaloop serve`` without engine and worker."""
    command = [sys.executable, "-m", "personaloop", "serve", "--port", str(port)]
    return subprocess.Popen(
        [*command, "--no-engine", "--no-worker", *options],
        env=env,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until_up(served: Served, seconds: float = 60) -> None:
    """Read the server's output until it says that it runs, and remember the owner's link."""
    assert served.process.stdout is not None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        line = served.process.stdout.readline()
        served.lines.append(line)
        if "/invite/" in line or (not line and served.process.poll() is not None):
            break
    assert served.process.poll() is None, "".join(served.lines)
    assert httpx.get(f"{served.url}/healthz", trust_env=False).json()["database"] == "ok"


@contextlib.contextmanager
def serving(folder: Path, pairs: int = 40, overlap: int = 3) -> Iterator[Served]:
    """A server with seeded comparisons; ended on leaving."""
    outputs = folder / "outputs"
    database = f"sqlite:///{outputs / 'personaloop.db'}"
    outputs.mkdir(parents=True, exist_ok=True)
    seed(database, pairs, overlap)
    port = free_port()
    env = {
        **{key: value for key, value in os.environ.items() if key != "TINKER_API_KEY"},
        "PERSONALOOP_OUTPUTS": str(outputs),
        "DATABASE_URL": database,
    }
    served = Served(
        url=f"http://127.0.0.1:{port}",
        port=port,
        database=database,
        outputs=outputs,
        env=env,
        process=launch(port, env),
    )
    try:
        wait_until_up(served)
        yield served
    finally:
        served.stop()


def link_in(lines: list[str]) -> str:
    """The owner's sign-in link as ``serve`` printed it."""
    return re.findall(r"http://\S+/invite/\S+", "".join(lines))[-1]
