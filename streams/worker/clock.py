"""The clock a partition lives by: the wall, or its own events when history is replayed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from models.features.summary import NEVER

#: One event moves an event clock by at most this much, so that a single event stamped far ahead cannot
#: end all horizons at once; a real gap in the data is crossed by the events behind it.
MAX_STEP_S = 7 * 86_400.0


class WallClock:
    """Present time; events do not move it."""

    runs_alone = True

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def passed(self, _event_time: float) -> Iterator[float]:
        """No moment passes because of an event."""
        return iter(())


class EventClock:
    """The greatest event time seen. It stands still when no events come, and tells each full step it passes."""

    runs_alone = False

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._now = NEVER

    def now(self) -> float:
        """Epoch seconds; 0 before the first event."""
        return self._now if self._now > NEVER else 0.0

    def passed(self, event_time: float) -> Iterator[float]:
        """Advance to an event and yield the step boundaries in between, oldest first."""
        if self._now == NEVER:
            self._now = event_time
            return
        until = min(event_time, self._now + MAX_STEP_S)
        if until <= self._now:
            return
        boundary = (math.floor(self._now / self._step_s) + 1) * self._step_s
        while boundary <= until:
            self._now = boundary
            yield boundary
            boundary += self._step_s
        self._now = until
