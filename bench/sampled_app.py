"""The app's server with a clock beside it: whose code do the pages' threads stand in?

``python -m bench.sampled_app --port N --tell FILE`` serves as ``annotate_app.server`` does. Two
hundred times a second every page thread is looked at: from the innermost frame outwards, the first
that is Streamlit's or ours says whose moment it was, so that SQLAlchemy called by our verbs is
ours, and a wait for the interpreter belongs to whoever waits. The processor time of every page run
is added up beside it, microseconds as ``cpu``. FILE is written twice a second.
"""

import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

from annotate_app import server
from bench.measure import REPOSITORY

EVERY_S = 0.005
TELL_S = 0.5
OURS = tuple(f"{REPOSITORY / room}/" for room in ("annotate_app", "db", "preference"))
THREAD = "ScriptRunner.scriptThread"


def whose(frame: FrameType | None) -> str:
    """``ours``, ``streamlit`` or ``other``."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(OURS):
            return "ours"
        if "/site-packages/streamlit/" in file:
            return "streamlit"
        frame = frame.f_back
    return "other"


def count_cpu(seen: Counter[str]) -> None:
    """Have every page run add its thread's processor time."""
    run = ScriptRunner._run_script

    def counted(self: ScriptRunner, rerun_data: Any) -> None:
        began = time.thread_time()
        try:
            run(self, rerun_data)
        finally:
            seen["cpu"] += round((time.thread_time() - began) * 1e6)

    ScriptRunner._run_script = counted


def watch(tell: Path, seen: Counter[str]) -> None:
    """Count whose moments they are until the process ends."""
    told = time.monotonic()
    while True:
        time.sleep(EVERY_S)
        frames = sys._current_frames()
        for thread in threading.enumerate():
            if thread.name == THREAD and thread.ident in frames:
                seen[whose(frames[thread.ident])] += 1
        if time.monotonic() - told > TELL_S:
            told = time.monotonic()
            part = tell.with_suffix(".part")
            part.write_text(json.dumps(seen))
            part.replace(tell)


if __name__ == "__main__":
    at = sys.argv.index("--tell")
    file = Path(sys.argv[at + 1])
    del sys.argv[at : at + 2]
    counts: Counter[str] = Counter()
    count_cpu(counts)
    threading.Thread(target=watch, args=(file, counts), daemon=True).start()
    server.main()
