"""Sends refused records to the quarantine, commands to the trainer; returns only once the broker has them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.churn.control import CONTROL_KEY, Control, encode_control
from models.events.quarantine import quarantine_record
from models.events.types import Rejection
from models.settings import BrokerSettings
from streams.kafka import producer_options
from streams.topics import EXAMPLES, QUARANTINE, topic_name
from streams.warehouse.intake import Refused

_GOODBYE_S = 5.0


class Outbox:
    """Connects when there is something to send, as most warehouses never have anything."""

    def __init__(self, broker: BrokerSettings) -> None:
        self._broker = broker
        self._producer: Any = None

    async def refuse(self, refused: Sequence[Refused], at: float) -> None:
        """Send with `at` (epoch seconds) as the time. Raises KafkaError, OSError; then all may be sent again."""
        if not refused:
            return
        await self._send(QUARANTINE, [(None, _value(one, at)) for one in refused])

    async def command(self, control: Control) -> None:
        """Tell the trainer, among its examples. Raises KafkaError, OSError; then it may be sent again."""
        await self._send(EXAMPLES, [(CONTROL_KEY, encode_control(control))])

    async def close(self) -> None:
        """Close the connection; a broker that is away is not waited for. Safe to call again."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await producer.stop()

    async def _send(self, logical: str, records: Sequence[tuple[bytes | None, bytes]]) -> None:
        producer, topic = await self._connected(), topic_name(self._broker, logical)
        sent = [await producer.send(topic, key=key, value=value) for key, value in records]
        await asyncio.gather(*sent)

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
