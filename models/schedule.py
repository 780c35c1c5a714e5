"""Which customers the clock has come for, at no cost per event.

When a customer is due is a column of the table. It is looked at as a whole when the clock reaches the earliest date in
it, which is once per step of the grid that customers are rescored on, and then worked off in portions.
"""

from __future__ import annotations

import math

import numpy as np

from models.features.layout import Array

_AT_ONCE = 2000


class Schedule:
    """Row numbers in it hold until the next row is removed; ask `busy` before that."""

    def __init__(self) -> None:
        self._queue: list[int] = []
        self._next_due = math.inf
        self._held: dict[int, float] = {}

    @property
    def busy(self) -> bool:
        """Whether row numbers are in use."""
        return bool(self._queue or self._held)

    def plan(self, due: Array) -> None:
        """Note dates that were written to the column, epoch seconds."""
        if len(due):
            self._next_due = min(self._next_due, float(due.min()))

    def recheck(self, rows: int) -> None:
        """Look at every one of so many rows again."""
        self._queue = list(range(rows))

    def waiting(self, now: float) -> bool:
        """Whether `take` would give anybody."""
        return bool(self._queue) or self._next_due <= now

    def take(self, due: Array, now: float) -> list[int]:
        """Up to 2,000 rows that are due as of `now`, or to be looked at again."""
        if not self._queue and self._next_due <= now:
            self._queue = np.flatnonzero(due <= now).tolist()
            later = due[due > now]
            self._next_due = float(later.min()) if len(later) else math.inf
        taken, self._queue = self._queue[:_AT_ONCE], self._queue[_AT_ONCE:]
        return taken

    def hold(self, row: int, since: float) -> None:
        """A row has an example that waits until the states of this clock are durable."""
        self._held[row] = since

    def holds_ready(self, durable_until: float) -> bool:
        """Whether `released` would give anybody."""
        return any(since <= durable_until for since in self._held.values())

    def released(self, durable_until: float) -> list[int]:
        """The rows that were held and need not wait any more."""
        ready = [row for row, since in self._held.items() if since <= durable_until]
        for row in ready:
            del self._held[row]
        return ready
