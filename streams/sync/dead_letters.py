"""Dead letters: what will not be delivered, kept on topic `dead_letters` with the reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.settings import BrokerSettings
from streams.kafka import producer_options
from streams.topics import DEAD_LETTERS, topic_name


class BuryFailed(Exception):  # noqa: N818 - reads as the fact that it states
    """A dead letter could not be written."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A score that will not be delivered. `at` is ISO-8601 UTC; `payload` is the score as mapped for the destination.

    `reason` is refused, too_large, gave_up or invalid_score; `detail` is the destination's or decoder's own word.
    """

    destination: str
    customer_id: str
    score_id: str
    reason: str
    detail: str
    status: int | None
    attempts: int
    payload: dict[str, Any] | None
    at: str


class DeadLetters:
    """Writes dead letters of one destination, inside `async with`."""

    def __init__(self, broker: BrokerSettings, destination: str) -> None:
        self._broker, self._destination = broker, destination
        self._topic = topic_name(broker, DEAD_LETTERS)
        self._producer: Any = None

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(**producer_options(self._broker))
        await self._producer.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._producer.stop()

    async def bury(self, letter: DeadLetter) -> None:
        """Write a letter; returns once it is on all in-sync replicas. Raises BuryFailed."""
        try:
            await self._producer.send_and_wait(
                self._topic, msgspec.json.encode(letter), key=letter.customer_id.encode()
            )
        except KafkaError as error:
            raise BuryFailed(f"{type(error).__name__} on topic {self._topic!r}") from error

    async def bury_record(self, record: Any, detail: str) -> None:
        """Keep a record that is no score; its place is named. Raises BuryFailed."""
        place = f"{record.topic}[{record.partition}]@{record.offset}"
        await self.bury(
            DeadLetter(
                destination=self._destination,
                customer_id=(record.key or b"").decode("utf-8", "replace"),
                score_id="",
                reason="invalid_score",
                detail=f"{place}: {detail}",
                status=None,
                attempts=0,
                payload=None,
                at=datetime.now(UTC).isoformat(),
            )
        )
