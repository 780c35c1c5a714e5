"""Kafka client options from the settings, in one place for every role."""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.codec import lz4_encode, zstd_encode
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, RequestTimedOutError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from models.settings import BrokerSettings, Settings

# aiokafka has no setting for the level and takes the slowest of lz4: 8 us for a record of 300 bytes, more than all
# else that a send costs. Level 1 takes 1 us, for 45 % more bytes. Of zstd, level 1 packs our records as small as
# level 3 does, in three quarters of the time.
vars(sys.modules[DefaultRecordBatchBuilder.__module__]).update(
    lz4_encode=partial(lz4_encode, level=1), zstd_encode=partial(zstd_encode, level=1)
)


class Record(msgspec.Struct, gc=False):
    """What every consumer of this package gets for a record: the fields of aiokafka's `ConsumerRecord` that are used.

    Times are milliseconds since 1970; `timestamp_type` is 1 where the broker stamped the record.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def _record(_: PartitionRecords, tp: TopicPartition, raw: Any) -> Record:
    return Record(
        tp.topic, tp.partition, raw.offset, raw.timestamp, raw.timestamp_type, raw.key, raw.value, tuple(raw.headers)
    )


# aiokafka makes a dataclass of eleven fields for each record, which is half of what fetching one costs.
PartitionRecords._consumer_record = _record

#: Most bytes of records that a producer puts into one batch; a larger record goes alone.
LARGEST_BATCH_BYTES = 512 * 1024
_CLOSE_WITHIN_S = 3.0
_FIRST_RETRY_S, _LAST_RETRY_S = 0.2, 3.0
T = TypeVar("T")
log = logging.getLogger(__name__)


def security_options(broker: BrokerSettings) -> dict[str, Any]:
    """Connection options that aiokafka's consumer, producer and admin client share."""
    options: dict[str, Any] = {
        "bootstrap_servers": broker.bootstrap.split(","),
        "client_id": broker.client_id,
        "request_timeout_ms": int(broker.request_timeout_s * 1000),
        "security_protocol": broker.security_protocol,
    }
    if broker.security_protocol.endswith("SSL"):
        options["ssl_context"] = ssl.create_default_context()
    if broker.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = broker.sasl_mechanism
        options["sasl_plain_username"] = broker.sasl_username
        options["sasl_plain_password"] = broker.sasl_password
    return options


def producer_options(broker: BrokerSettings) -> dict[str, Any]:
    """Options of a producer whose acknowledgements mean that the data is on all in-sync replicas."""
    return security_options(broker) | {
        "acks": "all",
        "linger_ms": 5,
        "max_batch_size": LARGEST_BATCH_BYTES,
        "max_request_size": 8 * 1024 * 1024,
        "compression_type": None if broker.compression == "none" else broker.compression,
    }


def heartbeat_s(broker: BrokerSettings) -> float:
    """Seconds between a group member's heartbeats: ten fit into the session timeout, so two lost ones do no harm."""
    return min(3.0, broker.session_timeout_s / 10)


async def reached(broker: BrokerSettings, start: Callable[[], Awaitable[T]]) -> T:
    """What `start` gives, asked for again while no broker answers it, for `broker.request_timeout_s` at most.

    A role that starts in an outage waits like one that is running. `start` must make its client anew each time.

    Raises
    ------
    aiokafka.errors.KafkaConnectionError
        No broker answered in all that time.
    """
    until, delay_s = time.monotonic() + broker.request_timeout_s, _FIRST_RETRY_S
    while True:
        try:
            return await start()
        except (KafkaConnectionError, RequestTimedOutError, NodeNotReadyError) as error:
            if time.monotonic() + delay_s > until:
                raise
            log.warning("no broker answers at %r, trying again in %.1f s: %r", broker.bootstrap, delay_s, error)
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, _LAST_RETRY_S)


async def started_consumer(broker: BrokerSettings, make: Callable[[], AIOKafkaConsumer]) -> AIOKafkaConsumer:
    """A started consumer of those that `make` gives; end it with `close_consumer`. Raises as `reached` does."""

    async def start() -> AIOKafkaConsumer:
        consumer = make()
        try:
            await consumer.start()
        except BaseException:
            await close_consumer(consumer)
            raise
        return consumer

    return await reached(broker, start)


async def lone_consumer(broker: BrokerSettings, **options: Any) -> AIOKafkaConsumer:
    """A started consumer outside any group, with more `options` of aiokafka. Raises as `reached` does."""
    common = security_options(broker) | {"enable_auto_commit": False}
    return await started_consumer(broker, lambda: AIOKafkaConsumer(**common, **options))


def group_id(settings: Settings, part: str = "") -> str:
    """The consumer group of a part of this deployment; the topic prefix keeps deployments on one cluster apart."""
    return f"{settings.broker.topic_prefix}{settings.worker.app_id}" + (f"-{part}" if part else "")


def group_options(broker: BrokerSettings) -> dict[str, Any]:
    """Options of a consumer in a group that commits by itself and reads a topic from its beginning."""
    return security_options(broker) | {
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "session_timeout_ms": int(broker.session_timeout_s * 1000),
        "heartbeat_interval_ms": int(heartbeat_s(broker) * 1000),
        "rebalance_timeout_ms": int(broker.rebalance_timeout_s * 1000),
        "max_partition_fetch_bytes": 8 * 1024 * 1024,
        # The embedded broker looks for new records only when this wait ends, so it is a quiet topic's delay there.
        "fetch_max_wait_ms": 100,
    }


async def close_consumer(consumer: AIOKafkaConsumer) -> bool:
    """Leave the group and close, also without a broker; False if that could not be done in order.

    aiokafka 0.14 lets the cancellation of its own waiting requests out of `stop`, which would look like the caller's,
    and then leaves its connections open.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    try:
        await asyncio.wait([stopping], timeout=_CLOSE_WITHIN_S)
    finally:
        stopping.cancel()
    await asyncio.wait([stopping])
    in_order = not stopping.cancelled() and stopping.exception() is None
    if not in_order:
        await consumer._client.close()
    return in_order


async def log_ends(broker: BrokerSettings, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The offset that the next record of each partition will get.

    Use this instead of a consumer's `end_offsets` where too low an answer does harm: the embedded broker tells the
    offset after the *first* record of the last batch. The high watermark of a fetch at that place is right.

    Raises
    ------
    aiokafka.errors.KafkaError
        The broker cannot be reached, or a partition does not exist.
    """
    wanted = list(partitions)
    if not wanted:
        return {}
    consumer = await lone_consumer(broker, fetch_max_wait_ms=50)
    try:
        consumer.assign(wanted)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(wanted)
        open_ends = [partition for partition, end in ends.items() if end > 0]
        for partition in open_ends:
            consumer.seek(partition, ends[partition] - 1)
        consumer.pause(*(partition for partition in wanted if partition not in open_ends))
        while any(consumer.highwater(partition) is None for partition in open_ends):
            await consumer.getmany(timeout_ms=50)
        return {partition: max(end, consumer.highwater(partition) or 0) for partition, end in ends.items()}
    finally:
        await close_consumer(consumer)
