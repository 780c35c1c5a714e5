"""Reading partitions outside of any group: whole, from one offset to another, or only where they end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from models.settings import BrokerSettings
from streams.kafka import close_consumer, log_ends, lone_consumer


@asynccontextmanager
async def assigned_consumer(broker: BrokerSettings, topic: str, partition: int) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer outside any group, at the beginning of one partition."""
    consumer = await lone_consumer(
        broker, auto_offset_reset="earliest", max_partition_fetch_bytes=8 * 1024 * 1024, fetch_max_wait_ms=100
    )
    try:
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        yield consumer
    finally:
        await close_consumer(consumer)


async def read_to_end(broker: BrokerSettings, topic: str, partition: int) -> AsyncIterator[list[Any]]:
    """Yield lists of records from the beginning until the end is reached and nothing more comes at once.

    The end is told by the position, not by the last record: compaction and markers leave gaps. And it is
    only a lower bound: the embedded broker reports the offset behind the *first* record of the last batch.
    """
    async with assigned_consumer(broker, topic, partition) as consumer:
        tp = TopicPartition(topic, partition)
        end = (await consumer.end_offsets([tp]))[tp]
        if not end:
            return
        while True:
            fetched = await consumer.getmany(tp, timeout_ms=300)
            for records in fetched.values():
                yield records
            if not fetched and await consumer.position(tp) >= end:
                return


async def read_range(
    broker: BrokerSettings, topic: str, partition: int, first: int, last: int
) -> AsyncIterator[list[Any]]:
    """Yield lists of the records from offset `first` to `last`, as far as the log still holds them."""
    tp = TopicPartition(topic, partition)
    end = min(last + 1, (await log_ends(broker, [tp]))[tp])
    async with assigned_consumer(broker, topic, partition) as consumer:
        consumer.seek(tp, max(first, (await consumer.beginning_offsets([tp]))[tp]))
        while await consumer.position(tp) < end:
            for records in (await consumer.getmany(tp, timeout_ms=1000)).values():
                yield [record for record in records if record.offset <= last]


class LogWatch:
    """Asks for the ends of logs again and again, over connections that stay open."""

    def __init__(self, broker: BrokerSettings) -> None:
        self._broker = broker
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect. Raises aiokafka.errors.KafkaConnectionError when no broker answers."""
        self._consumer = await lone_consumer(self._broker)

    async def stop(self) -> None:
        """Close the connections."""
        if self._consumer is not None:
            await close_consumer(self._consumer)

    async def ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """The end of each log, at most: the embedded broker may leave out records of the last batch.

        Raises aiokafka.errors.KafkaError when the broker cannot be asked, RuntimeError before `start`.
        """
        if self._consumer is None:
            msg = "log watch not started: call start() first"
            raise RuntimeError(msg)
        found: dict[TopicPartition, int] = await self._consumer.end_offsets(partitions)
        return found
