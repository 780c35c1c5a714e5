"""The topics: their names, their layout, how they are created and how they are checked.

The layout is part of the guarantees: sources, `rerouted`, `scores` and the changelog have the same number of
partitions, so a customer's state, changelog and scores share one partition number. `create_topics` makes
what is missing and never changes what exists; `check_topics` says in plain sentences where a cluster
differs from what the settings ask for. Both work on Apache Kafka and on the embedded broker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from models.settings import BrokerSettings
from streams.kafka import security_options

CLICKSTREAM = "clickstream"
PURCHASES = "purchases"
CONTACT_CENTER = "contact_center"
REROUTED = "rerouted"
QUARANTINE = "quarantine"
SCORES = "scores"
CHANGELOG = "features-changelog"
EXAMPLES = "examples"
MODEL = "model"
DEAD_LETTERS = "dead_letters"

#: Topics that producers outside write to.
SOURCES = (CLICKSTREAM, PURCHASES, CONTACT_CENTER)

#: Largest record batch in bytes. Sources carry transcripts, quarantine whatever came in; the rest are our own records.
_LARGE_BYTES = 8 * 1024 * 1024
_USUAL_BYTES = 2 * 1024 * 1024

#: Retention counts from arrival. By the producer's time a replayed year would be deleted at once, and an event
#: stamped more than an hour ahead would be refused to its producer instead of being judged by our decoder.
_RETENTION = {"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime"}

#: Compaction of a topic that holds the newest record per key. The segment is closed hourly or at 64 MiB, since
#: only closed segments are compacted; a delete marker stays readable for a day, longer than any reader is away.
_COMPACTION = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.2",
    "segment.ms": "3600000",
    "segment.bytes": str(64 * 1024 * 1024),
    "delete.retention.ms": "86400000",
}


class TopicsUnavailable(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """The broker could not be asked, or refused, to list or create topics."""


class TopicSpec(msgspec.Struct, frozen=True):
    """One topic as it should be. `name` is the real name, prefix included."""

    name: str
    partitions: int
    compacted: bool
    max_message_bytes: int

    def configs(self) -> dict[str, str]:
        """The topic's settings as Kafka names them."""
        cleanup = _COMPACTION if self.compacted else _RETENTION
        return cleanup | {"max.message.bytes": str(self.max_message_bytes)}


def topic_name(broker: BrokerSettings, logical: str) -> str:
    """The real name of a topic of this deployment."""
    return broker.topic_prefix + logical


def topic_specs(broker: BrokerSettings) -> tuple[TopicSpec, ...]:
    """Every topic of this deployment, sources first."""
    many = broker.partitions
    layout: tuple[tuple[str, int, bool, int], ...] = (
        (CLICKSTREAM, many, False, _LARGE_BYTES),
        (PURCHASES, many, False, _LARGE_BYTES),
        (CONTACT_CENTER, many, False, _LARGE_BYTES),
        (REROUTED, many, False, _LARGE_BYTES),
        (QUARANTINE, 1, False, _LARGE_BYTES),
        (SCORES, many, True, _USUAL_BYTES),
        (CHANGELOG, many, True, _USUAL_BYTES),
        (EXAMPLES, 1, False, _USUAL_BYTES),
        (MODEL, 1, True, _USUAL_BYTES),
        (DEAD_LETTERS, 1, False, _USUAL_BYTES),
    )
    return tuple(
        TopicSpec(topic_name(broker, logical), partitions, compacted, largest)
        for logical, partitions, compacted, largest in layout
    )


async def create_topics(broker: BrokerSettings) -> list[str]:
    """Create the topics that are missing and return their names, once the broker serves all of them.

    Existing topics stay as they are, and two processes may do this at the same time.

    Raises
    ------
    TopicsUnavailable
        The broker cannot be reached, or refused a topic (all refusals are named).
    """
    specs = topic_specs(broker)
    async with _admin(broker) as admin:
        existing = set(await admin.list_topics())
        missing = [spec for spec in specs if spec.name not in existing]
        created = await _create(admin, missing, broker)
        await _wait_until_served(admin, specs, broker)
    return created


async def check_topics(broker: BrokerSettings) -> list[str]:
    """Say where the cluster's topics differ from the settings; an empty list means that all is well.

    Missing topics, partition counts, replication, clean-up policy and record size are compared. A broker
    that does not report a setting (the embedded one knows only those set at creation) is not faulted for it.

    Raises
    ------
    TopicsUnavailable
        The broker cannot be reached.
    """
    specs = topic_specs(broker)
    async with _admin(broker) as admin:
        # Listing first: asking for the metadata of an unknown topic creates it where brokers auto-create topics.
        existing = set(await admin.list_topics())
        present = [spec for spec in specs if spec.name in existing]
        problems = [_missing(spec) for spec in specs if spec.name not in existing]
        if not present:
            return problems
        described = {topic["topic"]: topic for topic in await admin.describe_topics([spec.name for spec in present])}
        configs = await _configs(admin, present)
    for spec in present:
        problems += _layout_problems(spec, described[spec.name], broker)
        problems += _config_problems(spec, configs.get(spec.name, {}))
    return problems


@asynccontextmanager
async def _admin(broker: BrokerSettings) -> AsyncIterator[Any]:
    """A started admin client; every failure of it says which broker it was talking to."""
    if not broker.bootstrap:
        raise TopicsUnavailable(
            "no broker to ask for topics: broker.bootstrap is empty; set EBBTIDE_BROKER to host:port"
        )
    admin = AIOKafkaAdminClient(**security_options(broker))
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise TopicsUnavailable(f"cannot list or create topics on {broker.bootstrap!r}: {error!r}") from error
    finally:
        await admin.close()


async def _create(admin: Any, missing: list[TopicSpec], broker: BrokerSettings) -> list[str]:
    if not missing:
        return []
    wanted = [
        NewTopic(spec.name, spec.partitions, broker.replication, topic_configs=spec.configs()) for spec in missing
    ]
    response = await admin.create_topics(wanted)
    created, refused = [], []
    for name, code, message, *_ in response.topic_errors:
        if code == 0:
            created.append(name)
        elif code != TopicAlreadyExistsError.errno:
            refused.append(f"{name!r}: {message or for_code(code).__name__}")
    if refused:
        raise TopicsUnavailable(f"{broker.bootstrap!r} refused to create topics: {'; '.join(refused)}")
    return created


async def _wait_until_served(admin: Any, specs: Iterable[TopicSpec], broker: BrokerSettings) -> None:
    """Wait until each partition has a leader: clients that come earlier would see an unknown topic and back off."""
    names = [spec.name for spec in specs]
    deadline = asyncio.get_running_loop().time() + broker.request_timeout_s
    while True:
        described = await admin.describe_topics(names)
        waiting = [topic["topic"] for topic in described if not _served(topic)]
        if not waiting:
            return
        if asyncio.get_running_loop().time() > deadline:
            late = ", ".join(waiting)
            raise TopicsUnavailable(
                f"topics without a leader on {broker.bootstrap!r} after {broker.request_timeout_s:g} s: {late}"
            )
        await asyncio.sleep(0.05)


def _served(topic: dict[str, Any]) -> bool:
    partitions = topic["partitions"]
    return bool(partitions) and all(part["error_code"] == 0 and part["leader"] >= 0 for part in partitions)


async def _configs(admin: Any, specs: list[TopicSpec]) -> dict[str, dict[str, str]]:
    """The settings that the broker reports for each topic; a topic whose settings it does not tell is absent."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, spec.name) for spec in specs]
    reported: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, _, _, name, entries in response.resources:
            if code == 0:
                reported[name] = {entry[0]: entry[1] for entry in entries}
    return reported


def _missing(spec: TopicSpec) -> str:
    return f"topic {spec.name!r} is missing: `ebbtide topics create` makes it, with {spec.partitions} partition(s)"


def _layout_problems(spec: TopicSpec, topic: dict[str, Any], broker: BrokerSettings) -> list[str]:
    problems = []
    partitions = topic["partitions"]
    if len(partitions) != spec.partitions:
        problems.append(
            f"topic {spec.name!r} has {len(partitions)} partition(s), needed: {spec.partitions}; "
            "a customer's events, state and scores must share one partition number"
        )
    replicas = min((len(part["replicas"]) for part in partitions), default=0)
    if replicas < broker.replication:
        problems.append(
            f"topic {spec.name!r} has {replicas} replica(s), needed: {broker.replication} (broker.replication)"
        )
    leaderless = sum(1 for part in partitions if part["error_code"] != 0 or part["leader"] < 0)
    if leaderless:
        problems.append(f"topic {spec.name!r} has {leaderless} partition(s) without a leader")
    return problems


def _config_problems(spec: TopicSpec, configs: dict[str, str]) -> list[str]:
    problems = []
    policies = {policy.strip() for policy in configs.get("cleanup.policy", "").split(",") if policy.strip()}
    if spec.compacted and policies and policies != {"compact"}:
        problems.append(
            f"topic {spec.name!r} has cleanup.policy={configs['cleanup.policy']!r}, needed: 'compact'; "
            "otherwise the newest record of a quiet customer is deleted with time"
        )
    if not spec.compacted and "compact" in policies:
        problems.append(
            f"topic {spec.name!r} has cleanup.policy={configs['cleanup.policy']!r}, needed: 'delete'; "
            "compaction would drop all but the newest event of a customer"
        )
    limit = configs.get("max.message.bytes")
    if limit is not None and int(limit) < spec.max_message_bytes:
        problems.append(f"topic {spec.name!r} has max.message.bytes={limit}, needed: at least {spec.max_message_bytes}")
    return problems
