"""Children are started, started again, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from annotate_app.processes import Child, stop_all

PYTHON = sys.executable


def child(tmp_path, code, **options):
    return Child("a child", [PYTHON, "-c", code], os.environ, tmp_path, tmp_path / "log", **options)


def until(true, seconds=15.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


def test_a_child_that_ends_is_started_again_after_a_pause(tmp_path):
    one = child(tmp_path, "print('hello')")
    one.tick()
    assert until(lambda: not one.running)
    one.tick()
    assert one.process is None, "not at once"
    assert until(lambda: one.tick() or one.running or one.process is not None)
    stop_all([one])
    assert (tmp_path / "log").read_text().startswith("hello")


def test_pauses_grow_while_it_keeps_failing(tmp_path):
    one = child(tmp_path, "raise SystemExit(3)")
    pauses = []
    for _ in range(3):
        one._next = 0.0
        one.tick()
        assert until(lambda: not one.running)
        pauses.append(one._pause)
        one.tick()
    assert pauses == [1.0, 2.0, 4.0]
    assert one.exit_status == 3


def test_a_child_that_is_to_run_once_is_not_started_again(tmp_path):
    one = child(tmp_path, "", restart=False)
    one.tick()
    assert until(lambda: not one.running)
    one.tick()
    one._next = 0.0
    one.tick()
    assert (one.process, one.exit_status) == (None, 0)


def test_stopping_asks_first_and_then_ends_by_force(tmp_path):
    deaf = child(
        tmp_path,
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(60)",
    )
    deaf.tick()
    assert until(lambda: (tmp_path / "log").read_text() == "up\n")
    process = deaf.process
    stop_all([deaf], grace=0.5)
    assert process.returncode == -signal.SIGKILL
    deaf.tick()
    assert not deaf.running, "what was stopped stays stopped"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does this on Linux")
def test_children_end_with_a_parent_that_was_killed(tmp_path):
    code = (
        "import os, time; from pathlib import Path; from annotate_app.processes import Child;"
        f"c = Child('x', [{PYTHON!r}, '-c', 'import time; time.sleep(60)'], os.environ, Path('.'));"
        "c.tick(); print(c.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([PYTHON, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()

    def gone():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            return stat.rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    assert until(gone)
