"""How requests travel: by HTTP, or as records to a Kafka topic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, Self

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from models.settings import BrokerSettings, SyncSettings
from streams.destinations.base import Destination
from streams.destinations.contract.messages import Reply, Request
from streams.kafka import producer_options, reached
from streams.sync.http import Sender, SendFailed

#: What only a human can mend; the records are not at fault.
_NOT_ALLOWED = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, InvalidTopicError)


class Transport(AbstractAsyncContextManager[Any], Protocol):
    """Carries requests, inside `async with`."""

    @property
    def send(self) -> Callable[[Request], Awaitable[Reply]]:
        """One exchange. Raises SendFailed or ForbiddenAddress."""
        ...


def transport_of(destination: Destination[Any], broker: BrokerSettings, sync: SyncSettings) -> Transport:
    """The transport of a destination, with its limits."""
    if destination.transport == "kafka":
        return KafkaTransport(broker, sync.timeout_s)
    return Sender(
        timeout_s=sync.timeout_s, connections=sync.concurrency, allow_private=destination.options.allow_private
    )


class KafkaTransport:
    """Writes the records of a request and answers as an HTTP endpoint would: 200, 403 or 413.

    Records are on all in-sync replicas when it answers. Of a request that failed some may be there; it is sent again as
    a whole.
    """

    def __init__(self, broker: BrokerSettings, timeout_s: float) -> None:
        self._broker, self._timeout_s = broker, timeout_s
        self._producer: Any = None

    async def __aenter__(self) -> Self:
        self._producer = await reached(self._broker, self._started)
        return self

    async def _started(self) -> Any:
        producer = AIOKafkaProducer(**producer_options(self._broker))
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def __aexit__(self, *exc_info: object) -> None:
        await self._producer.stop()

    async def send(self, request: Request) -> Reply:
        """Write every record of the request. Raises SendFailed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._write(request)
        except MessageSizeTooLargeError as error:
            return _reply(413, error)
        except _NOT_ALLOWED as error:
            return _reply(403, error)
        except TimeoutError:
            raise SendFailed("timeout", reached=True) from None
        except KafkaError as error:
            raise SendFailed(f"{type(error).__name__} on topic {request.url!r}", reached=True) from error
        return _reply(200)

    async def _write(self, request: Request) -> None:
        acknowledged: list[Awaitable[Any]] = []
        failed: list[BaseException] = []
        for key, value in orjson.loads(request.body):
            body = None if value is None else orjson.dumps(value)
            try:
                acknowledged.append(await self._producer.send(request.url, body, key=key.encode()))
            except KafkaError as error:
                failed.append(error)
                break
        outcomes = await asyncio.gather(*acknowledged, return_exceptions=True)
        failed += [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failed:
            raise failed[0]


def _reply(status: int, error: KafkaError | None = None) -> Reply:
    return Reply(status, {}, b"" if error is None else type(error).__name__.encode(), time.time())
