"""How a cluster's topics differ from what the settings ask for, and which differences do harm.

Harmful is what would lose or misplace data, or refuse what the roles write: a role does not start on it. The rest
is told and lived with. A broker that does not report a setting (the embedded one knows only those given at
creation) is not faulted for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from models.settings import BrokerSettings
from streams.kafka import LARGEST_BATCH_BYTES
from streams.topics import SOURCES, TopicSpec, admin_client, topic_name, topic_specs

_DAY_MS = 86_400_000


class Difference(msgspec.Struct, frozen=True):
    """One difference, as a sentence that names the topic, what it has and what is needed."""

    topic: str
    text: str
    harmful: bool = True
    missing: bool = False


async def check_topics(broker: BrokerSettings) -> list[Difference]:
    """Compare the cluster's topics with the settings; an empty list means that all is well.

    Raises
    ------
    TopicsUnavailable
        The broker cannot be reached.
    """
    specs = topic_specs(broker)
    async with admin_client(broker) as admin:
        # Listing first: asking for the metadata of an unknown topic creates it where brokers auto-create topics.
        existing = set(await admin.list_topics())
        present = [spec for spec in specs if spec.name in existing]
        found = [_missing(spec) for spec in specs if spec.name not in existing]
        if not present:
            return found
        described = {topic["topic"]: topic for topic in await admin.describe_topics([spec.name for spec in present])}
        configs = await _configs(admin, present)
    sources = {topic_name(broker, logical) for logical in SOURCES}
    for spec in present:
        parts, settings = described[spec.name]["partitions"], configs.get(spec.name, {})
        found += _layout(spec, parts, broker)
        found += _clean_up(spec, settings)
        found += _replication(spec, parts, settings)
        found += _sizes(spec, settings, ours=spec.name not in sources)
        found += _times(spec, settings, source=spec.name in sources)
    return found


async def _configs(admin: Any, specs: list[TopicSpec]) -> dict[str, dict[str, str]]:
    """The settings that the broker reports for each topic; a topic whose settings it does not tell is absent."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, spec.name) for spec in specs]
    reported: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, _, _, name, entries in response.resources:
            if code == 0:
                reported[name] = {entry[0]: entry[1] for entry in entries}
    return reported


def _missing(spec: TopicSpec) -> Difference:
    text = f"topic {spec.name!r} is missing: `ebbtide topics create` makes it, with {spec.partitions} partition(s)"
    return Difference(spec.name, text, missing=True)


def _layout(spec: TopicSpec, parts: list[dict[str, Any]], broker: BrokerSettings) -> Iterator[Difference]:
    if len(parts) != spec.partitions:
        yield Difference(
            spec.name,
            f"topic {spec.name!r} has {len(parts)} partition(s), needed: {spec.partitions}; "
            "a customer's events, state and scores must share one partition number",
        )
    replicas = _replicas(parts)
    if replicas < broker.replication:
        yield Difference(
            spec.name,
            f"topic {spec.name!r} has {replicas} replica(s), needed: {broker.replication} (broker.replication)",
        )
    leaderless = sum(1 for part in parts if part["error_code"] != 0 or part["leader"] < 0)
    if leaderless:
        # It may get one at any time, and until then the roles wait.
        yield Difference(
            spec.name, f"topic {spec.name!r} has {leaderless} partition(s) without a leader", harmful=False
        )


def _clean_up(spec: TopicSpec, configs: dict[str, str]) -> Iterator[Difference]:
    policies = {policy.strip() for policy in configs.get("cleanup.policy", "").split(",") if policy.strip()}
    if spec.compacted and policies and policies != {"compact"}:
        yield Difference(
            spec.name,
            f"topic {spec.name!r} has cleanup.policy={configs['cleanup.policy']!r}, needed: 'compact'; "
            "otherwise the newest record of a quiet customer is deleted with time",
        )
    if not spec.compacted and "compact" in policies:
        yield Difference(
            spec.name,
            f"topic {spec.name!r} has cleanup.policy={configs['cleanup.policy']!r}, needed: 'delete'; "
            "compaction would drop all but the newest event of a customer",
        )


def _replication(spec: TopicSpec, parts: list[dict[str, Any]], configs: dict[str, str]) -> Iterator[Difference]:
    insync, replicas = int(configs.get("min.insync.replicas", spec.min_insync)), _replicas(parts)
    if insync > replicas:
        yield Difference(
            spec.name,
            f"topic {spec.name!r} has min.insync.replicas={insync}, needed: at most its {replicas} replica(s); "
            "no write would ever be accepted",
        )
    elif insync < spec.min_insync:
        yield Difference(
            spec.name,
            f"topic {spec.name!r} has min.insync.replicas={insync}, better: {spec.min_insync}; "
            "what is acknowledged may be on one machine only",
            harmful=False,
        )


def _replicas(parts: list[dict[str, Any]]) -> int:
    return min((len(part["replicas"]) for part in parts), default=0)


def _sizes(spec: TopicSpec, configs: dict[str, str], *, ours: bool) -> Iterator[Difference]:
    """Batches of ours must fit into topics that we write; larger single records are rare, but should."""
    limit = int(configs.get("max.message.bytes", spec.max_message_bytes))
    if limit < spec.max_message_bytes:
        text = f"topic {spec.name!r} has max.message.bytes={limit}, needed: at least {spec.max_message_bytes}"
        yield Difference(spec.name, text, harmful=ours and limit < LARGEST_BATCH_BYTES)


def _times(spec: TopicSpec, configs: dict[str, str], *, source: bool) -> Iterator[Difference]:
    stamps = configs.get("message.timestamp.type", "LogAppendTime")
    if not spec.compacted and stamps != "LogAppendTime":
        yield Difference(
            spec.name,
            f"topic {spec.name!r} has message.timestamp.type={stamps!r}, better: 'LogAppendTime'; "
            "old events that are replayed may be deleted at once",
            harmful=False,
        )
    kept_ms = int(configs.get("retention.ms", -1))
    if source and 0 <= kept_ms < _DAY_MS:
        yield Difference(
            spec.name,
            f"topic {spec.name!r} has retention.ms={kept_ms}, better: a day ({_DAY_MS}) or more; "
            "events that workers could not read for so long are lost",
            harmful=False,
        )
