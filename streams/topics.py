"""The topics: their names, their layout, how they are created and how they are checked.

The layout is part of the guarantees: sources, `rerouted`, `scores` and the changelog have the same number of
partitions, so a customer's state, changelog and scores share one partition number. `create_topics` makes
what is missing and never changes what exists; how a cluster differs from what the settings ask for is
`streams.topic_checks`. Both work on Apache Kafka and on the embedded broker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
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
LABELS = "labels"
EXAMPLES = "examples"
MODEL = "model"
DEAD_LETTERS = "dead_letters"

#: Topics that producers outside write to.
SOURCES = (CLICKSTREAM, PURCHASES, CONTACT_CENTER)
#: Every topic of a deployment by its logical name: none that a destination may write to.
INTERNAL = (*SOURCES, REROUTED, QUARANTINE, SCORES, CHANGELOG, LABELS, EXAMPLES, MODEL, DEAD_LETTERS)

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
    min_insync: int = 1

    def configs(self) -> dict[str, str]:
        """The topic's settings as Kafka names them."""
        cleanup = _COMPACTION if self.compacted else _RETENTION
        insync = {"min.insync.replicas": str(self.min_insync)} if self.min_insync > 1 else {}
        return cleanup | insync | {"max.message.bytes": str(self.max_message_bytes)}


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
        (LABELS, many, False, _USUAL_BYTES),
        (EXAMPLES, 1, False, _USUAL_BYTES),
        (MODEL, 1, True, _USUAL_BYTES),
        (DEAD_LETTERS, 1, False, _USUAL_BYTES),
    )
    # With three replicas one may be away, and what was acknowledged is still on two.
    insync = 2 if broker.replication > 2 else 1
    return tuple(
        TopicSpec(topic_name(broker, logical), partitions, compacted, largest, insync)
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
    async with admin_client(broker) as admin:
        existing = set(await admin.list_topics())
        missing = [spec for spec in specs if spec.name not in existing]
        created = await _create(admin, missing, broker)
        await _wait_until_served(admin, specs, broker)
    return created


@asynccontextmanager
async def admin_client(broker: BrokerSettings) -> AsyncIterator[Any]:
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
