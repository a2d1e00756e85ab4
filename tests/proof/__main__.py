"""`python -m tests.proof`: every proof at full size, one line each; exit status 1 if one fails.

--only NAME       concurrency, training or closed-loop
--scale N         a share of the full size, such as 0.1
--without NAME    remove a constraint first (seats, one-judgment): the proof must then fail
"""

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

from tests.proof import closed_loop
from tests.proof.concurrency import Outcome, prove
from tests.proof.ledgers import CONSTRAINTS
from tests.proof.postgres import postgres_server


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--only", choices=["concurrency", "training", "closed-loop"])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--without", choices=sorted(CONSTRAINTS))
    asked = parser.parse_args()
    held = True
    if asked.only in {None, "concurrency"}:
        held = concurrency(asked.scale, asked.without)
    if asked.only in {None, "training"} and importlib.util.find_spec("tests.proof.training"):
        training = importlib.import_module("tests.proof.training")
        held = bool(training.main(asked.scale)) and held
    if asked.only == "closed-loop" or (asked.only is None and asked.scale == 1.0):
        held = closed_loop.main() and held
    return 0 if held else 1


def concurrency(scale: float = 1.0, without: str | None = None) -> bool:
    """The concurrency proof on SQLite and on PostgreSQL; whether it held on both."""
    size = {
        "annotators": max(6, round(64 * scale)),
        "comparisons": max(20, round(2000 * scale)),
    }
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        outcomes.append(prove(f"sqlite:///{Path(folder) / 'ledger.db'}", without=without, **size))
        _tell(outcomes[-1])
    with postgres_server() as url:
        outcomes.append(prove(url, without=without, **size))
        _tell(outcomes[-1])
    return all(outcome.holds for outcome in outcomes)


def _tell(outcome: Outcome) -> None:
    print(outcome, flush=True)
    print(f"  {outcome.seconds:.0f} s, {outcome.wanted} wanted", file=sys.stderr)
    if outcome.crashed:
        print(f"  {outcome.crashed} processes ended with an error", file=sys.stderr)
    for problem in outcome.problems:
        print(f"  {problem}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
