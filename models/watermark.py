"""How far a partition's events have come in event time, over sources of different pace.

The watermark is the least progress of the sources that are not idle, as in Beam and Flink, so a source that runs
ahead makes nobody else's events late. It never moves back.
"""

from __future__ import annotations

from models.features.layout import NEVER


class Watermark:
    """Event times are epoch seconds. A source without any event does not count."""

    def __init__(self) -> None:
        self.value = NEVER
        self._reached: dict[str, float] = {}
        self._idle: set[str] = set()

    def advance(self, source: str, time: float) -> None:
        """An event of a source was applied; it is idle no more."""
        if self._idle:
            self._idle.discard(source)
        if time > self._reached.get(source, NEVER):
            self._reached[source] = time

    def idle(self, source: str) -> None:
        """The source has nothing more for now: it holds the watermark back no longer, until its next event."""
        self._idle.add(source)

    def recover(self, value: float) -> None:
        """Start from a watermark that was reached before."""
        self.value = max(self.value, value)

    def move(self) -> float:
        """Move up to what the sources allow, and tell the watermark."""
        active = [time for source, time in self._reached.items() if source not in self._idle]
        # With all of them idle nothing is known to be missing: the furthest one counts.
        reached = min(active) if active else max(self._reached.values(), default=NEVER)
        self.value = max(self.value, reached)
        return self.value
