"""From the raw records of a chunk to events, quarantine records and re-routed records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container
from typing import Any

from aiokafka.partitioner import murmur2

from models.events.decode import decode
from models.events.quarantine import quarantine_record
from models.events.types import Event, Rejection
from models.settings import Settings
from streams.chunks import Chunk, Outgoing
from streams.topics import REROUTED
from streams.worker.align import Batch, Item

ORIGIN_HEADER = "ebbtide-origin"
_CACHE_LIMIT = 200_000
_ORIGIN = re.compile(rb"((?:clickstream|purchases|contact_center)/\d{1,9})/(\d{1,18})")


class Intake:
    """Decodes chunks for the partitions of one worker.

    An event whose customer's key hashes to another partition (no key, another partitioner, an anonymous id)
    goes once through topic `rerouted`, with its origin in a header so that the guard against replays still
    knows where it was first read. What is quarantined or re-routed must be durable before the chunk is acknowledged.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._partitions = settings.broker.partitions
        self._home: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.rejections: Counter[str] = Counter()

    def decode(
        self, chunk: Chunk, logical: str, faust_event: Any, now: float, known: Container[str]
    ) -> tuple[Batch, list[tuple[str, int, Outgoing]]]:
        """The chunk's events as a batch, and what is to be sent to (logical topic, partition).

        `known` are customers whose home is the chunk's partition; the others' keys are hashed.
        """
        events: list[Item] = []
        out: list[tuple[str, int, Outgoing]] = []
        direct = f"{logical}/{chunk.partition}"
        self.counts[logical] += len(chunk)
        for record in chunk.records:
            event = decode(record.value, logical, now, self._settings.events)
            if isinstance(event, Rejection):
                out.append(self.quarantine(event, logical, record, now))
            elif logical == REROUTED:
                source, offset = _origin(record, direct)
                events.append(Item(event.time, event, source, offset, record))
            elif event.customer_id in known or (home := self.home(event.customer_id)) == chunk.partition:
                events.append(Item(event.time, event, direct, record.offset, record))
            else:
                out.append(self._reroute(event, home, record, f"{direct}/{record.offset}"))
        return Batch(logical, faust_event, events), out

    def quarantine(
        self, why: Rejection, logical: str, record: Any, now: float, origin: tuple[int, int] | None = None
    ) -> tuple[str, int, Outgoing]:
        """The quarantine record of one refused record. `origin` is where a re-routed one was first read."""
        partition, offset = origin or (record.partition, record.offset)
        self.rejections[why.reason] += 1
        value = quarantine_record(
            why,
            topic=logical,
            partition=partition,
            offset=offset,
            key=record.key,
            raw=record.value,
            at=now,
        )
        return "quarantine", 0, Outgoing(record.key if record.key and len(record.key) < 1000 else None, value.to_json())

    def home(self, customer_id: str) -> int:
        """The partition that Kafka's default partitioner gives the customer's key."""
        found = self._home.get(customer_id)
        if found is None:
            if len(self._home) >= _CACHE_LIMIT:
                self._home.clear()
            found = self._home[customer_id] = partition_of(customer_id, self._partitions)
        return found

    def _reroute(self, event: Event, home: int, record: Any, origin: str) -> tuple[str, int, Outgoing]:
        self.counts["rerouted_out"] += 1
        headers = ((ORIGIN_HEADER, origin.encode()),)
        return (
            REROUTED,
            home,
            Outgoing(event.customer_id.encode("utf-8", "replace"), record.value, record.timestamp, headers),
        )


def partition_of(customer_id: str, partitions: int) -> int:
    """Kafka's default partitioner for a key (murmur2 of its UTF-8 bytes)."""
    return int((murmur2(customer_id.encode("utf-8", "replace")) & 0x7FFFFFFF) % partitions)


def _origin(record: Any, direct: str) -> tuple[str, int]:
    """Where a re-routed record was first read; itself if a foreign producer wrote to the internal topic."""
    for name, value in record.headers or ():
        found = _ORIGIN.fullmatch(value) if name == ORIGIN_HEADER else None
        if found:
            return found[1].decode(), int(found[2])
    return direct, record.offset
