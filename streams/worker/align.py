"""Reading the topics of one partition in event-time order, as far as they are there.

Topics of different density would otherwise drift apart in a replay: a chunk of a thousand purchases spans
weeks, one of clicks an hour. Kafka Streams merges the partitions of a task for the same reason ("stream time").
Order within a topic is never changed, so offsets of one source stay monotone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from models.events.types import Event

#: Events of a topic looked at in advance; fewer than `_FEW` say nothing.
_AHEAD, _FEW = 7, 3


class Item(msgspec.Struct, gc=False):
    """An event to apply: where it was first read (`topic/partition`, offset), and the record it came in.

    `time` is the stream time in epoch seconds: the event's own, unless it is stamped ahead of most that follow.
    """

    time: float
    event: Event
    source: str
    offset: int
    record: Any


class Batch:
    """A decoded chunk: its events in offset order. `faust_event` is what to acknowledge when all is durable.

    It sets the stream times of its items.
    """

    __slots__ = ("_in_order", "_items", "_times", "faust_event", "taken", "topic")

    def __init__(self, topic: str, faust_event: Any, items: Iterable[Item] = ()) -> None:
        self.topic = topic
        self.faust_event = faust_event
        self.taken = 0
        self._items = list(items)
        self._times = [item.event.time for item in self._items]
        # Nearly all chunks are in order of time, and then no event is ahead of those that follow.
        self._in_order = self._times == sorted(self._times)
        if not self._in_order:
            self._times = [_stream_time(self._times, i) for i in range(len(self._times))]
            for item, time in zip(self._items, self._times, strict=True):
                item.time = time

    def __len__(self) -> int:
        return len(self._items)

    @property
    def head(self) -> Item:
        """The next item. Raises IndexError at the end."""
        return self._items[self.taken]

    @property
    def exhausted(self) -> bool:
        """Whether all items are taken."""
        return self.taken == len(self._items)

    def take(self, until: float, limit: int) -> list[Item]:
        """The next items, at most `limit`, up to the first that is later than `until`."""
        first, last = self.taken, min(self.taken + limit, len(self._items))
        if self._in_order:
            self.taken = bisect_right(self._times, until, first, last)
        else:
            self.taken = next((i for i in range(first, last) if self._times[i] > until), last)
        return self._items[first : self.taken]


class Aligner:
    """The buffered batches of one partition, by topic.

    A topic without a buffered event holds the others back until `quiet(topic, since)` tells that the broker had
    nothing more of it `idle_s` seconds after its last event; then it counts as idle until it has one again.
    With `idle_s` 0 nothing ever waits. `clock` gives epoch seconds.
    """

    def __init__(
        self, topics: tuple[str, ...], idle_s: float, clock: Callable[[], float], quiet: Callable[[str, float], bool]
    ) -> None:
        self._clock = clock
        self._quiet = quiet
        self._idle_s = idle_s
        self._batches: dict[str, deque[Batch]] = {topic: deque() for topic in topics}
        self._last_seen: dict[str, float] = dict.fromkeys(topics, clock())

    def add(self, batch: Batch) -> None:
        """Buffer a batch behind those of its topic."""
        self._batches[batch.topic].append(batch)
        self._last_seen[batch.topic] = self._clock()

    def clear(self) -> None:
        """Forget everything that is buffered."""
        for waiting in self._batches.values():
            waiting.clear()

    @property
    def buffered(self) -> bool:
        """Whether anything waits."""
        return any(self._batches.values())

    def take(self, limit: int) -> tuple[list[Item], list[Batch]]:
        """Up to `limit` events in time order and the batches that are exhausted by them."""
        items: list[Item] = []
        done: list[Batch] = []
        self._drop_exhausted(done)
        while len(items) < limit and not self._must_wait():
            heads = [(batches[0].head.time, topic) for topic, batches in self._batches.items() if batches]
            if not heads:
                break
            self._take_run(min(heads)[1], limit, items)
            self._drop_exhausted(done)
        return items, done

    def idle(self, idle_s: float) -> list[str]:
        """The topics of which nothing is buffered, and the broker had nothing `idle_s` after their last event."""
        empty = (topic for topic, batches in self._batches.items() if not batches)
        return [topic for topic in empty if self._quiet(topic, self._last_seen[topic] + idle_s)]

    def _must_wait(self) -> bool:
        if not self._idle_s:
            return False
        empty = (topic for topic, batches in self._batches.items() if not batches)
        return any(not self._quiet(topic, self._last_seen[topic] + self._idle_s) for topic in empty)

    def _drop_exhausted(self, done: list[Batch]) -> None:
        for batches in self._batches.values():
            while batches and batches[0].exhausted:
                done.append(batches.popleft())

    def _take_run(self, topic: str, limit: int, items: list[Item]) -> None:
        """Take from one topic's first batch until another topic's head is older."""
        batch = self._batches[topic][0]
        others = [b[0].head.time for other, b in self._batches.items() if b and other != topic]
        until = min(others, default=float("inf"))
        items += batch.take(until, limit - len(items))


def _stream_time(times: list[float], position: int) -> float:
    """The time at which an event takes its place in the merge and moves the clock.

    One event with a wrong clock far ahead must move neither; a real gap is confirmed by the events behind it.
    """
    following = sorted(times[position + 1 : position + 1 + _AHEAD])
    if len(following) < _FEW:
        return times[position]
    return min(times[position], following[len(following) // 2])
