"""Batched sends to explicit partitions whose acknowledgements are awaited by the caller.

aiokafka's `send` costs a coroutine and a future per record; `create_batch`/`send_batch` cost one per batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from models.settings import BrokerSettings
from streams.chunks.delivery import connect, disconnect, topic_known, watch

_NONE: list[tuple[str, bytes]] = []


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
        client, waiting, sent = self.client, list(records), list[tuple[asyncio.Future[Any], int]]()
        await topic_known(client, self._broker, topic)
        first = 0
        while first < len(waiting):
            batch = client.create_batch()
            count = _fill(batch, waiting, first)
            if count:
                sent.append((await client.send_batch(batch, topic, partition=partition), count))
            else:
                count = 1
                sent.append((await self._send_alone(topic, partition, waiting[first]), count))
            first += count
        return sent

    async def _send_alone(self, topic: str, partition: int, record: Outgoing) -> asyncio.Future[Any]:
        # Larger than a batch: aiokafka's own path allows records up to max_request_size.
        future: asyncio.Future[Any] = await self.client.send(
            topic, record.value, key=record.key, partition=partition,
            timestamp_ms=record.timestamp_ms, headers=list(record.headers),
        )  # fmt: skip
        return future


def _fill(batch: Any, records: Sequence[Outgoing], first: int) -> int:
    """Put the records from `first` on into an empty batch until it is full; returns how many.

    Does what `BatchBuilder.append` does, without its detours per record, which cost more than the appending. A closed
    batch does not linger: nothing will be added to it.
    """
    append, now_ms, count = batch._builder.append, int(time.time() * 1000), 0
    for record in islice(records, first, None):
        at_ms = now_ms if record.timestamp_ms is None else record.timestamp_ms
        if append(count, at_ms, record.key, record.value, list(record.headers) if record.headers else _NONE) is None:
            break
        count += 1
    batch._relative_offset = count
    batch.close()
    return count


async def wait_all(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Wait for all futures; raise the first failure after all have ended.

    Cancelling the caller leaves the futures alone (gather would cancel them): the sends go on.
    """
    waiting = list(futures)
    if waiting:
        await asyncio.wait(waiting)
    for future in waiting:
        future.result()
