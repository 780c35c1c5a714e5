"""Where examples wait until all examples of their time can be known.

A customer who leaves is known at once, one who stays only when the horizon has passed. Learning both as they come
would, while the history is short or the customers grow in number, show far too many who leave. So an example is
released when the clock has passed its whole horizon, whatever its label.
"""

from __future__ import annotations

import heapq
import math

from models.records import Example

_DAY_S = 86_400.0


class WaitingRoom:
    """Examples by the end of their horizon. The clock is the greatest time at which any of them matured.

    What is due at or before `clock` was released, what is due later waits: so the clock alone tells, after a restart,
    which of the examples read before are still to be learned. Above `limit` the clock is moved on to the next
    one that is due, which releases it early. `early` counts who was released before any example had matured so late.
    """

    def __init__(self, limit: int, clock: float = -math.inf) -> None:
        self.clock = clock
        self.early = 0
        self._limit = limit
        self._matured_at = -math.inf
        self._heap: list[tuple[float, int, Example]] = []
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._heap)

    def __contains__(self, example_id: str) -> bool:
        return example_id in self._ids

    @property
    def first_offset(self) -> int | None:
        """The lowest offset of those who wait; None if none does."""
        return min((offset for _, offset, _ in self._heap), default=None)

    def add(self, example: Example, offset: int) -> list[Example]:
        """Take an example and release all that are due now, in the order of their horizons, then offsets."""
        self._matured_at = max(self._matured_at, example.matured_at)
        self.clock = max(self.clock, self._matured_at)
        self._push(example, offset)
        released = []
        while self._heap and (self._heap[0][0] <= self.clock or len(self._heap) > self._limit):
            due, _, first = heapq.heappop(self._heap)
            self._ids.discard(first.example_id)
            self.clock = max(self.clock, due)
            self.early += due > self._matured_at
            released.append(first)
        return released

    def put_back(self, example: Example, offset: int) -> bool:
        """Take an example that was read before a restart; False if it was released then, or waits already."""
        if due_at(example) <= self.clock or example.example_id in self:
            return False
        self._push(example, offset)
        return True

    def _push(self, example: Example, offset: int) -> None:
        heapq.heappush(self._heap, (due_at(example), offset, example))
        self._ids.add(example.example_id)


def due_at(example: Example) -> float:
    """The end of the example's horizon, which begins behind the gap, in epoch seconds."""
    return example.as_of + (example.gap_days + example.horizon_days) * _DAY_S
