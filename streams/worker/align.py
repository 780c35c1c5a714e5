"""Reading the topics of one partition in event-time order, as far as they are there.

Topics of different density would otherwise drift apart in a replay: a chunk of a thousand purchases spans
weeks, one of clicks an hour. Kafka Streams merges the partitions of a task for the same reason ("stream time").
Order within a topic is never changed, so offsets of one source stay monotone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from models.events.types import Event


class Batch:
    """A decoded chunk: its events in offset order and what else its records caused.

    `faust_event` is what to acknowledge when all is durable. Each item is (event, source, offset, record).
    """

    __slots__ = ("faust_event", "items", "taken", "topic")

    def __init__(self, topic: str, faust_event: Any) -> None:
        self.topic = topic
        self.faust_event = faust_event
        self.items: list[tuple[Event, str, int, Any]] = []
        self.taken = 0


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
        self._keys: dict[str, float] = dict.fromkeys(topics, float("-inf"))

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

    def take(self, limit: int) -> tuple[list[tuple[Event, str, int, Any]], list[Batch]]:
        """Up to `limit` events in time order and the batches that are exhausted by them."""
        events: list[tuple[Event, str, int, Any]] = []
        done: list[Batch] = []
        self._drop_exhausted(done)
        while len(events) < limit and not self._must_wait():
            heads = [(self._head_key(topic), topic) for topic, batches in self._batches.items() if batches]
            if not heads:
                break
            self._take_run(min(heads)[1], limit, events)
            self._drop_exhausted(done)
        return events, done

    def _must_wait(self) -> bool:
        if not self._idle_s:
            return False
        empty = (topic for topic, batches in self._batches.items() if not batches)
        return any(not self._quiet(topic, self._last_seen[topic] + self._idle_s) for topic in empty)

    def _drop_exhausted(self, done: list[Batch]) -> None:
        for batches in self._batches.values():
            while batches and batches[0].taken == len(batches[0].items):
                done.append(batches.popleft())

    def _head_key(self, topic: str) -> float:
        batch = self._batches[topic][0]
        # A late event does not pull its topic's place back: the key only grows within a topic.
        return max(self._keys[topic], batch.items[batch.taken][0].time)

    def _take_run(self, topic: str, limit: int, events: list[tuple[Event, str, int, Any]]) -> None:
        """Take from one topic's first batch until another topic's head is older."""
        batch = self._batches[topic][0]
        others = [self._head_key(other) for other, batches in self._batches.items() if batches and other != topic]
        until = min(others, default=float("inf"))
        key = self._keys[topic]
        while batch.taken < len(batch.items) and len(events) < limit:
            item = batch.items[batch.taken]
            key = max(key, item[0].time)
            if key > until:
                break
            self._keys[topic] = key
            events.append(item)
            batch.taken += 1
