"""The console's memory: a bounded ring of samples over time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping


class History:
    """The newest `capacity` samples. A sample names figures; one that lacks a figure leaves a gap (None)."""

    def __init__(self, capacity: int) -> None:
        self._samples: deque[tuple[float, dict[str, float | None]]] = deque(maxlen=capacity)

    def add(self, time_s: float, sample: Mapping[str, float | None]) -> None:
        """Append one sample; times must grow."""
        self._samples.append((time_s, dict(sample)))

    def after(self, time_s: float) -> dict[str, list[float | None]]:
        """One list per figure, and their times under `t`, of the samples later than `time_s` (epoch seconds)."""
        chosen = [(at, sample) for at, sample in self._samples if at > time_s]
        names = dict.fromkeys(name for _, sample in chosen for name in sample)
        columns: dict[str, list[float | None]] = {"t": [at for at, _ in chosen]}
        return columns | {name: [sample.get(name) for _, sample in chosen] for name in names}


class Rates:
    """Turns totals that only grow into rates per second."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}

    def update(self, time_s: float, totals: Mapping[str, float]) -> dict[str, float | None]:
        """Each total's rate since the last call; None at its first, or after it was reset."""
        rates = {name: self._rate(name, time_s, total) for name, total in totals.items()}
        self._last = {name: (time_s, total) for name, total in totals.items()}
        return rates

    def _rate(self, name: str, time_s: float, total: float) -> float | None:
        before = self._last.get(name)
        if before is None or total < before[1] or time_s <= before[0]:
            return None
        return (total - before[1]) / (time_s - before[0])
