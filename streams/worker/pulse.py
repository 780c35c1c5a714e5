"""Whether the process stood still for so long that the group has given its partitions to others.

A paused or suspended process does not know it when it goes on: its first act may be to send what it had at hand. A
thread of its own beats, so that a long computation in the event loop, during which the consumer's thread keeps the
membership alive, is not taken for standing still.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class StoodStill(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """The process was stopped for longer than the session timeout; its state may be old."""


def steady_clock() -> float:
    """Seconds that also pass while the machine sleeps, where the system can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Pulse:
    """Beats from `start` to `stop`. `limit_s` is the longest pause between two beats that is no harm."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = steady_clock) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._last = clock()
        self._longest_s = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._last = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def beat(self) -> None:
        """Note that the process runs."""
        now = self._clock()
        self._longest_s = max(self._longest_s, now - self._last)
        self._last = now

    def check(self) -> None:
        """Raise StoodStill if there was a pause beyond the limit since the start."""
        self.beat()
        if self._longest_s > self._limit_s:
            msg = (
                f"stood still for {self._longest_s:.1f} s, allowed: {self._limit_s:.1f} s (broker.session_timeout_s); "
                "the partitions may have another owner, so nothing is sent and the state must be read again"
            )
            raise StoodStill(msg)

    def _beat_on(self) -> None:
        while not self._ended.wait(self._limit_s / 10):
            self.beat()
