"""Which items go into the next request: as many as the vendor takes by rows and bytes, and none too early."""

from __future__ import annotations

from typing import Any

import msgspec

from streams.destinations.base import Change, Destination, Unbuildable
from streams.destinations.contract.messages import Request
from streams.sync.backlog import Backlog
from streams.sync.pending import Item

#: How much of the allowed bytes is aimed at: rows are of different lengths.
_AIM = 0.95


class Batch(msgspec.Struct, frozen=True):
    """Items with their request; `hopeless` are items that were taken too and cannot be told, with the reason."""

    items: list[Item]
    request: Request | None
    hopeless: list[tuple[Item, str]]

    @property
    def changes(self) -> list[Change]:
        return [item.change for item in self.items]


class Batcher:
    """Takes items from a backlog and makes requests of them, within the destination's limits."""

    def __init__(self, destination: Destination[Any], backlog: Backlog) -> None:
        self._destination, self._backlog = destination, backlog
        self._rows = destination.limits.rows
        #: Learned from 413 too, when a vendor takes less than it says.
        self._bytes = destination.limits.bytes
        self._linger_s = destination.options.linger_s if self._rows > 1 else 0.0
        self._row_bytes = 1.0

    def ready_at(self, now: float) -> float | None:
        """When the next request may be made: at once if it will be full, else when the oldest due item has lingered."""
        due = self._backlog.next_due()
        if due is None or due > now or not self._linger_s:
            return due
        room = self._room()
        full = len(self._backlog) >= room and self._backlog.due_count(now, room) >= room
        return due if full else due + self._linger_s

    def take(self, now: float, wall: float) -> Batch | None:
        """The items that go next, None if none is due. They are under way from here on."""
        items = self._backlog.take(now, self._room())
        if not items:
            return None
        hopeless: list[tuple[Item, str]] = []
        while items:
            try:
                request = self._destination.build([item.change for item in items], wall)
            except Unbuildable as error:
                items = self._without_hopeless(items, hopeless, error, wall)
                continue
            size = len(request.body)
            self._row_bytes = max(0.9 * self._row_bytes, size / len(items))
            if size <= self._bytes:
                return Batch(items, request, hopeless)
            if len(items) == 1:
                hopeless.append((items[0], f"{size} bytes, allowed: {self._bytes}"))
                break
            keep = max(1, min(len(items) - 1, int(len(items) * _AIM * self._bytes / size)))
            self._backlog.put_back(items[keep:])
            items = items[:keep]
        return Batch([], None, hopeless)

    def shrink(self, size: int) -> None:
        """A request of `size` bytes was too large: make smaller ones from now on."""
        self._bytes = min(self._bytes, max(size // 2, 1))

    def _room(self) -> int:
        return max(1, min(self._rows, int(_AIM * self._bytes / self._row_bytes)))

    def _without_hopeless(
        self, items: list[Item], hopeless: list[tuple[Item, str]], error: Unbuildable, wall: float
    ) -> list[Item]:
        """The items that can be told alone; if that is all of them, their first half."""
        good = []
        for item in items:
            try:
                self._destination.build([item.change], wall)
            except Unbuildable as alone:
                hopeless.append((item, str(alone)))
            else:
                good.append(item)
        if len(good) < len(items):
            return good
        if len(good) == 1:
            hopeless.append((good[0], str(error)))
            return []
        half = len(good) // 2
        self._backlog.put_back(good[half:])
        return good[:half]
