"""Reading topics whole, outside of any group."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from models.settings import BrokerSettings
from streams.kafka import security_options
from streams.outside import ends_of
from streams.topics import topic_name
from streams.verify.inputs import CannotVerify


async def scan(broker: BrokerSettings, logical: str, numbers: Iterable[int]) -> AsyncIterator[tuple[int, list[Any]]]:
    """Lists of records of some partitions of one topic, each in order, from its beginning to its present end.

    Raises
    ------
    CannotVerify
        The broker gives nothing for `broker.request_timeout_s` although the end is not reached.
    """
    name = topic_name(broker, logical)
    told = await ends_of(broker, [(logical, number) for number in numbers])
    ends = {TopicPartition(name, number): end for (_, number), end in told.items()}
    left = {tp for tp, end in ends.items() if end > 0}
    if not left:
        return
    async with reader(broker, left) as consumer:
        patience = broker.request_timeout_s
        deadline = time.monotonic() + patience
        while left := {tp for tp in left if await consumer.position(tp) < ends[tp]}:
            fetched = await consumer.getmany(*left, timeout_ms=500)
            for tp, records in fetched.items():
                deadline = time.monotonic() + patience
                yield tp.partition, records
            if time.monotonic() > deadline:
                raise CannotVerify(
                    f"read no record of {name!r} for {patience:g} s, below the ends of {len(left)} partitions"
                )


@asynccontextmanager
async def reader(
    broker: BrokerSettings, partitions: Iterable[TopicPartition], group: str | None = None
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer at the beginning of some partitions. It may ask for the offsets of a group, but does not join it."""
    consumer = AIOKafkaConsumer(
        group_id=group,
        **security_options(broker),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=8 * 1024 * 1024,
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    try:
        consumer.assign(list(partitions))
        await consumer.seek_to_beginning()
        yield consumer
    finally:
        await consumer.stop()
