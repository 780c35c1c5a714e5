"""The broker of one benchmark run, its topics, filling them and looking at their ends."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from models.settings import BrokerSettings
from streams.chunks import BatchProducer, Outgoing, wait_all
from streams.embedded import EmbeddedBroker
from streams.kafka import log_ends, security_options
from streams.worker.changelog import read_to_end
from streams.worker.intake import partition_of
from tests.brokers import KafkaServer, KafkaUnavailable, kafka_jars

PARTITIONS = 4
#: Records of one partition sent together when filling a topic: producers in the field send batches, too.
_FILL = 500
_POLL_S = 0.05
_APPEND_TIME = 1


class Cluster:
    """One broker. `told` is what the results call it; topics of this run begin with `prefix`."""

    def __init__(self, broker: BrokerSettings, told: str, *, embedded: bool) -> None:
        self.broker, self.told, self.embedded = broker, told, embedded

    def scratch(self) -> BrokerSettings:
        """The broker's settings with a topic prefix that nobody uses yet."""
        return msgspec.structs.replace(self.broker, topic_prefix=f"{self.broker.topic_prefix}{uuid.uuid4().hex[:8]}-")


@contextmanager
def cluster(which: str) -> Iterator[Cluster]:
    """The broker to measure on: `kafka` (started from Maven jars), `embedded`, a host:port, or `auto`.

    `auto` is Apache Kafka where Java and Maven are, else the embedded broker.

    Raises
    ------
    KafkaUnavailable
        `kafka` was asked for and cannot be had.
    """
    prefix = f"bench-{uuid.uuid4().hex[:6]}-"
    if which == "auto":
        which = "kafka" if _has_kafka() else "embedded"
    if which == "kafka":
        jars = kafka_jars()
        told = f"Apache Kafka {_version(jars)}, one node (KRaft)"
        with KafkaServer(jars) as server:
            yield Cluster(_settings(server.bootstrap, prefix, 10.0), told, embedded=False)
    elif which == "embedded":
        with EmbeddedBroker() as small:
            yield Cluster(_settings(small.bootstrap, prefix, 2.0), "the embedded one (Tansu)", embedded=True)
    else:
        yield Cluster(_settings(which, prefix, 10.0), "as given by address", embedded=False)


def _settings(bootstrap: str, prefix: str, session_s: float) -> BrokerSettings:
    return BrokerSettings(
        bootstrap=bootstrap, topic_prefix=prefix, partitions=PARTITIONS, session_timeout_s=session_s,
        rebalance_timeout_s=20.0,
    )  # fmt: skip


def _version(jars: Path) -> str:
    return next((jar.stem.rpartition("-")[2] for jar in jars.glob("kafka_2*.jar")), "of unknown version")


def _has_kafka() -> bool:
    try:
        kafka_jars()
    except KafkaUnavailable:
        return False
    return True


@asynccontextmanager
async def _admin(broker: BrokerSettings) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(**security_options(broker))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def make_topics(broker: BrokerSettings, *names: str, compacted: bool = False) -> None:
    """Create topics that stamp records on arrival, and wait until they can be used."""
    configs = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "compact" if compacted else "delete"}
    async with _admin(broker) as admin:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=configs) for name in names])
        while not all(_served(topic) for topic in await admin.describe_topics(list(names))):
            await asyncio.sleep(_POLL_S)


def _served(topic: dict[str, Any]) -> bool:
    parts = topic["partitions"]
    return len(parts) == PARTITIONS and all(part["error_code"] == 0 and part["leader"] >= 0 for part in parts)


async def drop_topics(broker: BrokerSettings) -> None:
    """Delete all topics that begin with the broker's prefix."""
    async with _admin(broker) as admin:
        names = [name for name in await admin.list_topics() if broker.topic_prefix in name]
        if names:
            await admin.delete_topics(names)


async def fill(broker: BrokerSettings, records: Iterable[tuple[str, str, bytes]]) -> int:
    """Send (topic, key, value) records, keyed as Kafka's clients do, in batches; return how many."""
    # Snappy: every client can read it, and aiokafka writes it ten times faster than lz4.
    producer, count = BatchProducer(msgspec.structs.replace(broker, compression="snappy")), 0
    await producer.start()
    waiting: dict[tuple[str, int], list[Outgoing]] = {}
    futures: list[asyncio.Future[Any]] = []
    homes: dict[str, int] = {}
    for topic, key, value in records:
        home = homes.get(key)
        if home is None:
            home = homes[key] = partition_of(key, PARTITIONS)
        batch = waiting.setdefault((topic, home), [])
        batch.append(Outgoing(key.encode(), value))
        count += 1
        if len(batch) == _FILL:
            futures += await producer.send(topic, home, waiting.pop((topic, home)))
            if len(futures) > 64:
                await wait_all(futures)
                futures.clear()
    for (topic, home), batch in waiting.items():
        futures += await producer.send(topic, home, batch)
    await wait_all(futures)
    await producer.stop()
    return count


class Ends:
    """How many records a topic has. On Apache Kafka one small request; the embedded broker needs a fetch."""

    def __init__(self, place: Cluster, topic: str) -> None:
        self._place = place
        self._partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self._consumer: AIOKafkaConsumer | None = None

    async def count(self) -> int:
        if self._place.embedded:
            ends = await log_ends(self._place.broker, self._partitions)
        else:
            if self._consumer is None:
                self._consumer = AIOKafkaConsumer(**security_options(self._place.broker), enable_auto_commit=False)
                await self._consumer.start()
            ends = await self._consumer.end_offsets(self._partitions)
        return sum(ends.values())

    async def close(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()


async def until_count(ends: Ends, wanted: int, going: Callable[[], bool], within_s: float) -> tuple[bool, float]:
    """Wait for so many records; whether they came, and when that was seen (epoch seconds)."""
    deadline = time.monotonic() + within_s
    while await ends.count() < wanted:
        if time.monotonic() > deadline or not going():
            return False, time.time()
        await asyncio.sleep(_POLL_S)
    return True, time.time()


async def read_topic(broker: BrokerSettings, topic: str) -> list[Any]:
    """All records of a topic, partition by partition."""
    return [r for number in range(PARTITIONS) async for batch in read_to_end(broker, topic, number) for r in batch]


def last_append(records: list[Any]) -> float | None:
    """When the broker appended the newest record (epoch seconds); None if it stamps no arrival."""
    if not records or any(record.timestamp_type != _APPEND_TIME for record in records[-1:]):
        return None
    return max(record.timestamp for record in records) / 1000
