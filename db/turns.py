"""Writers of one SQLite file take turns, in the order in which they came.

SQLite itself lets waiting writers poll: among many, one can miss every gap and starve until its
timeout. Here each waits on an advisory lock (flock) of a file beside the database, which the kernel
hands on at once and in order, and takes back from a process that is killed. SQLite's own locks
still decide who writes; this only decides who tries. Knows nothing of what is written.
"""

import os
import threading
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows; there SQLite's polling has to do
    fcntl = None


def take_turn(database: Path, seconds: float) -> int | None:
    """Wait for this writer's turn.

    Args:
        database: The database file.
        seconds: How long to wait at most.

    Returns:
        What ``end_turn`` takes; None where the platform has no such locks.

    Raises:
        TimeoutError: Others kept their turns for longer.
    """
    if fcntl is None:
        return None
    handle = os.open(f"{database}-turn", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _wait(handle, seconds)
    except OSError:
        os.close(handle)
        return None  # a file system without such locks
    return handle


def end_turn(handle: int | None) -> None:
    """Let the next writer try."""
    if handle is not None:
        os.close(handle)


def _wait(handle: int, seconds: float) -> int:
    """Wait in a thread of its own, because a waiting flock cannot be told to give up."""
    assert fcntl is not None
    locking = fcntl
    gate = threading.Lock()
    came = threading.Event()
    given_up = False

    def wait() -> None:
        locking.flock(handle, locking.LOCK_EX)
        with gate:
            if given_up:
                os.close(handle)
            came.set()

    threading.Thread(target=wait, name="waiting for a turn to write", daemon=True).start()
    came.wait(seconds)
    with gate:
        if came.is_set():
            return handle
        given_up = True
    raise TimeoutError
