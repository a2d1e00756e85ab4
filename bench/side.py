"""The process of one side: prepares the work, then runs and times it whenever it is told.

Speaks JSON lines on its first standard output; whatever the work prints goes to standard error.
Needs the standard library only.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def resident(field: str) -> int:
    """Bytes of ``VmRSS`` (now) or ``VmHWM`` (the most since the last reset)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak() -> None:
    """Make ``VmHWM`` start again from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Prepare what the first line names, answer, then one answer a line until the input ends."""
    told = json.loads(sys.stdin.readline())
    name, params = told["factory"], told["params"]
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def tell(**answer: Any) -> None:
        out.write(json.dumps(answer) + "\n")

    module, _, function = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), function)
        with factory(**params) as work:
            tell(ready=True)
            reset_peak()
            prepared = resident("VmRSS")
            for _ in sys.stdin:
                worked, started = time.process_time(), time.perf_counter()
                value = work() or {}
                seconds = time.perf_counter() - started
                cpu = time.process_time() - worked
                growth = max(0, resident("VmHWM") - prepared)
                seconds = value.pop("seconds", seconds)
                tell(seconds=seconds, cpu_seconds=cpu, value=value, growth_bytes=growth)
    except Exception as error:  # noqa: BLE001 - the parent prints it as one line
        first = (str(error).strip().splitlines() or [""])[0]
        tell(error=f"{type(error).__name__}: {first}")


if __name__ == "__main__":
    main()
