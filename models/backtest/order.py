"""Events in the order of their times, although they are read in the order of their arrival.

A window of events is held and sorted; the older half of it is let go, the rest waits for what else may come before
it. So memory is bounded by the window, one wrong clock cannot empty it, and a single event that is further out of place
than the window is passed on late, as it would be live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Final, Protocol

#: Events held; with baskets of a kilobyte each some 50 MB.
WINDOW: Final = 50_000


class Timed(Protocol):
    """One record of a source; `time` is epoch seconds."""

    @property
    def topic(self) -> str: ...
    @property
    def time(self) -> float: ...
    @property
    def raw(self) -> bytes: ...


class Ordered:
    """Iterate once. `late` counts the events that came after later ones had been let go."""

    def __init__(self, events: Iterable[Timed], window: int = WINDOW) -> None:
        """Raises ValueError for a window of less than two events."""
        if window < 2:
            raise ValueError(f"cannot sort in a window of {window} events, allowed: 2 or more")
        self._events = iter(events)
        self._half = window // 2
        self.late = 0
        self._fault: Exception | None = None

    def __iter__(self) -> Iterator[Timed]:
        """Raises what reading raises, after everything that was read before has been passed on."""
        reached, held = float("-inf"), self._read()
        while held:
            fresh = self._read()
            held += fresh
            # Sorting what is nearly sorted takes one comparison per event, and keeps the order of equal times.
            held.sort(key=attrgetter("time"))
            cut = len(held) if len(fresh) < self._half else self._half
            for event in held[:cut]:
                if event.time < reached:
                    self.late += 1
                else:
                    reached = event.time
                yield event
            held = held[cut:]
        if self._fault is not None:
            raise self._fault

    def _read(self) -> list[Timed]:
        found: list[Timed] = []
        if self._fault is None:
            try:
                found.extend(islice(self._events, self._half))
            except Exception as error:  # noqa: BLE001 - raised again when the events read before it are passed on
                self._fault = error
        return found
