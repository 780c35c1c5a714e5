"""Sends refused records to the quarantine topic, and returns only once the broker has them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.events.quarantine import quarantine_record
from models.events.types import Rejection
from models.settings import BrokerSettings
from streams.kafka import producer_options
from streams.topics import QUARANTINE, topic_name
from streams.warehouse.intake import Refused

_GOODBYE_S = 5.0


class Quarantine:
    """Connects at the first refused record, as most warehouses never meet one."""

    def __init__(self, broker: BrokerSettings) -> None:
        self._broker = broker
        self._topic = topic_name(broker, QUARANTINE)
        self._producer: Any = None

    async def send(self, refused: Sequence[Refused], at: float) -> None:
        """Send with `at` (epoch seconds) as the time. Raises KafkaError, OSError; then all may be sent again."""
        if not refused:
            return
        producer = await self._connected()
        values = [_value(one, at) for one in refused]
        sent = [await producer.send(self._topic, value=value) for value in values]
        await asyncio.gather(*sent)

    async def close(self) -> None:
        """Close the connection; a broker that is away is not waited for. Safe to call again."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await producer.stop()

    async def _connected(self) -> Any:
        if self._producer is None:
            producer = AIOKafkaProducer(**producer_options(self._broker))
            self._producer = producer
            await producer.start()
        return self._producer


def _value(one: Refused, at: float) -> bytes:
    topic, partition = one.partition
    return quarantine_record(
        Rejection(one.error.reason, one.error.detail),
        topic=topic,
        partition=partition,
        offset=one.record.offset,
        key=one.record.key,
        raw=one.record.value,
        at=at,
    ).to_json()
