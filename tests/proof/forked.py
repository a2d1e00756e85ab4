"""Workers as processes of their own that start in a moment: forked from one that has imported all.

Knows how a worker is started and killed. Each is a whole process with a pid, its own connections
and its own end; only the seconds of importing torch are spared.
"""

import logging
import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.proof.forked", "tests.proof.preloaded"])


def start_worker(env: dict[str, str], log: Path) -> BaseProcess:
    """`personaloop work --once` in a process of its own.

    Args:
        env: its whole environment.
        log: where its output is appended.
    """
    process = _CONTEXT.Process(target=_work, args=(env, str(log)), daemon=False)
    process.start()
    return process


def _work(env: dict[str, str], log: str) -> None:
    os.environ.clear()
    os.environ.update(env)
    with open(log, "ab", buffering=0) as file:  # noqa: PTH123 - a descriptor for both outputs
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    from personaloop import main

    sys.argv = ["personaloop", "work", "--once"]
    main()
