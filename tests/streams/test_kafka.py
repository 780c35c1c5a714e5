"""What the clients of all roles share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast
from unittest.mock import patch

import pytest
from aiokafka.codec import lz4_encode
from aiokafka.errors import KafkaConnectionError
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from models.settings import BrokerSettings
from streams import kafka
from streams.kafka import log_ends, reached

_BATCH_HEADER_BYTES = 61


class Client:
    """The part of a consumer that is closed; `stop` does what the test says."""

    def __init__(self, stop: Callable[[], Any]) -> None:
        self.stop = stop
        self._client = self
        self.closed = False

    async def close(self) -> None:
        self.closed = True


async def cancelled() -> None:
    raise asyncio.CancelledError


async def hanging() -> None:
    await asyncio.Event().wait()


async def failing() -> None:
    raise OSError("no broker")


async def orderly() -> None:
    await asyncio.sleep(0)


def test_lz4_compresses_at_its_quickest() -> None:
    """The level that aiokafka takes by itself costs more than everything else that a send does."""

    def built(codec: int) -> bytes:
        builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 100_000)
        for number in range(100):
            builder.append(number, 0, b"key", b"value %d " % number * 20, [])
        return bytes(builder.build())

    plain, packed = built(0), built(DefaultRecordBatch.CODEC_LZ4)

    assert packed[_BATCH_HEADER_BYTES:] == lz4_encode(plain[_BATCH_HEADER_BYTES:], level=1)


@pytest.mark.parametrize(
    ("stop", "in_order"), [(cancelled, False), (hanging, False), (failing, False), (orderly, True)]
)
def test_closing_a_consumer_ends_whatever_aiokafka_does(stop: Callable[[], Any], in_order: bool) -> None:
    """A cancellation that leaks out of `stop` would end a role that only wants to connect again."""

    async def scenario() -> tuple[bool, bool]:
        consumer = Client(stop)
        return await kafka.close_consumer(cast("Any", consumer)), consumer.closed

    with patch.object(kafka, "_CLOSE_WITHIN_S", 0.01):
        assert asyncio.run(scenario()) == (in_order, not in_order)


def test_the_callers_own_cancellation_is_kept() -> None:
    """Whoever closes a consumer can still be cancelled."""

    async def scenario() -> None:
        closing = asyncio.ensure_future(kafka.close_consumer(cast("Any", Client(hanging))))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing

    asyncio.run(scenario())


def test_a_role_that_starts_in_an_outage_waits() -> None:
    """A start is tried again while no broker answers, up to the request timeout, and then says so."""

    async def scenario() -> None:
        tries = 0

        async def start() -> str:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise KafkaConnectionError("nobody there")
            return "here"

        assert await reached(BrokerSettings(bootstrap="x:1", request_timeout_s=30.0), start) == "here"
        tries = -1000
        with pytest.raises(KafkaConnectionError, match="nobody"):
            await reached(BrokerSettings(bootstrap="x:1", request_timeout_s=0.5), start)

    asyncio.run(scenario())


def test_asking_for_the_ends_of_nothing_asks_nobody() -> None:
    """Without partitions there is nothing to connect for."""
    assert asyncio.run(log_ends(BrokerSettings(bootstrap="127.0.0.1:1"), [])) == {}
