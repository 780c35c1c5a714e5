"""Reading `scores` and `labels`: where to begin, what was missed, and how far behind.

All partitions are assigned by hand and start at the offsets that DuckDB holds: there is one writer by design, so
a group would only add rebalances. Offsets are still committed, for lag monitors, to the group
`<prefix><app_id>-warehouse`.
A connection is never repaired: after any fault, and when partitions were added, a new `Feed` starts from the
stored positions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from models.settings import BrokerSettings
from streams.kafka import close_consumer, log_ends, security_options
from streams.topics import LABELS, SCORES, topic_name
from streams.warehouse.writer import Partition, Position

TOPICS = (SCORES, LABELS)

NEW, RESUMED, EXPIRED, RECREATED = "new", "resumed", "expired", "recreated"

_ANSWER_S = 5.0
_GOODBYE_S = 5.0
_SLICE_S = 0.2
_NEW_PARTITIONS_AFTER_S = 30.0


class FeedLost(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """The connection is of no more use: topics are missing, were changed, or records are gone. Connect again."""


#: What a feed raises while the broker is away or its topics change; all of it passes by connecting again.
FEED_ERRORS = (FeedLost, KafkaError, OSError, TimeoutError)


class Beginning(msgspec.Struct, frozen=True):
    """Where a partition is read from. `verdict` is new, resumed, expired or recreated; see `starting_point`."""

    partition: Partition
    offset: int
    verdict: str
    stored: int | None


def starting_point(stored: int | None, first: int, end: int, *, moved: bool) -> tuple[int, str]:
    """Where to begin a partition whose records run from `first` to before `end`.

    - new: nothing is stored yet;
    - recreated: the stored offset lies beyond the end, or `moved` says that it is of another cluster. The topic
      began anew (an embedded broker forgets when it stops), so it is read from its beginning;
    - expired: the broker deleted records before they were read;
    - resumed: the usual case.

    A topic that was deleted and made again on the same cluster, and has outgrown the stored offset, looks resumed.
    """
    if stored is None:
        return first, NEW
    if moved or stored > end:
        return first, RECREATED
    return (first, EXPIRED) if stored < first else (stored, RESUMED)


class Feed:
    """One connection to the two topics. `connect` first; `close` in any case."""

    def __init__(self, broker: BrokerSettings, group_id: str) -> None:
        self._broker = broker
        self._logical = {topic_name(broker, logical): logical for logical in TOPICS}
        self._consumer: Any = AIOKafkaConsumer(
            **security_options(broker),
            group_id=group_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=8 * 1024 * 1024,
            metadata_max_age_ms=int(_NEW_PARTITIONS_AFTER_S * 1000),
        )
        self._partitions: list[TopicPartition] = []
        self.cluster_id = ""

    async def connect(self, stored: Mapping[Partition, Position]) -> list[Beginning]:
        """Assign every partition and go to where each begins. Raises one of FEED_ERRORS."""
        async with asyncio.timeout(self._broker.request_timeout_s):
            self.cluster_id, self._partitions = await _survey(self._broker, self._logical)
            await self._consumer.start()
            self._consumer.assign(self._partitions)
            firsts = await self._consumer.beginning_offsets(self._partitions)
            ends = await log_ends(self._broker, self._partitions)
        beginnings = []
        for partition in self._partitions:
            held = stored.get(self.logical(partition))
            moved = bool(held and held.cluster_id and self.cluster_id and held.cluster_id != self.cluster_id)
            offset = held.next_offset if held else None
            start, verdict = starting_point(offset, firsts[partition], ends[partition], moved=moved)
            self._consumer.seek(partition, start)
            beginnings.append(Beginning(self.logical(partition), start, verdict, offset))
        return beginnings

    def logical(self, record: Any) -> Partition:
        """The logical topic and partition of a record or topic partition."""
        return self._logical[record.topic], record.partition

    async def collect(self, max_records: int, within_s: float, stop: asyncio.Event) -> list[Any]:
        """The records of the next `within_s` seconds, in order per partition; sooner when full, or on `stop`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        records: list[Any] = []
        while (left_s := deadline - loop.time()) > 0 and len(records) < max_records:
            got = await self._consumer.getmany(
                timeout_ms=int(min(left_s, _SLICE_S) * 1000), max_records=max_records - len(records)
            )
            for part in got.values():
                records += part
            if stop.is_set():
                break
        return records

    async def ends(self) -> dict[Partition, int]:
        """The offset behind the last record of each partition, exactly. Raises one of FEED_ERRORS."""
        async with asyncio.timeout(_ANSWER_S):
            ends = await log_ends(self._broker, self._partitions)
        return {self.logical(partition): end for partition, end in ends.items()}

    async def recent_ends(self) -> dict[Partition, int]:
        """The same, cheaper: for a moment after new records it may be too low, though never below what was fetched.

        It asks the broker, so it fails when the broker is away. Raises one of FEED_ERRORS.
        """
        async with asyncio.timeout(_ANSWER_S):
            ends = await self._consumer.end_offsets(self._partitions)
        return {self.logical(one): max(end, self._consumer.highwater(one) or 0) for one, end in ends.items()}

    async def positions(self) -> dict[Partition, int]:
        """The offset that each partition is read from next."""
        return {self.logical(one): await self._consumer.position(one) for one in self._partitions}

    def check_partitions(self) -> None:
        """Raise FeedLost if a topic has partitions that are not read yet."""
        for name in self._logical:
            there = self._consumer.partitions_for_topic(name) or set()
            added = there - {one.partition for one in self._partitions if one.topic == name}
            if added:
                raise FeedLost(f"topic {name!r} got partitions {sorted(added)}")

    async def commit(self, positions: Mapping[Partition, Position]) -> None:
        """Tell the broker how far the warehouse is. Only monitors read it, so a failure is of no consequence."""
        offsets = {
            one: positions[self.logical(one)].next_offset for one in self._partitions if self.logical(one) in positions
        }
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._consumer.commit(offsets)

    async def close(self) -> None:
        """Close the connection; a broker that is away is not waited for."""
        await close_consumer(self._consumer)


async def _survey(broker: BrokerSettings, names: Mapping[str, str]) -> tuple[str, list[TopicPartition]]:
    """The cluster's id, and all partitions of the topics."""
    admin = AIOKafkaAdminClient(**security_options(broker))
    try:
        await admin.start()
        cluster_id = (await admin.describe_cluster()).get("cluster_id") or ""
        # Listing first: asking for the metadata of an unknown topic creates it where brokers auto-create topics.
        missing = names.keys() - set(await admin.list_topics())
        if missing:
            raise FeedLost(f"topics {', '.join(sorted(missing))} are not there yet")
        topics = await admin.describe_topics(list(names))
    finally:
        await admin.close()
    partitions = [TopicPartition(topic["topic"], part["partition"]) for topic in topics for part in topic["partitions"]]
    return cluster_id, sorted(partitions)
