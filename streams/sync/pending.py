"""The queue of a destination: the newest undelivered score per customer, and which offsets are settled."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from streams.destinations.base import Change

#: More rows than any request has.
MOST_ROWS = 1_000_000


class Origin(NamedTuple):
    """Where a score was read."""

    topic: str
    partition: int
    offset: int


class Item:
    """One score on its way. Times are monotonic seconds, except `first_at` (epoch seconds of the first attempt).

    `waiting_since` is when the customer began to wait; it is handed on to a score that replaces this one. `most` is how
    many rows a request with this item may have: fewer after each refusal of a whole request. `allowed` is False without
    the customer's consent. `erased` says that the
    customer was deleted while the item was under way.
    """

    __slots__ = (
        "allowed",
        "attempts",
        "change",
        "customer_id",
        "due",
        "erased",
        "first_at",
        "most",
        "origin",
        "payload_hash",
        "ticket",
        "waiting_since",
    )

    def __init__(self, change: Change, payload_hash: str, origin: Origin, now: float) -> None:
        self.change = change
        self.customer_id = change.score.customer_id
        self.payload_hash = payload_hash
        self.origin = origin
        self.waiting_since = now
        self.due = now
        self.attempts = 0
        self.first_at: float | None = None
        self.most = MOST_ROWS
        self.allowed = True
        self.ticket = -1
        self.erased = False


class Pending:
    """Items by customer, at most one each, taken in the order in which they are due."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._heap: list[tuple[float, int, Item]] = []
        self._tickets = itertools.count()

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items.values())

    def put(self, item: Item) -> None:
        """Queue an item under its `due` time. The customer must have none queued."""
        item.ticket = next(self._tickets)
        self._items[item.customer_id] = item
        heapq.heappush(self._heap, (item.due, item.ticket, item))

    def remove(self, customer_id: str) -> Item | None:
        return self._items.pop(customer_id, None)

    def take_due(self, now: float) -> Item | None:
        """Remove and return the item that is due longest, None if none is due yet."""
        due = self.next_due()
        if due is None or due > now:
            return None
        item = heapq.heappop(self._heap)[2]
        del self._items[item.customer_id]
        return item

    def due_count(self, now: float, enough: int) -> int:
        """How many items are due, counted up to `enough`."""
        count = 0
        for item in self._items.values():
            count += item.due <= now
            if count >= enough:
                break
        return count

    def next_due(self) -> float | None:
        while self._heap:
            due, ticket, item = self._heap[0]
            current = self._items.get(item.customer_id)
            if current is item and item.ticket == ticket:
                return due
            heapq.heappop(self._heap)
        return None

    def hurry(self, now: float) -> None:
        """Make everything due, longest waiting first: the destination is back."""
        waiting = sorted(self._items.values(), key=lambda item: item.waiting_since)
        self._heap.clear()
        for item in waiting:
            item.due = min(item.due, now)
            self.put(item)


class Offsets:
    """Which records are settled, per partition. Records of a partition are read in the order of their offsets."""

    def __init__(self) -> None:
        self._order: dict[tuple[str, int], deque[int]] = {}
        self._open: dict[tuple[str, int], set[int]] = {}
        self._next: dict[tuple[str, int], int] = {}

    def read(self, origin: Origin) -> None:
        key = (origin.topic, origin.partition)
        self._order.setdefault(key, deque()).append(origin.offset)
        self._open.setdefault(key, set()).add(origin.offset)
        self._next[key] = origin.offset + 1

    def settle(self, origin: Origin) -> None:
        """Mark a record as done. Unknown records are ignored: their partition may have been taken away."""
        self._open.get((origin.topic, origin.partition), set()).discard(origin.offset)

    def committable(self) -> dict[tuple[str, int], int]:
        """The lowest offset not yet settled, or the next one to be read, per partition."""
        found = {}
        for key, order in self._order.items():
            open_offsets = self._open[key]
            while order and order[0] not in open_offsets:
                order.popleft()
            found[key] = order[0] if order else self._next[key]
        return found

    def drop(self, partitions: Iterable[tuple[str, int]]) -> None:
        for key in partitions:
            for table in (self._order, self._open, self._next):
                table.pop(key, None)
