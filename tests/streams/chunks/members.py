"""What the transport's tests share: a group member that keeps what it read, and what a group has committed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from models.settings import BrokerSettings, Settings, WorkerSettings
from streams.chunks import BatchProducer, Chunk, ChunkApp, Outgoing, ack, chunk_app, chunk_topic, run_app
from streams.kafka import security_options
from streams.topics import CLICKSTREAM, topic_name

GROUP = "chunk-test"


class Reader:
    """One member of the group: keeps what it read and acknowledges what `settles` says."""

    def __init__(self, broker: BrokerSettings, settles: Callable[[Chunk], bool] = lambda _: True) -> None:
        worker = WorkerSettings(chunk_records=10, commit_interval_s=0.2)
        self.settings = Settings(broker=broker, worker=worker)
        self.settles = settles
        self.chunks: list[Chunk] = []
        self.changed = asyncio.Event()
        self.held: list[Any] = []
        self.app: ChunkApp | None = None

    @property
    def offsets(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for chunk in self.chunks:
            found.setdefault(chunk.partition, []).extend(r.offset for r in chunk.records)
        return found

    async def consume(self, stream: Any) -> None:
        async for event in stream.noack().events():
            self.chunks.append(event.value)
            if self.settles(event.value):
                ack(event)
            else:
                self.held.append(event)
            self.changed.set()

    async def _drop(self, _revoked: set[Any]) -> None:
        self.held.clear()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Reader]:
        stop, failed = asyncio.Event(), asyncio.get_running_loop().create_future()
        self.app = chunk_app(self.settings, self.settings.broker.topic_prefix + GROUP)
        self.app.on_revoke(self._drop)
        name = topic_name(self.settings.broker, CLICKSTREAM)
        self.app.agent(chunk_topic(self.app, name), name="reader")(self.consume)
        task = asyncio.ensure_future(run_app(self.app, stop, failed))
        try:
            yield self
        finally:
            stop.set()
            await task

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(40):
            while not condition():
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await self.changed.wait()


async def create_by_hand(broker: BrokerSettings, *wanted: NewTopic) -> None:
    admin = AIOKafkaAdminClient(**security_options(broker))
    await admin.start()
    try:
        await admin.create_topics(list(wanted))
    finally:
        await admin.close()


async def produce(broker: BrokerSettings, count: int, partitions: int = 4) -> None:
    producer = BatchProducer(broker)
    await producer.start()
    for partition in range(partitions):
        records = [Outgoing(b"k", str(i).encode()) for i in range(count)]
        await asyncio.gather(*await producer.send(topic_name(broker, CLICKSTREAM), partition, records))
    await producer.stop()


async def committed(broker: BrokerSettings) -> dict[int, int]:
    consumer = AIOKafkaConsumer(
        **security_options(broker), group_id=broker.topic_prefix + GROUP, enable_auto_commit=False
    )
    await consumer.start()
    try:
        tps = [TopicPartition(topic_name(broker, CLICKSTREAM), p) for p in range(broker.partitions)]
        return {tp.partition: await consumer.committed(tp) or 0 for tp in tps}
    finally:
        await consumer.stop()
