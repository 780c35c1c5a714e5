"""Sends events of a source to the broker, as fast as it takes them or at a speed of event time.

Records go out in the order of the source, in small rounds over all topics and partitions: workers bring the topics
into line by event time with limited buffers, so no topic may run far ahead of another. In flight are a few
rounds at most; the report counts what the broker has acknowledged.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from models.settings import BrokerSettings
from streams.kafka import producer_options
from streams.topics import topic_name

_ROUND_EVENTS = 1_000
_ROUND_BYTES = 1024 * 1024
_ROUNDS_IN_FLIGHT = 4
_REMEMBERED_KEYS = 1_000_000
#: Events that are looked at in advance when pacing, so that one wrong clock among them stops nothing.
_AHEAD = 64
#: Times before 1990, or later than a day from now, are wrong clocks; pacing does not follow them.
_EARLIEST, _FUTURE_S = 631_152_000.0, 86_400.0
#: Shortest wait when pacing: what falls due meanwhile is one round instead of many tiny ones.
_TICK_S = 0.02

#: An event of any source: logical topic, customer id, time in epoch seconds, bytes.
AnyEvent = tuple[str, str | None, float, bytes]


class ReplayError(RuntimeError):
    """Events could not be sent; the message says which, where to, and how many were sent before."""


class ReplayReport(msgspec.Struct, frozen=True):
    """What the broker has acknowledged. `bytes` counts values, `by_topic` events by logical topic."""

    events: int
    bytes: int
    seconds: float
    by_topic: dict[str, int]

    @property
    def events_per_s(self) -> float:
        """Events per second of real time."""
        return self.events / self.seconds if self.seconds > 0 else 0.0


async def replay(
    events: Iterable[AnyEvent],
    broker: BrokerSettings,
    *,
    speed: float | None = None,
    progress: Callable[[int, float], None] | None = None,
    stop: asyncio.Event | None = None,
) -> ReplayReport:
    """Send all events, each with its own time as the record's timestamp and the customer id as its key.

    Parameters
    ----------
    events
        In the order in which they shall arrive. Read as they are sent, never ahead by more than 64.
    broker
        Where to. The topics must exist.
    speed
        Seconds of event time per second of real time, for example 86400 for a day per second. None sends as fast as the
        broker takes them. Pacing follows the event loop's clock; times that run backwards, or lie more
        than a day in the future, wait for nothing.
    progress
        Called after every round with the number of events sent so far and the time of the last of them.
    stop
        When set, reading ends; what was read is still sent and acknowledged.

    Raises
    ------
    ReplayError
        The broker cannot be reached, a topic is missing, or records were refused. What was acknowledged before
        stays on the topics.
    ValueError
        `speed` is not positive.
    """
    if speed is not None and not speed > 0:
        raise ValueError(f"cannot replay at speed {speed!r}, allowed: a positive number of event seconds per second")
    stop = stop or asyncio.Event()
    started = asyncio.get_running_loop().time()
    async with _producer(broker) as producer:
        sender = _Sender(producer, broker, progress)
        try:
            if speed is None:
                await _send_at_once(events, sender, stop)
            else:
                await _send_paced(events, sender, stop, speed)
            await sender.drain()
        except KafkaError as error:
            raise ReplayError(
                f"cannot send events to {broker.bootstrap!r} after {sender.acknowledged} of them: {error!r}"
            ) from error
    seconds = asyncio.get_running_loop().time() - started
    return ReplayReport(sender.acknowledged, sender.bytes, seconds, dict(sender.by_topic))


@asynccontextmanager
async def _producer(broker: BrokerSettings) -> AsyncIterator[Any]:
    # Rounds are batches already; waiting for more records would only pull the topics apart.
    producer = AIOKafkaProducer(**producer_options(broker) | {"linger_ms": 0})
    try:
        await producer.start()
    except (KafkaError, OSError) as error:
        await producer.stop()
        raise ReplayError(f"cannot reach the broker at {broker.bootstrap!r}: {error!r}") from error
    try:
        yield producer
    finally:
        await producer.stop()


async def _send_at_once(events: Iterable[AnyEvent], sender: _Sender, stop: asyncio.Event) -> None:
    for event in events:
        if stop.is_set():
            return
        await sender.add(event)


async def _send_paced(events: Iterable[AnyEvent], sender: _Sender, stop: asyncio.Event, speed: float) -> None:
    loop = asyncio.get_running_loop()
    iterator = iter(events)
    ahead = deque(islice(iterator, _AHEAD))
    if not ahead:
        return
    begin, latest = loop.time(), time.time() + _FUTURE_S
    origin = next((event[2] for event in ahead if _EARLIEST <= event[2] <= latest), latest)
    while ahead and not stop.is_set():
        if origin + (loop.time() - begin) * speed < ahead[0][2]:
            wait_s = (_next_time(ahead) - origin) / speed - (loop.time() - begin)
            if wait_s > 0:
                await sender.flush()
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(wait_s, _TICK_S)):
                        await stop.wait()
                continue
        await sender.add(ahead.popleft())
        ahead.extend(islice(iterator, 1))


def _next_time(ahead: Iterable[AnyEvent]) -> float:
    """When the next event is due: no later than any that follows it, and not in the future of the real clock."""
    latest = time.time() + _FUTURE_S
    return min((event[2] for event in ahead if event[2] <= latest), default=float("-inf"))


class _Key(NamedTuple):
    data: bytes | None
    hashed: int


class _Sender:
    """Collects a round in one batch per partition, sends it, and keeps a few rounds in flight."""

    def __init__(self, producer: Any, broker: BrokerSettings, progress: Callable[[int, float], None] | None) -> None:
        self._producer, self._broker, self._progress = producer, broker, progress
        self._partitions: dict[str, int] = {}
        self._keys: dict[str, _Key] = {}
        self._open: dict[tuple[str, int], Any] = {}
        self._rounds: deque[tuple[list[asyncio.Future[Any]], dict[str, int], int]] = deque()
        self._keyless = 0
        self._new_round()
        self._sent, self._newest = 0, 0.0
        self.acknowledged, self.bytes = 0, 0
        self.by_topic: dict[str, int] = {}

    def _new_round(self) -> None:
        self._events, self._size = 0, 0
        self._counts: dict[str, int] = {}
        self._futures: list[asyncio.Future[Any]] = []

    async def add(self, event: AnyEvent) -> None:
        """Put one event into the round; a full round is sent."""
        topic, key, event_time, raw = event
        count = self._partitions.get(topic) or await self._partition_count(topic)
        data, hashed = self._key(key)
        place = topic, hashed % count
        # Brokers refuse times ahead of their clock; the event keeps its own in its bytes.
        stamp = max(0, min(int(event_time * 1000), int(time.time() * 1000)))
        batch = self._open.get(place)
        if batch is None or batch.append(timestamp=stamp, key=data, value=raw) is None:
            if batch is not None:
                await self._submit(place, batch)
            batch = self._open[place] = self._producer.create_batch()
            batch.append(timestamp=stamp, key=data, value=raw)
        self._counts[topic] = self._counts.get(topic, 0) + 1
        self._events += 1
        self._size += len(raw)
        self._newest = event_time
        if self._events >= _ROUND_EVENTS or self._size >= _ROUND_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Send what was collected, then wait until few enough rounds are in flight."""
        if not self._events:
            return
        for place, batch in self._open.items():
            await self._submit(place, batch)
        self._open.clear()
        self._sent += self._events
        self._rounds.append((self._futures, self._counts, self._size))
        self._new_round()
        while len(self._rounds) > _ROUNDS_IN_FLIGHT:
            await self._settle()
        if self._progress is not None:
            self._progress(self._sent, self._newest)

    async def drain(self) -> None:
        """Send the rest and wait for every acknowledgement."""
        await self.flush()
        while self._rounds:
            await self._settle()

    async def _settle(self) -> None:
        futures, counts, size = self._rounds[0]
        for outcome in await asyncio.gather(*futures, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        self._rounds.popleft()
        self.acknowledged += sum(counts.values())
        self.bytes += size
        for topic, count in counts.items():
            self.by_topic[topic] = self.by_topic.get(topic, 0) + count

    async def _submit(self, place: tuple[str, int], batch: Any) -> None:
        topic, partition = place
        name = topic_name(self._broker, topic)
        batch.close()
        future = await self._producer.send_batch(batch, name, partition=partition)
        # The first failure ends the replay; those of later rounds are nobody's news then.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._futures.append(future)

    async def _partition_count(self, topic: str) -> int:
        name = topic_name(self._broker, topic)
        try:
            count = len(await self._producer.partitions_for(name))
        except KafkaError as error:
            raise ReplayError(
                f"cannot send to topic {name!r} on {self._broker.bootstrap!r} after {self.acknowledged} events: "
                f"{error!r}; `ebbtide topics` creates missing topics"
            ) from error
        self._partitions[topic] = count
        return count

    def _key(self, key: str | None) -> _Key:
        if key is None:
            self._keyless += 1
            return _Key(None, self._keyless)
        known = self._keys.get(key)
        if known is None:
            if len(self._keys) >= _REMEMBERED_KEYS:
                self._keys.clear()
            data = key.encode("utf-8", "replace")
            # The partition of Kafka's default partitioner, worked out once per customer.
            known = self._keys[key] = _Key(data, murmur2(data) & 0x7FFFFFFF)
        return known
