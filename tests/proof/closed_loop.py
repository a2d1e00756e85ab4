"""The closed loop learns what it cannot see: three hidden preferences, three rounds each.

Each is `personaloop loop` with a judge of `tests.proof.judges`, on a ledger of its own: 200 label
judgments a round, one of ten wrong. After the third round the adapter must win at least 75 % of the
blind comparisons on held-out prompts against where it began, the lower end of the clustered 95 %
interval above 60 %.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
JUDGES = ("brief", "inviting", "thorough")
PERSONA = "playful_sidekick"
WINS, SURELY = 0.75, 0.60


@dataclass
class Learned:
    """What one preference came to."""

    judge: str
    win_rate: float
    ci_low: float
    ci_high: float
    rounds: int

    @property
    def holds(self) -> bool:
        """Whether both bars are reached."""
        return self.win_rate >= WINS and self.ci_low > SURELY

    def __str__(self) -> str:
        return (
            f"closed loop {self.judge}: wins {self.win_rate:.1%} [{self.ci_low:.1%},"
            f" {self.ci_high:.1%}] against the start after {self.rounds} rounds"
        )


def main(judges: tuple[str, ...] = JUDGES) -> bool:
    """Every preference, one line each; whether all were learned."""
    held = True
    with tempfile.TemporaryDirectory(prefix="proof-loop-") as folder:
        for judge in judges:
            found = learn(Path(folder) / judge, judge)
            print(found, flush=True)
            held = held and found.holds
    return held


def learn(folder: Path, judge: str) -> Learned:
    """Play three rounds under a judge and read the report."""
    folder.mkdir()
    output = folder / "report.json"
    command = [sys.executable, "-m", "personaloop", "loop", "--fresh", "--rounds", "3"]
    command += ["--judgments", "200", "--persona", PERSONA, "--output", str(output)]
    command += ["--judge", f"{ROOT / 'tests' / 'proof' / 'judges.py'}:{judge}"]
    env = {**os.environ, "PERSONALOOP_OUTPUTS": str(folder)}
    env.pop("TINKER_API_KEY", None)
    env.pop("DATABASE_URL", None)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the loop under {judge} ended with {done.returncode}: {done.stderr}")
    rounds = json.loads(output.read_text("utf-8"))["rounds"]
    last = rounds[-1]
    low, high = last["ci_start"]
    return Learned(judge, last["win_rate_vs_start"], low, high, len(rounds))
