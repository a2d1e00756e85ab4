"""``python -m training.engine.supervise``: keep a local engine running until told to end.

A small process without torch, for ``personaloop serve``: it starts the engine, watches it, starts
it again, and ends it when it ends itself.
"""

import logging
import signal
import sys
import threading

from training.engine.supervision import EngineSupervisor


def main() -> None:
    """Supervise until SIGTERM or SIGINT."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    supervisor = EngineSupervisor()
    supervisor.start(wait=False)
    try:
        ended.wait()
    finally:
        supervisor.stop()


if __name__ == "__main__":
    main()
