"""Kills of a training run and of a whole loop: nothing is lost, and the outcome is the same.

A retrain job on a tiny model is run by real worker processes that are killed with SIGKILL at random
moments, every fourth time the engine under them instead; each time a new worker finishes the job.
All adapters must be the same to the bit. Then `personaloop loop` is killed at random and started
again until it reports.
"""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.proof.forked import start_worker

ROOT = Path(__file__).resolve().parents[2]
PERSONA = "playful_sidekick"
PATIENCE_S = 600.0
SHORT = {"save_every": 2, "batch": 4, "epochs": 1, "replay_rows": 4, "unjudged": 0.2}
"""Of the killed run: states often, so that most kills fall between two of them."""


@dataclass
class Outcome:
    """What became of all kills."""

    kills: int = 0
    finished: int = 0
    adapters: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every run finished, all the same, with nothing lost."""
        return self.finished == self.kills and len(self.adapters) == 1 and not self.problems

    def __str__(self) -> str:
        return f"kills {self.kills} finished {self.finished} distinct {len(self.adapters)}"


def main(scale: float = 1.0) -> bool:
    """Both proofs; whether they held."""
    with tempfile.TemporaryDirectory(prefix="proof-training-") as folder:
        run = prove_run(Path(folder) / "run", kills=max(2, round(100 * scale)))
        print(run, flush=True)
        loop = prove_loop(Path(folder) / "loop", kills=max(1, round(10 * scale)))
        print(f"whole loop: {loop}", flush=True)
    for problem in (*run.problems, *loop.problems):
        print(f"  {problem}", file=sys.stderr)
    return run.holds and loop.holds


def prove_run(folder: Path, kills: int, seed: int = 0) -> Outcome:
    """Kill a worker, or its engine, at random moments of one retrain job, again and again."""
    rng = random.Random(seed)
    workplace = Workplace(folder)
    outcome = Outcome()
    try:
        workplace.prepare()
        workplace.reset()
        began = time.monotonic()
        workplace.finish()
        length = time.monotonic() - began
        whole, counts = workplace.adapter(), workplace.counts()
        outcome.adapters.add(whole)
        for number in range(kills):
            workplace.reset()
            worker = workplace.worker()
            worker.join(rng.uniform(0.0, length))
            if number % 4 == 3:
                workplace.kill_engine()
            else:
                worker.kill()
            outcome.kills += 1
            worker.join(PATIENCE_S)
            workplace.finish()
            if workplace.counts() != counts:
                outcome.problems.append(f"kill {number}: {workplace.counts()} is not {counts}")
            outcome.adapters.add(workplace.adapter())
            outcome.finished += 1
    finally:
        workplace.close()
    return outcome


class Workplace:
    """One folder with a tiny base, a starter adapter, an engine, and a labeled ledger."""

    def __init__(self, folder: Path):
        """Nothing is made yet."""
        self.folder = folder
        self.outputs = folder / "outputs"
        self.labeled = folder / "labeled.db"
        self.ledger = folder / "ledger.db"
        self.base = folder / "base" / "tiny"
        self.env = {
            **os.environ,
            "PERSONALOOP_OUTPUTS": str(self.outputs),
            "PERSONALOOP_BASE_MODEL": str(self.base),
            "DATABASE_URL": f"sqlite:///{self.ledger}",
            "TINKER_TELEMETRY": "0",
            "GOMP_SPINCOUNT": "0",
            "OMP_WAIT_POLICY": "passive",
        }
        self.env.pop("TINKER_API_KEY", None)

    def prepare(self) -> None:
        """Everything up to a queued retrain job, in a process of its own."""
        self.folder.mkdir(parents=True)
        subprocess.run(
            [sys.executable, "-m", "tests.proof.training", "prepare", str(self.folder)],
            env={**self.env, "DATABASE_URL": f"sqlite:///{self.labeled}"},
            cwd=ROOT,
            check=True,
            timeout=PATIENCE_S,
        )

    def reset(self) -> None:
        """Back to the queued job: no run, no trained adapter."""
        for path in self.folder.glob("ledger.db*"):
            path.unlink()
        shutil.copyfile(self.labeled, self.ledger)
        shutil.rmtree(self.outputs / "runs", ignore_errors=True)
        for path in (self.outputs / "lora" / PERSONA).glob("*"):
            if "-r1-" in path.name:
                shutil.rmtree(path)

    def worker(self) -> BaseProcess:
        """A worker that ends when nothing is left to do."""
        return start_worker(self.env, self.folder / "worker.log")

    def finish(self) -> None:
        """Run workers until the job is done."""
        until = time.monotonic() + PATIENCE_S
        while self.state() != "done":
            if time.monotonic() > until or self.state() in ("failed", "cancelled"):
                raise RuntimeError(f"the job is {self.state()}: {self.log()}")
            self.worker().join(PATIENCE_S)

    def kill_engine(self) -> None:
        """SIGKILL to the engine that announced itself, if there is one."""
        try:
            told = json.loads((self.outputs / "engine" / "engine.json").read_text())
            os.kill(int(told["pid"]), signal.SIGKILL)
        except (OSError, ValueError, KeyError):
            return

    def close(self) -> None:
        """End the engine."""
        self.kill_engine()

    def log(self) -> str:
        """The worker's last lines."""
        path = self.folder / "worker.log"
        return " | ".join(path.read_text(errors="replace").splitlines()[-5:])

    def ask(self, query: str) -> list[tuple]:
        """Rows of the ledger."""
        connection = sqlite3.connect(self.ledger, timeout=30)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def state(self) -> str:
        """The retrain job's state."""
        return self.ask("select state from job where kind = 'retrain'")[0][0]

    def adapter(self) -> str:
        """SHA-256 of the trained adapter, of the file itself."""
        import hashlib

        (name,) = self.ask("select id from adapter where kind = 'dpo'")[0]
        path = self.outputs / "lora" / PERSONA / name / "adapter_model.safetensors"
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def counts(self) -> dict[str, int]:
        """How much of everything there is."""
        tables = ("judgment", "candidate", "comparison", "adapter", "run", "batch", "snapshot")
        return {name: self.ask(f"select count(*) from {name}")[0][0] for name in tables}


def prepare(folder: Path) -> None:
    """Make base, starter adapter and a labeled ledger with a queued retrain job."""
    sys.path.insert(0, str(ROOT / "tests" / "training"))
    sys.path.insert(0, str(ROOT / "tests" / "training" / "engine"))
    from tiny import make_tiny
    from workbench import STARTER, Workshop, make_starter, small_candidates

    from db import adapters, jobs, personas, prompts
    from db.session import close_database, sessions, upgrade
    from training.adapters import find_adapter, read_card
    from training.engine import EngineSettings
    from training.engine.connection import find_or_start
    from training.evaluation.judges import annotators
    from training.jobs import make_label_batch
    from training.service import open_service
    from training.simulation import judge_all

    outputs = Path(os.environ["PERSONALOOP_OUTPUTS"])
    make_tiny(folder / "base" / "tiny")
    settings = EngineSettings()
    told = find_or_start(settings)
    shop = Workshop(outputs, settings, told["url"])
    shop.service = lambda: open_service(settings)  # type: ignore[method-assign]
    outputs.mkdir(exist_ok=True)
    make_starter(shop)
    upgrade()
    make = sessions()
    card = read_card(find_adapter(PERSONA, STARTER))
    with make.begin() as session:
        personas.put_persona(
            session, slug=PERSONA, name="Pip", summary="", template_sha256="", front_matter={}
        )
        for number in range(60):
            prompts.put_prompt(session, [{"role": "user", "content": f"ask {number}"}])
        for number in range(20):
            messages = [{"role": "user", "content": f"held {number}"}]
            prompts.put_prompt(session, messages, split="heldout")
        adapters.put_adapter(session, id=card.id, kind="sft", persona=PERSONA, sha256=card.sha256)
        adapters.promote(session, PERSONA, card.id, reason="shipped", actor="proof")
    config = small_candidates(label_comparisons=50)
    make_label_batch(make, shop.service(), PERSONA, config, 50)
    judge_all(make, annotators(10, judge=lambda m, p, a, b: "a" if len(a) > len(b) else "b"))
    with make.begin() as session:
        jobs.enqueue(
            session,
            "retrain",
            persona=PERSONA,
            params={"include_simulated": True, "config": SHORT},
        )
    close_database()
    # What was written lies in the file itself, so that it can be copied.
    connection = sqlite3.connect(folder / "labeled.db")
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()


def prove_loop(folder: Path, kills: int, seed: int = 0) -> Outcome:
    """Kill `personaloop loop` at random moments; started again it goes on and reports it all."""
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    outcome = Outcome()
    env = {**os.environ, "PERSONALOOP_OUTPUTS": str(folder), "TINKER_TELEMETRY": "0"}
    env.pop("DATABASE_URL", None)
    env.pop("TINKER_API_KEY", None)
    command = [
        *(sys.executable, "-m", "personaloop", "loop", "--persona", PERSONA),
        *("--rounds", "1", "--judgments", "60", "--blind", "20"),
    ]
    report = folder / "loop" / "report.json"
    while outcome.kills < kills and not report.is_file():
        with (folder / "loop.log").open("ab") as log:
            process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log)
        try:
            process.wait(rng.uniform(3.0, 40.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            outcome.kills += 1
    said = ""
    if not report.is_file():
        said = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True).stderr
    _end_engine(folder / "loop")
    if not report.is_file():
        outcome.problems.append(f"the loop did not finish: {said.strip()[-300:]}")
        return outcome
    (row,) = json.loads(report.read_text())["rounds"]
    if row["judgments"] != 60:
        outcome.problems.append(f"{row['judgments']} judgments of 60 in the report")
    outcome.finished = outcome.kills
    outcome.adapters.add(row["adapter"])
    return outcome


def _end_engine(outputs: Path) -> None:
    try:
        told = json.loads((outputs / "engine" / "engine.json").read_text())
        os.kill(int(told["pid"]), signal.SIGTERM)
    except (OSError, ValueError, KeyError):
        return


if __name__ == "__main__":
    if sys.argv[1:2] == ["prepare"]:
        prepare(Path(sys.argv[2]))
    else:
        sys.exit(0 if main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0) else 1)
