"""Batched sends to explicit partitions whose acknowledgements are awaited by the caller.

aiokafka's `send` costs a coroutine and a future per record; `create_batch`/`send_batch` cost one per batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from models.settings import BrokerSettings
from streams.chunks.delivery import connect, disconnect, topic_known, watch


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One record to send. `timestamp_ms` None means now, `value` None is a tombstone."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class BatchProducer:
    """An aiokafka producer for whole batches. Start it before use and stop it last.

    A broker that is away is waited for, up to `broker.delivery_timeout_s`; see `streams.chunks.delivery`.
    """

    def __init__(self, broker: BrokerSettings) -> None:
        self._broker = broker
        self._producer: AIOKafkaProducer | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect. Raises aiokafka.errors.KafkaConnectionError when no broker answers."""
        self._producer = await connect(self._broker)
        self._watching = asyncio.create_task(watch(self._producer, self._broker), name="watch deliveries")

    async def stop(self) -> None:
        """Send what is buffered, or see it fail, and close."""
        if self._producer is not None:
            await disconnect(self._producer)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    @property
    def client(self) -> AIOKafkaProducer:
        """The producer itself. Raises RuntimeError before `start`."""
        if self._producer is None:
            msg = "producer not started: call start() first"
            raise RuntimeError(msg)
        return self._producer

    async def send(self, topic: str, partition: int, records: Iterable[Outgoing]) -> list[asyncio.Future[Any]]:
        """Queue records for one partition in order; return futures that end when the broker has them."""
        return [future for future, _ in await self.send_counted(topic, partition, records)]

    async def send_counted(
        self, topic: str, partition: int, records: Iterable[Outgoing]
    ) -> list[tuple[asyncio.Future[Any], int]]:
        """As `send`, each future with its number of records: they lie from `future.result().offset` on."""
        client, sent, count = self.client, list[tuple[asyncio.Future[Any], int]](), 0
        await topic_known(client, self._broker, topic)
        batch = client.create_batch()
        for record in records:
            if not self._append(batch, record):
                if count:
                    sent.append((await client.send_batch(batch, topic, partition=partition), count))
                    batch = client.create_batch()
                if not count or not self._append(batch, record):
                    sent.append((await self._send_alone(topic, partition, record), 1))
                    count = 0
                    continue
                count = 0
            count += 1
        if count:
            sent.append((await client.send_batch(batch, topic, partition=partition), count))
        return sent

    @staticmethod
    def _append(batch: Any, record: Outgoing) -> bool:
        appended = batch.append(
            key=record.key, value=record.value, timestamp=record.timestamp_ms, headers=list(record.headers)
        )
        return appended is not None

    async def _send_alone(self, topic: str, partition: int, record: Outgoing) -> asyncio.Future[Any]:
        # Larger than a batch: aiokafka's own path allows records up to max_request_size.
        future: asyncio.Future[Any] = await self.client.send(
            topic, record.value, key=record.key, partition=partition,
            timestamp_ms=record.timestamp_ms, headers=list(record.headers),
        )  # fmt: skip
        return future


async def wait_all(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Wait for all futures; raise the first failure after all have ended.

    Cancelling the caller leaves the futures alone (gather would cancel them): the sends go on.
    """
    waiting = list(futures)
    if waiting:
        await asyncio.wait(waiting)
    for future in waiting:
        future.result()
