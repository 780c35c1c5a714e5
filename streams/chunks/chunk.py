"""What an agent gets instead of single records, and how it tells that a chunk is done with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from faust.events import Event as FaustEvent

from streams.chunks.tracker import ChunkTracker


class Chunk:
    """Consecutive records of one partition. `records` are aiokafka's, in offset order, never empty."""

    __slots__ = ("durable", "first_offset", "highwater", "last_offset", "partition", "records", "topic", "tracker")

    def __init__(
        self, topic: str, partition: int, records: Sequence[Any], highwater: int | None,
        tracker: ChunkTracker | None = None,
    ) -> None:  # fmt: skip
        self.topic = topic
        self.partition = partition
        self.records = records
        self.first_offset: int = records[0].offset
        self.last_offset: int = records[-1].offset
        self.highwater = highwater
        self.durable = False
        #: Of the assignment that this chunk belongs to; None outside a consumer.
        self.tracker = tracker

    def __len__(self) -> int:
        return len(self.records)


def ack(event: FaustEvent) -> None:
    """Tell the consumer that everything this chunk caused is durable."""
    cast("Chunk", event.value).durable = True
    event.ack()
