"""What a role refuses to start on, and what it only tells."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from aiokafka.admin import NewTopic

from models.settings import BrokerSettings
from streams import topics
from streams.topic_checks import Difference, _replication, _sizes, _times, check_topics
from tests.streams.chunks.members import create_by_hand

ONE = BrokerSettings()
SPECS = {spec.name: spec for spec in topics.topic_specs(ONE)}
WIDE = {spec.name: spec for spec in topics.topic_specs(BrokerSettings(replication=3))}


def parts(replicas: int) -> list[dict[str, Any]]:
    return [{"replicas": list(range(replicas))}] * 4


def told(found: Any) -> list[tuple[str, bool]]:
    """The part of each sentence that says what is there, and whether it does harm."""
    return [(one.text.partition(" has ")[2].partition(",")[0], one.harmful) for one in found]


def test_created_topics_have_no_differences(broker: BrokerSettings) -> None:
    """What create_topics makes is what check_topics asks for."""
    assert asyncio.run(check_topics(broker)) == []


def test_missing_topics_are_named_and_not_created(bare_broker: BrokerSettings) -> None:
    """A check only looks: it names every missing topic, each time."""
    expected = [spec.name for spec in topics.topic_specs(bare_broker)]
    for _ in range(2):
        found = asyncio.run(check_topics(bare_broker))

        assert [one.topic for one in found] == expected
        assert all(one.missing and one.harmful and "is missing" in one.text for one in found)


def test_all_differences_are_told_at_once(bare_broker: BrokerSettings) -> None:
    """Wrong partition counts, clean-up policies, times, retention and sizes each get a sentence, with their weight."""
    many, prefix = bare_broker.partitions, bare_broker.topic_prefix

    def by_hand(logical: str, partitions: int = many, **configs: str) -> NewTopic:
        named = {name.replace("_", "."): value for name, value in configs.items()}
        usual = {"max.message.bytes": str(SPECS[logical].max_message_bytes)}
        if not SPECS[logical].compacted:
            usual["message.timestamp.type"] = "LogAppendTime"
        return NewTopic(prefix + logical, partitions, 1, topic_configs=usual | named)

    wrong = [
        by_hand(topics.CLICKSTREAM, retention_ms="3600000", message_timestamp_type="CreateTime"),
        by_hand(topics.PURCHASES, cleanup_policy="compact", max_message_bytes="1000000"),
        by_hand(topics.SCORES, 3, cleanup_policy="compact"),
        by_hand(topics.CHANGELOG, cleanup_policy="delete"),
        by_hand(topics.MODEL, 1, cleanup_policy="compact,delete"),
    ]
    asyncio.run(create_by_hand(bare_broker, *wrong))
    asyncio.run(topics.create_topics(bare_broker))

    found = asyncio.run(check_topics(bare_broker))

    assert [(one.topic.removeprefix(prefix), *rest) for one, rest in zip(found, told(found), strict=True)] == [
        ("clickstream", "message.timestamp.type='CreateTime'", False),
        ("clickstream", "retention.ms=3600000", False),
        ("purchases", "cleanup.policy='compact'", True),
        ("purchases", "max.message.bytes=1000000", False),
        ("scores", "3 partition(s)", True),
        ("features-changelog", "cleanup.policy='delete'", True),
        ("model", "cleanup.policy='compact", True),
    ]


def test_too_few_replicas_are_refused(broker: BrokerSettings) -> None:
    """Topics with one copy do not satisfy settings that ask for two."""
    found = asyncio.run(check_topics(msgspec.structs.replace(broker, replication=2)))

    assert told(found) == [("1 replica(s)", True)] * len(SPECS)


@pytest.mark.parametrize(
    ("insync", "replicas", "expected"),
    [
        ("2", 3, []),
        ("3", 3, []),
        ("1", 3, [("min.insync.replicas=1", False)]),
        ("4", 3, [("min.insync.replicas=4", True)]),
    ],
)
def test_replicas_in_sync_must_be_possible_and_should_be_two(insync: str, replicas: int, expected: Any) -> None:
    """More than there are refuse every write; one of three means that an acknowledgement can be lost."""
    found = _replication(WIDE["scores"], parts(replicas), {"min.insync.replicas": insync})

    assert told(found) == expected


@pytest.mark.parametrize(("limit", "harmful"), [(2 * 1024 * 1024 - 1, False), (512 * 1024, False), (500_000, True)])
def test_a_topic_must_take_whole_batches_of_ours(limit: int, harmful: bool) -> None:
    """A limit below a producer's batch refuses what the worker writes; above it only single large records."""
    found = list(_sizes(SPECS["scores"], {"max.message.bytes": str(limit)}, ours=True))

    assert told(found) == [(f"max.message.bytes={limit}", harmful)]
    assert told(_sizes(SPECS["scores"], {"max.message.bytes": str(limit)}, ours=False))[0][1] is False


def test_settings_that_a_broker_does_not_report_are_not_faulted() -> None:
    """The embedded broker tells only what was given at creation."""
    spec = SPECS["clickstream"]
    found: list[Difference] = [
        *_times(spec, {}, source=True), *_sizes(spec, {}, ours=True), *_replication(spec, parts(1), {}),
    ]  # fmt: skip

    assert found == []
