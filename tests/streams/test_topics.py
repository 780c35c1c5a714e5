from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from models.settings import BrokerSettings
from streams import topics
from streams.kafka import producer_options, security_options

SPECS = topics.topic_specs(BrokerSettings(partitions=6, topic_prefix="shop-"))


async def _round_trip(broker: BrokerSettings, topic: str, value: bytes) -> Any:
    producer = AIOKafkaProducer(**producer_options(broker))
    consumer = AIOKafkaConsumer(**security_options(broker), auto_offset_reset="earliest")
    await producer.start()
    await consumer.start()
    try:
        await producer.send_and_wait(topic, value, partition=0)
        consumer.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(20):
            return await consumer.getone()
    finally:
        await consumer.stop()
        await producer.stop()


def test_names_carry_the_prefix() -> None:
    """Two deployments share one cluster by their prefixes."""
    assert {spec.name for spec in SPECS} == {
        f"shop-{name}"
        for name in (
            *topics.SOURCES,
            topics.REROUTED,
            topics.QUARANTINE,
            topics.SCORES,
            topics.CHANGELOG,
            topics.LABELS,
            topics.EXAMPLES,
            topics.MODEL,
            topics.DEAD_LETTERS,
        )
    }


def test_topics_keyed_by_customer_share_one_partition_count() -> None:
    """A customer's events, state, scores and labels lie on the same partition number."""
    keyed = (*topics.SOURCES, topics.REROUTED, topics.SCORES, topics.CHANGELOG, topics.LABELS)

    counts = {spec.name: spec.partitions for spec in SPECS}

    assert {counts[f"shop-{name}"] for name in keyed} == {6}
    assert {count for name, count in counts.items() if name.removeprefix("shop-") not in keyed} == {1}


def test_only_topics_of_newest_values_are_compacted() -> None:
    """Compaction keeps the newest record per key, so it must never touch events."""
    assert {spec.name.removeprefix("shop-") for spec in SPECS if spec.compacted} == {
        "scores",
        "features-changelog",
        "model",
    }


def test_creating_again_changes_nothing(bare_broker: BrokerSettings) -> None:
    """A second start of a role finds its topics and creates none."""
    first = asyncio.run(topics.create_topics(bare_broker))
    second = asyncio.run(topics.create_topics(bare_broker))

    assert first == [spec.name for spec in topics.topic_specs(bare_broker)]
    assert second == []


def test_two_roles_may_create_at_the_same_time(bare_broker: BrokerSettings) -> None:
    """Roles that start together each create topics, and none fails over the other's."""

    async def both() -> list[str]:
        created = await asyncio.gather(topics.create_topics(bare_broker), topics.create_topics(bare_broker))
        return sorted(created[0] + created[1])

    assert asyncio.run(both()) == sorted(spec.name for spec in topics.topic_specs(bare_broker))


def test_acknowledged_means_on_two_machines_where_there_are_three() -> None:
    """With three replicas a topic asks for two that are in sync; with fewer that could not outlive one broker."""

    def insync(replication: int) -> set[str | None]:
        specs = topics.topic_specs(BrokerSettings(replication=replication))
        return {spec.configs().get("min.insync.replicas") for spec in specs}

    assert [insync(count) for count in (1, 2, 3)] == [{None}, {None}, {"2"}]


def test_source_topics_carry_large_records(broker: BrokerSettings) -> None:
    """A transcript of six megabytes that does not compress arrives whole."""
    value = os.urandom(6_000_000)

    record = asyncio.run(_round_trip(broker, topics.topic_name(broker, topics.CONTACT_CENTER), value))

    assert record.value == value


def test_an_unreachable_broker_is_named() -> None:
    """The error tells which address was tried."""
    nobody = BrokerSettings(bootstrap="127.0.0.1:1", request_timeout_s=2.0)

    with pytest.raises(topics.TopicsUnavailable, match=r"127\.0\.0\.1:1"):
        asyncio.run(topics.create_topics(nobody))


def test_no_broker_at_all_tells_what_to_set() -> None:
    """Without an address the error says how to give one."""
    with pytest.raises(topics.TopicsUnavailable, match="EBBTIDE_BROKER"):
        asyncio.run(topics.create_topics(BrokerSettings()))
