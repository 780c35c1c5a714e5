"""Where examples wait until all examples of their time can be known.

A customer who leaves is known at once, one who stays only when the horizon has passed. Learning both as they come
would, while the history is short or the customers grow in number, show far too many who leave. So an example is
released when the clock has passed its whole horizon, whatever its label.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

from models.records import Example

_DAY_S = 86_400.0


class WaitingRoom:
    """Examples by the end of their horizon. The clock is the greatest time at which any of them matured.

    What is due at or before `clock` was released, what is due later waits: so the clock alone tells, after a restart,
    which of the examples read before are still to be learned. Above `limit` the clock is moved on to the next
    one that is due, which releases it early.
    """

    def __init__(self, limit: int, clock: float = -math.inf) -> None:
        self.clock = clock
        self.early = 0
        self._limit = limit
        self._heap: list[tuple[float, int, Example]] = []

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def first_offset(self) -> int | None:
        """The lowest offset of those who wait; None if none does."""
        return min((offset for _, offset, _ in self._heap), default=None)

    def add(self, example: Example, offset: int) -> Iterator[Example]:
        """Take an example and release all that are due now, in the order of their horizons, then offsets."""
        self.clock = max(self.clock, example.matured_at)
        heapq.heappush(self._heap, (due_at(example), offset, example))
        if len(self._heap) > self._limit and self._heap[0][0] > self.clock:
            self.clock = self._heap[0][0]
            self.early += 1
        while self._heap and self._heap[0][0] <= self.clock:
            yield heapq.heappop(self._heap)[2]

    def put_back(self, example: Example, offset: int) -> bool:
        """Take an example that was read before a restart; False if it was released then."""
        if due_at(example) <= self.clock:
            return False
        heapq.heappush(self._heap, (due_at(example), offset, example))
        return True


def due_at(example: Example) -> float:
    """The end of the example's horizon in epoch seconds."""
    return example.as_of + example.horizon_days * _DAY_S
