"""The transport on real brokers: what is committed, what is read again, and what a rebalance keeps."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any
from unittest.mock import patch

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError

from models.settings import BrokerSettings, Settings, WorkerSettings
from streams.chunks import BatchProducer, Chunk, Outgoing, chunk_app, wait_all
from streams.chunks.application import UntestedVersionError
from streams.kafka import security_options
from streams.topics import CLICKSTREAM, SCORES, topic_name, topic_specs
from streams.worker.changelog import read_to_end
from tests.brokers import KafkaServer, broker_settings
from tests.streams.chunks.members import Reader, committed, create_by_hand, produce


def test_all_records_arrive_in_order_and_are_committed(broker: BrokerSettings) -> None:
    """Chunks cover each partition without gap or repetition; a clean stop commits the end."""

    async def scenario() -> None:
        await produce(broker, 57)
        async with Reader(broker).running() as reader:
            await reader.until(lambda: sum(map(len, reader.chunks)) == 4 * 57)

        assert reader.offsets == {key: list(range(57)) for key in range(4)}
        assert max(len(chunk) for chunk in reader.chunks) <= 10
        assert await committed(broker) == dict.fromkeys(range(4), 57)

    asyncio.run(scenario())


def test_what_is_not_acknowledged_is_read_again(broker: BrokerSettings) -> None:
    """An open chunk holds the commit back, although later chunks are settled."""

    async def scenario() -> None:
        await produce(broker, 30, partitions=1)
        async with Reader(broker, lambda chunk: chunk.first_offset != 10).running() as reader:
            await reader.until(lambda: len(reader.chunks) == 3)
        assert (await committed(broker))[0] == 10

        async with Reader(broker).running() as again:
            await again.until(lambda: sum(map(len, again.chunks)) == 20)
        assert again.offsets == {0: list(range(10, 30))}

    asyncio.run(scenario())


def test_back_pressure_bounds_the_chunks_given_out(broker: BrokerSettings) -> None:
    """A partition whose chunks are not settled gets no more than the limit, other partitions go on."""

    async def scenario() -> None:
        await produce(broker, 100, partitions=1)
        async with Reader(broker, lambda _: False).running() as reader:
            await reader.until(lambda: len(reader.chunks) >= reader.settings.worker.max_chunks_per_partition)
            await produce(broker, 200, partitions=2)
            await reader.until(lambda: len(reader.offsets.get(1, ())) == 40)

        assert reader.offsets == {key: list(range(40)) for key in range(2)}

    asyncio.run(scenario())


def test_a_chunk_on_which_the_agent_fails_is_not_acknowledged(broker: BrokerSettings) -> None:
    """Faust acknowledges the event that an agent failed on; here it is read again, with all behind it."""

    def fails_at_10(chunk: Chunk) -> bool:
        if chunk.first_offset == 10:
            raise RuntimeError("this chunk is too much")
        return True

    async def scenario() -> None:
        await produce(broker, 30, partitions=1)
        async with Reader(broker, fails_at_10).running() as reader:
            await reader.until(lambda: len(reader.chunks) == 3)
        assert (await committed(broker))[0] == 10

        async with Reader(broker).running() as again:
            await again.until(lambda: sum(map(len, again.chunks)) == 20)

    asyncio.run(scenario())


def test_a_member_with_open_chunks_gives_its_partitions_away(broker: BrokerSettings) -> None:
    """What nobody will acknowledge any more is not waited for; the next owner reads it from the commit position."""

    async def scenario() -> None:
        await produce(broker, 10)
        first, second = Reader(broker, lambda _: False), Reader(broker)
        async with first.running():
            await first.until(lambda: len(first.chunks) == 4)
            async with second.running():
                await second.until(lambda: len(second.chunks) == 2)

        assert all(chunk.first_offset == 0 for chunk in second.chunks)

    asyncio.run(scenario())


def test_work_that_cannot_be_finished_at_a_revocation_ends_the_app(broker: BrokerSettings) -> None:
    """Aiokafka only logs what a rebalance callback raises; going on could lose what was begun."""

    class Stuck(Reader):
        async def _drop(self, _revoked: set[Any]) -> None:
            raise RuntimeError("cannot finish")

    async def scenario() -> None:
        stuck = Stuck(broker)
        async with stuck.running():
            await stuck.until(lambda: bool(stuck.app and stuck.app.crash_reason))

    with pytest.raises(RuntimeError, match="cannot finish"):
        asyncio.run(scenario())


def test_no_topic_is_made_beside_ours(broker: BrokerSettings) -> None:
    """Neither Faust's leader topic nor one for its agents' replies appears."""

    async def scenario() -> set[str]:
        async with Reader(broker).running() as reader:
            await reader.until(lambda: bool(reader.app and reader.app.consumer.assignment()))
        admin = AIOKafkaAdminClient(**security_options(broker))
        await admin.start()
        try:
            return {name for name in await admin.list_topics() if broker.topic_prefix in name}
        finally:
            await admin.close()

    assert asyncio.run(scenario()) == {spec.name for spec in topic_specs(broker)}


@pytest.mark.kafka
def test_a_batch_that_the_broker_refuses_is_the_senders_error(kafka_broker: KafkaServer) -> None:
    """A failed delivery reaches whoever waits to acknowledge; it is not just logged."""
    broker = broker_settings(kafka_broker)

    async def scenario() -> None:
        producer = BatchProducer(broker)
        await producer.start()
        try:
            sent = await producer.send(topic, 0, [Outgoing(b"k", os.urandom(100_000))])
            with pytest.raises(MessageSizeTooLargeError):
                await wait_all(sent)
        finally:
            await producer.stop()

    topic = broker.topic_prefix + "narrow"
    asyncio.run(create_by_hand(broker, NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "1000"})))
    asyncio.run(scenario())


def test_a_rebalance_commits_first_so_nothing_settled_is_read_twice(broker: BrokerSettings) -> None:
    """When a second member joins, the new owners start where the first had settled."""

    async def scenario() -> None:
        await produce(broker, 200)
        first, second = Reader(broker), Reader(broker)
        # Without the timer, only the commit before the revocation can move the offsets.
        slow = WorkerSettings(chunk_records=10, commit_interval_s=600)
        first.settings = Settings(broker=broker, worker=slow)
        async with first.running():
            await first.until(lambda: sum(map(len, first.chunks)) == 800)
            async with second.running():
                await second.until(lambda: bool(second.app and second.app.consumer.assignment()))
                await produce(broker, 5)
                await second.until(lambda: sum(map(len, first.chunks)) + sum(map(len, second.chunks)) >= 820)

        assert second.chunks
        seen = [(p, o) for reader in (first, second) for p, offsets in reader.offsets.items() for o in offsets]
        assert len(seen) == len(set(seen)) == 820

    asyncio.run(scenario())


def test_members_share_equal_partition_numbers() -> None:
    """The assignor gives one member the same partition numbers of all topics."""
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor

    class Cluster:
        def partitions_for_topic(self, _topic: str) -> set[int]:
            return set(range(7))

    members = {name: RangePartitionAssignor.metadata(["a", "b", "c"]) for name in ("m1", "m2", "m3")}
    for share in RangePartitionAssignor.assign(Cluster(), members).values():
        numbers = {tuple(partitions) for _, partitions in share.assignment}

        assert len(numbers) == 1


def test_a_refused_commit_leaves_the_local_offset_where_it_was(broker: BrokerSettings) -> None:
    """The position that counts as committed moves only when the broker took it; the timer tries again."""

    async def scenario() -> None:
        await produce(broker, 10, partitions=1)
        refusals = [False, False]
        async with Reader(broker).running() as reader:
            await reader.until(lambda: bool(reader.app and reader.app.consumer_generation_id >= 0))
            assert reader.app is not None
            consumer: Any = reader.app.consumer
            real = consumer._commit

            async def unwilling(offsets: Any) -> bool:
                return refusals.pop() if refusals else await real(offsets)

            with patch.object(consumer, "_commit", unwilling):
                await reader.until(lambda: sum(map(len, reader.chunks)) == 10 and len(refusals) < 2)
                tp = next(iter(consumer._trackers))
                while refusals:
                    assert not consumer._committed_offset[tp]
                    await asyncio.sleep(0.05)
                await reader.until(lambda: consumer._committed_offset[tp] == 10)
        assert (await committed(broker))[0] == 10

    asyncio.run(scenario())


def test_untested_versions_are_refused() -> None:
    """Other versions of the patched libraries stop the start, naming what was tested."""
    with (
        patch("streams.chunks.application.version", lambda name: "9.9"),
        pytest.raises(UntestedVersionError, match=r"faust-streaming 9\.9 \(tested: 0\.15\.3\)"),
    ):
        chunk_app(Settings(broker=BrokerSettings(bootstrap="127.0.0.1:1")), "versions")


def test_a_batch_producer_keeps_order_across_batches_and_large_records(broker: BrokerSettings) -> None:
    """Records that fill several batches, and one larger than a batch, arrive in order."""

    async def scenario() -> list[bytes]:
        producer = BatchProducer(broker)
        await producer.start()
        values = [bytes([i % 251]) * (700_000 if i == 7 else 40_000) for i in range(40)]
        name = topic_name(broker, CLICKSTREAM)
        await asyncio.gather(*await producer.send(name, 2, [Outgoing(None, value) for value in values]))
        await producer.stop()
        read = [r.value async for records in read_to_end(broker, name, 2) for r in records]
        assert values == read
        return read

    assert len(asyncio.run(scenario())) == 40


def test_a_batch_carries_headers_times_and_tombstones(broker: BrokerSettings) -> None:
    """What a record says arrives; where it names no time it gets the time of sending."""
    records = [
        Outgoing(b"a", b"1", 1_700_000_000_000, (("h", b"x"), ("h", b"y"))),
        Outgoing(b"b", None, 1_600_000_000_000),
        Outgoing(b"c", b""),
    ]

    async def scenario() -> list[Any]:
        producer = BatchProducer(broker)
        await producer.start()
        name = topic_name(broker, SCORES)
        await wait_all(await producer.send(name, 1, records))
        await producer.stop()
        return [r async for read in read_to_end(broker, name, 1) for r in read]

    before = time.time() * 1000 - 1
    found = asyncio.run(scenario())

    assert [(r.key, r.value, tuple(r.headers)) for r in found] == [(r.key, r.value, r.headers) for r in records]
    assert [r.timestamp for r in found[:2]] == [1_700_000_000_000, 1_600_000_000_000]
    assert before <= found[2].timestamp <= time.time() * 1000
