"""A role ends with its supervisor, even one that was killed: it watches the pipe that is its standard input.

The supervisor holds the other end and never writes. When it dies, in whatever way, the system closes the
pipe; the role then drains as on SIGTERM, and after a grace period it is ended by force.
"""

from __future__ import annotations

import os
import signal
import threading

GRACE_S = 10.0


def watch(fd: int = 0, grace_s: float = GRACE_S) -> threading.Thread:
    """Start watching `fd` in a thread of its own, so that a stuck event loop does not keep the process."""
    thread = threading.Thread(target=_wait, args=(fd, grace_s), name="lifeline", daemon=True)
    thread.start()
    return thread


def _wait(fd: int, grace_s: float) -> None:
    while os.read(fd, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(grace_s)
    os._exit(1)
