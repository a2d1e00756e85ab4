"""`python -m bench`: run the measurements, print the table, write outputs/bench/<date>.json."""

import argparse
import importlib
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.peers import versions
from bench.rows import Row, table, write_json

SUBJECTS = ("ratings", "engine", "training", "labeling", "sessions", "pages", "start")


def main() -> int:
    """Measure what was asked for; 0 unless a subject could not be measured at all."""
    choice = _arguments()
    started = time.monotonic()
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    rows: list[Row] = []
    failed: list[str] = []
    for name in choice.only or SUBJECTS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            rows += importlib.import_module(f"bench.{name}").rows(choice.size)
        except Exception as error:  # noqa: BLE001 - the other subjects are still worth their time
            failed.append(f"{name}: {type(error).__name__}: {error}")
        print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    seconds = time.monotonic() - started
    print(table(rows))
    for line in failed:
        print(f"not measured: {line}")
    print(f"\n{_machine()}; {cores} cores, load {load:.1f} before the run")
    print(f"{choice.size} size, {seconds:.0f} s in all")
    if load > cores / 2:
        print("other work was running: trust the ratios of long rows only, and no seconds")
    file = _file(choice.size)
    write_json(
        file,
        {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "size": choice.size,
            "seconds": round(seconds, 1),
            "machine": _machine(),
            "cores": cores,
            "load": load,
            "python": platform.python_version(),
            "versions": versions(),
            "rows": [row.to_json() for row in rows],
            "failed": failed,
        },
    )
    print(f"written to {file}")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measurements of PersonaLoop against its peers, in interleaved runs.",
    )
    parser.add_argument(
        "--only", action="append", choices=SUBJECTS, help="this subject only (may be repeated)"
    )
    parser.add_argument(
        "--size",
        choices=("small", "full"),
        default="full",
        help="full: the sizes of the table in README.md; small: about a tenth (default: full)",
    )
    return parser.parse_args()


def _machine() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _file(size: str) -> Path:
    from db.settings import outputs_dir

    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    return outputs_dir() / "bench" / f"{stamp}-{size}.json"


if __name__ == "__main__":
    sys.exit(main())
