"""The clock a partition lives by: the wall, or its own events when history is replayed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from models.features.layout import NEVER


class WallClock:
    """Present time; events do not move it."""

    runs_alone = True

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def resume(self, _at: float) -> None:
        """The wall needs no reminder."""

    def passed(self, _event_time: float) -> Iterator[float]:
        """No moment passes because of an event."""
        return iter(())


class EventClock:
    """The greatest stream time seen. It stands still when no events come, and tells each full step it passes."""

    runs_alone = False

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._now = NEVER

    def now(self) -> float:
        """Epoch seconds; 0 before the first event."""
        return self._now if self._now > NEVER else 0.0

    def resume(self, at: float) -> None:
        """Go on from where an earlier owner's clock stood (epoch seconds, 0 for unknown)."""
        if at > 0:
            self._now = max(self._now, at)

    def passed(self, stream_time: float) -> Iterator[float]:
        """Advance to a stream time and yield the step boundaries in between, oldest first."""
        if self._now == NEVER:
            self._now = stream_time
            return
        boundary = (math.floor(self._now / self._step_s) + 1) * self._step_s
        while boundary <= stream_time:
            self._now = boundary
            yield boundary
            boundary += self._step_s
        self._now = max(self._now, stream_time)
