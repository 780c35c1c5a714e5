"""The consumer's own rules where a broker would only show them now and then."""

from __future__ import annotations

import asyncio
import re
import time
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError
from faust.types import TP, ConsumerMessage
from faust.types.enums import ProcessingGuarantee

from models.settings import BrokerSettings, Settings
from streams.chunks import Chunk, chunk_app
from streams.chunks import consumer as consumer_module
from streams.chunks.consumer import ChunkConsumer
from streams.chunks.tracker import ChunkTracker
from tests.brokers import ROOT

HERE = TP("clickstream", 0)


def consumer() -> ChunkConsumer:
    """A consumer that never connects. Call it inside the event loop."""
    app = chunk_app(Settings(broker=BrokerSettings(bootstrap="127.0.0.1:1")), "test")
    return cast("ChunkConsumer", app.consumer)


def records(*offsets: int) -> list[Any]:
    return [SimpleNamespace(offset=offset, timestamp=0, timestamp_type=0) for offset in offsets]


def message(chunk: Chunk) -> Any:
    return ConsumerMessage(
        HERE.topic, HERE.partition, chunk.last_offset, 0.0, 0, [], None, cast("Any", chunk), None, 0, 0, HERE,
        generation_id=0,
    )  # fmt: skip


def test_an_event_that_faust_skips_is_not_settled() -> None:
    """Faust acknowledges what a stream skips in a rebalance; only what was declared durable moves the position."""

    async def scenario() -> tuple[bool, int | None, bool, int | None]:
        subject, tracker = consumer(), ChunkTracker()
        chunk = Chunk(HERE.topic, 0, records(3, 4), None, tracker)
        subject._trackers[HERE] = tracker
        tracker.add(3, 4)
        skipped = subject.ack(message(chunk))
        before = tracker.position()
        chunk.durable = True
        return skipped, before, subject.ack(message(chunk)), tracker.position()

    assert asyncio.run(scenario()) == (False, None, True, 5)


def test_a_late_acknowledgement_settles_nothing_of_the_next_generation() -> None:
    """Records read again may lie in a chunk that ends alike and begins before what is durable."""

    async def scenario() -> int | None:
        subject = consumer()
        with patch.object(subject, "highwater", lambda _tp: None):
            subject._chunk_message(HERE, records(*range(5)))
            late = subject._chunk_message(HERE, records(*range(5, 10)))
            subject._forget()
            subject._chunk_message(HERE, records(*range(10)))
        cast("Chunk", late.value).durable = True
        subject.ack(late)
        return subject._new_offset(HERE)

    assert asyncio.run(scenario()) is None


def test_a_commit_at_the_revocation_is_not_swallowed_by_one_under_way() -> None:
    """Faust lets the second of two commits do nothing, though more may be settled by then."""

    async def scenario() -> list[int]:
        subject, asked, answer = consumer(), list[int](), asyncio.Event()
        tracker = subject._trackers[HERE] = ChunkTracker()
        tracker.add(0, 4)
        tracker.add(5, 9)

        async def commit(offsets: dict[TP, int]) -> bool:
            asked.append(offsets[HERE])
            await answer.wait()
            return True

        with patch.object(subject, "_commit", commit):
            tracker.settle(4)
            timer = asyncio.ensure_future(subject.commit())
            await asyncio.sleep(0)
            tracker.settle(9)
            revocation = asyncio.ensure_future(subject.commit_settled())
            await asyncio.sleep(0)
            answer.set()
            await asyncio.gather(timer, revocation)
        return asked

    assert asyncio.run(scenario()) == [5, 10]


@pytest.mark.parametrize("error", [CommitFailedError(), IllegalStateError(), KafkaConnectionError(), None])
def test_a_commit_that_fails_or_hangs_ends_nothing(error: Exception | None) -> None:
    """Faust crashes over it; here the timer tries again, and a role that is asked to stop is not held up."""

    class Broker:
        def assignment(self) -> set[TP]:
            return {HERE}

        async def commit(self, _offsets: Any) -> None:
            if error is not None:
                raise error
            await asyncio.Event().wait()

    async def scenario() -> bool:
        thread = consumer()._thread
        thread._consumer = cast("Any", Broker())
        return await thread._commit({HERE: 5})

    with patch.object(consumer_module, "_COMMIT_WITHIN_S", 0.01):
        assert asyncio.run(scenario()) is False


def test_the_broker_client_is_made_for_chunks_and_for_co_partitioning() -> None:
    """Faust would take round robin without tables, so that a customer's topics land on different members."""

    async def scenario() -> dict[str, Any]:
        subject = consumer()
        with patch("aiokafka.AIOKafkaConsumer", lambda **options: options):
            return cast("dict[str, Any]", subject._thread._create_worker_consumer(cast("Any", None)))

    options = asyncio.run(scenario())

    assert options["partition_assignment_strategy"] == [RangePartitionAssignor]
    assert (options["enable_auto_commit"], options["auto_offset_reset"]) == (False, "earliest")
    assert options["max_poll_interval_ms"] > BrokerSettings().delivery_timeout_s * 1000


def test_the_features_of_faust_that_lose_data_are_off() -> None:
    """No web server with its tables, leader topic, declared topics, standbys, waiting for ever, or transactions."""

    async def scenario() -> dict[str, Any]:
        conf = consumer().app.conf
        return {name: getattr(conf, name) for name in off}

    off = {
        "web_enabled": False,
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "table_standby_replicas": 0,
        "stream_wait_empty": False,
        "producer_threaded": False,
        "processing_guarantee": ProcessingGuarantee.AT_LEAST_ONCE,
    }

    assert asyncio.run(scenario()) == off


def test_the_livelock_detector_of_faust_is_off() -> None:
    """It would only log; readiness and the watchdog judge by the role's own progress."""

    async def scenario() -> None:
        async with asyncio.timeout(5):
            await ChunkConsumer._commit_livelock_detector(consumer())

    asyncio.run(scenario())


def test_nothing_of_faust_is_used_that_forgets_failures() -> None:
    """Its producer only logs a failed delivery, its tables write through that, and `take` acknowledges what failed."""
    unsafe = re.compile(
        r"send_soon|GlobalTable|\.Table\(|\btopic\.send\(|\bapp\.send\(|stream\.take|noack_take|reply_to"
    )
    sources = [path for path in (ROOT / "streams").rglob("*.py") if unsafe.search(path.read_text())]

    assert sources == []


@pytest.mark.parametrize(
    ("answered_s_ago", "in_touch"), [((), True), ((3.0, 300.0), True), ((30.0, 300.0), False), ((None,), False)]
)
def test_a_member_knows_whether_its_broker_answers(answered_s_ago: tuple[float | None, ...], in_touch: bool) -> None:
    """Without lag an idle member looks like one whose broker is away, but for the answers to its fetches."""
    now_ms = time.time() * 1000
    states = {
        TP("t", number): SimpleNamespace(timestamp=None if ago is None else now_ms - ago * 1000)
        for number, ago in enumerate(answered_s_ago)
    }

    async def scenario() -> bool:
        subject = consumer()
        with patch.object(subject, "assignment", lambda: set(states)), patch.object(subject, "_state", states.get):
            return subject.in_touch(10.0)

    assert asyncio.run(scenario()) is in_touch


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


def test_a_fetch_that_outlives_its_assignment_is_not_used() -> None:
    """Its records may be read by another member already, or again by this one from another place."""

    async def scenario() -> Any:
        subject = consumer()
        subject._active_partitions = {HERE}

        async def fetch(**_: Any) -> dict[TP, list[Any]]:
            subject._forget()
            return {HERE: records(7, 8)}

        with patch.object(subject, "_getmany", fetch):
            await subject._fetch(0.0)
        return subject._slices

    assert asyncio.run(scenario()) == {}


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


def test_a_thread_that_ends_is_not_waited_for() -> None:
    """A commit that the consumer's thread will not serve any more is given up, so that a revocation can end."""

    async def scenario() -> None:
        subject = consumer()
        subject._thread = SimpleNamespace(should_stop=False)  # type: ignore[assignment]

        async def never(_offsets: Any) -> bool:
            await asyncio.Event().wait()
            return True

        subject._commit = never  # type: ignore[method-assign]
        committing = asyncio.ensure_future(subject._commit_offsets({HERE: 7}))
        await asyncio.sleep(0)
        subject._thread.should_stop = True  # type: ignore[misc]
        async with asyncio.timeout(30):
            assert await committing is False
        assert subject._committed_offset[HERE] is None

    asyncio.run(scenario())
