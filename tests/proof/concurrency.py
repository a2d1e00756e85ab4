"""The concurrency proof: many annotators, processes killed at random, leases that run out.

Each annotator is a process of its own that is killed (SIGKILL) at any moment and started again.
Afterwards the ledger is compared with what the processes had been told: nothing acknowledged may be
missing, nothing may count twice, no comparison may have more judgments than its overlap, and all
must be complete. Some steps go around the verbs, so that the constraints themselves are tried.
"""

import multiprocessing
import random
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from db.doctor import examine
from db.models import AssignmentState
from db.session import close_database, readers
from tests.proof.annotator import Task, work
from tests.proof.ledgers import remove_constraint, seed

DOUBLED = """
SELECT (SELECT count(*) FROM (
    SELECT 1 FROM judgment GROUP BY assignment_id HAVING count(*) > 1) AS twice)
  + (SELECT count(*) FROM (
    SELECT 1 FROM judgment LEFT JOIN retraction ON retraction.judgment_id = judgment.id
    WHERE retraction.judgment_id IS NULL
    GROUP BY comparison_id, annotator_id HAVING count(*) > 1) AS both_stand)
"""
OVER_ASSIGNED = """
SELECT count(*) FROM comparison WHERE overlap < (
    SELECT count(*) FROM assignment
    WHERE comparison_id = comparison.id AND state IN ('leased', 'judged'))
"""
OPEN = """
SELECT (SELECT count(*) FROM comparison WHERE seats > 0)
  + (SELECT count(*) FROM assignment WHERE state = :leased)
"""
STANDING = """
SELECT count(*) FROM judgment LEFT JOIN retraction ON retraction.judgment_id = judgment.id
WHERE retraction.judgment_id IS NULL
"""


@dataclass(frozen=True)
class Outcome:
    """What a proof found.

    Attributes:
        database: ``sqlite`` or ``postgresql``.
        judgments: Standing judgments at the end.
        wanted: Comparisons times overlap.
        lost: Acknowledged judgments that the ledger does not have.
        doubled: Assignments with two judgments, or annotators with two that stand for one pair.
        over_assigned: Comparisons held by more annotators than their overlap, at any look.
        killed: Processes killed.
        crashed: Processes that ended by themselves with an error.
        problems: What the doctor found.
        seconds: How long it took.
    """

    database: str
    judgments: int
    wanted: int
    lost: int
    doubled: int
    over_assigned: int
    killed: int
    crashed: int
    problems: tuple[str, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every promise held and all is complete."""
        wrong = self.lost + self.doubled + self.over_assigned + self.crashed + len(self.problems)
        return wrong == 0 and self.judgments == self.wanted and self.killed > 0

    def __str__(self) -> str:
        """The one line."""
        return (
            f"concurrency {self.database}: judgments {self.judgments} lost {self.lost}"
            f" doubled {self.doubled} over-assigned {self.over_assigned} killed {self.killed}"
        )


def prove(
    url: str,
    *,
    annotators: int = 64,
    comparisons: int = 2000,
    overlap: int = 3,
    life: float = 10.0,
    limit: float = 3600.0,
    without: str | None = None,
    dice_seed: int = 1,
) -> Outcome:
    """Run the proof on an empty database.

    Args:
        url: The database.
        annotators: Processes.
        comparisons: Comparisons.
        overlap: Judgments wanted of each.
        life: Mean seconds that a process lives before it is killed.
        limit: Seconds after which it ends incomplete.
        without: A constraint to remove first, to see the proof fail.
        dice_seed: Of the kills and of what annotators do.
    """
    database = "sqlite" if url.startswith("sqlite") else "postgresql"
    _, crowd = seed(url, comparisons=comparisons, overlap=overlap, annotators=annotators)
    if without:
        remove_constraint(url, without)
    close_database(url)
    folder = Path(tempfile.mkdtemp(prefix="proof-"))
    start = time.monotonic()
    try:
        run = _Run(url, crowd, folder, random.Random(dice_seed))
        run.until_complete(life / annotators, limit)
        return run.outcome(database, comparisons * overlap, time.monotonic() - start)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Run:
    """The processes of one proof."""

    def __init__(self, url: str, crowd: list[int], folder: Path, dice: random.Random) -> None:
        self._url, self._folder, self._dice = url, folder, dice
        self._start_process = multiprocessing.get_context("forkserver")
        self._start_process.set_forkserver_preload(["tests.proof.annotator"])
        self._stop = folder / "stop"
        self.killed = self.crashed = self.over_assigned = 0
        self._living = {who: self._started(who) for who in crowd}

    def _started(self, who: int) -> multiprocessing.Process:
        task = Task(
            url=self._url,
            annotator=who,
            seed=self._dice.getrandbits(32),
            log=str(self._folder / f"{who}.log"),
            stop=str(self._stop),
        )
        process = self._start_process.Process(target=work, args=(task,), daemon=True)
        process.start()
        return process

    def until_complete(self, kill_every: float, limit: float) -> None:
        end = time.monotonic() + limit
        next_look = 0.0
        while time.monotonic() < end:
            time.sleep(self._dice.expovariate(1 / kill_every))
            victim = self._dice.choice(list(self._living))
            if self._living[victim].is_alive():
                self._living[victim].kill()
                self.killed += 1
            self._living[victim].join()
            self._living[victim] = self._started(victim)
            for who, process in self._living.items():
                if not process.is_alive():
                    self.crashed += 1
                    self._living[who] = self._started(who)
            if time.monotonic() > next_look:
                next_look = time.monotonic() + 2
                if self._look() == 0:
                    break
        self._stop.touch()
        for process in self._living.values():
            process.join(30)
            if process.is_alive():
                process.kill()
                process.join()

    def _look(self) -> int:
        with readers(self._url)() as session:
            self.over_assigned = max(
                self.over_assigned, session.execute(text(OVER_ASSIGNED)).scalar_one()
            )
            return session.execute(
                text(OPEN), {"leased": AssignmentState.LEASED.value}
            ).scalar_one()

    def outcome(self, database: str, wanted: int, seconds: float) -> Outcome:
        acknowledged: set[str] = set()
        for log in self._folder.glob("*.log"):
            for line in log.read_text().splitlines():
                acknowledged.add(line.rpartition(" ")[2])
        twice = sum(log.read_text().count("judged twice") for log in self._folder.glob("*.log"))
        self._look()
        with readers(self._url)() as session:
            kept = set(
                session.execute(
                    text(
                        "SELECT token FROM assignment"
                        " JOIN judgment ON judgment.assignment_id = assignment.id"
                    )
                ).scalars()
            )
            doubled = session.execute(text(DOUBLED)).scalar_one() + twice
            judgments = session.execute(text(STANDING)).scalar_one()
        findings = examine(self._url)
        close_database(self._url)
        return Outcome(
            database=database,
            judgments=judgments,
            wanted=wanted,
            lost=len(acknowledged - kept),
            doubled=doubled,
            over_assigned=self.over_assigned,
            killed=self.killed,
            crashed=self.crashed,
            problems=tuple(each.text for each in findings if not each.ok),
            seconds=seconds,
        )
