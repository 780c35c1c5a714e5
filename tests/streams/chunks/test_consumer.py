"""The consumer's own rules where a broker would only show them now and then."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from faust.types import TP, ConsumerMessage

from models.settings import BrokerSettings, Settings
from streams.chunks import Chunk, chunk_app
from streams.chunks.consumer import ChunkConsumer
from streams.chunks.tracker import ChunkTracker

HERE = TP("clickstream", 0)


def consumer() -> ChunkConsumer:
    """A consumer that never connects. Call it inside the event loop."""
    app = chunk_app(Settings(broker=BrokerSettings(bootstrap="127.0.0.1:1")), "test")
    return cast("ChunkConsumer", app.consumer)


def records(*offsets: int) -> list[Any]:
    return [SimpleNamespace(offset=offset) for offset in offsets]


def message(chunk: Chunk) -> Any:
    return ConsumerMessage(
        HERE.topic, HERE.partition, chunk.last_offset, 0.0, 0, [], None, cast("Any", chunk), None, 0, 0, HERE,
        generation_id=0,
    )  # fmt: skip


def test_an_event_that_faust_skips_is_not_settled() -> None:
    """Faust acknowledges what a stream skips in a rebalance; only what was declared durable moves the position."""

    async def scenario() -> tuple[bool, int | None, bool, int | None]:
        subject, chunk = consumer(), Chunk(HERE.topic, 0, records(3, 4), None)
        tracker = subject._trackers[HERE] = ChunkTracker()
        tracker.add(3, 4)
        skipped = subject.ack(message(chunk))
        before = tracker.position()
        chunk.durable = True
        return skipped, before, subject.ack(message(chunk)), tracker.position()

    assert asyncio.run(scenario()) == (False, None, True, 5)


def test_a_seek_waits_for_the_fetch_under_way_whose_records_are_dropped() -> None:
    """Otherwise the fetch could move the position on after the seek, past records that are never handed out."""

    async def scenario() -> tuple[list[str], Any]:
        subject, order = consumer(), list[str]()
        subject._active_partitions = {HERE}
        begun, answer = asyncio.Event(), asyncio.Event()

        async def fetch(**_: Any) -> dict[TP, list[Any]]:
            begun.set()
            await answer.wait()
            order.append("fetched")
            return {HERE: records(7, 8)}

        async def seek() -> dict[TP, int]:
            order.append("sought")
            return {HERE: 3}

        with patch.object(subject, "_getmany", fetch), patch.object(subject, "seek_to_committed", seek):
            fetching = asyncio.ensure_future(subject._fetch(0.0))
            await begun.wait()
            seeking = asyncio.ensure_future(subject.perform_seek())
            for _ in range(5):
                await asyncio.sleep(0)
            answer.set()
            await asyncio.gather(fetching, seeking)
        assert subject._committed_offset[HERE] == 3
        return order, subject._slices

    assert asyncio.run(scenario()) == (["fetched", "sought"], {})


def test_a_fetch_is_sliced_into_chunks_in_order() -> None:
    """A fetch of more records than a chunk may have becomes several, in order, without overlap."""

    async def scenario() -> list[list[int]]:
        subject = consumer()
        subject._active_partitions = {HERE}
        subject._chunk_records = 3

        async def fetch(**_: Any) -> dict[TP, list[Any]]:
            return {HERE: records(*range(7))}

        with patch.object(subject, "_getmany", fetch):
            await subject._fetch(0.0)
        return [[record.offset for record in part] for part in subject._slices[HERE]]

    assert asyncio.run(scenario()) == [[0, 1, 2], [3, 4, 5], [6]]
