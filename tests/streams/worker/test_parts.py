"""The worker's parts that need no broker: alignment, clocks, intake."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from models.events.types import Event
from models.settings import Settings
from streams.chunks import Chunk
from streams.topics import CLICKSTREAM, PURCHASES, REROUTED
from streams.worker.align import Aligner, Batch, Item
from streams.worker.clock import EventClock
from streams.worker.intake import ORIGIN_HEADER, Intake, partition_of

DAY_S = 86_400.0


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def batch(topic: str, *times: float) -> Batch:
    events = (Event("e", "view", "c", time) for time in times)
    return Batch(topic, None, (Item(one.time, one, f"{topic}/0", i, None) for i, one in enumerate(events)))


def times_of(taken: list[Item]) -> list[float]:
    return [item.event.time for item in taken]


def items_of(single: Batch) -> list[Item]:
    aligner = Aligner((single.topic,), 0.0, Clock(), lambda *_: True)
    aligner.add(single)
    return aligner.take(1000)[0]


def test_topics_are_merged_by_event_time() -> None:
    """Events of two topics come out in time order, each topic in its own order."""
    aligner = Aligner(("a", "b"), 0.0, Clock(), lambda *_: True)
    aligner.add(batch("a", 1, 4, 5))
    aligner.add(batch("b", 2, 3, 6))
    taken, done = aligner.take(100)

    assert times_of(taken) == [1, 2, 3, 4, 5, 6]
    assert len(done) == 2
    assert not aligner.buffered


def test_an_empty_topic_is_waited_for_until_the_broker_says_it_is_quiet() -> None:
    """A topic may still send something older until a fetch, some time after its last event, found nothing."""
    clock, answered = Clock(), 0.0
    aligner = Aligner(("a", "b"), 1.0, clock, lambda _, since: answered >= since)
    aligner.add(batch("a", 5))
    clock.now = 8.0
    unknown, _ = aligner.take(100)
    aligner.add(batch("b", 2))
    merged, _ = aligner.take(100)
    aligner.add(batch("a", 7))
    answered = 8.5
    too_early, _ = aligner.take(100)
    answered = 9.0
    quiet, _ = aligner.take(100)

    assert (unknown, too_early) == ([], [])
    assert (times_of(merged), times_of(quiet)) == ([2], [5, 7])


def test_without_idle_time_nothing_waits() -> None:
    """With idle time 0 what is there is taken at once."""
    aligner = Aligner(("a", "b"), 0.0, Clock(), lambda *_: True)
    aligner.add(batch("a", 1))

    assert times_of(aligner.take(100)[0]) == [1]


def test_empty_batches_are_done_at_once() -> None:
    """A chunk of nothing but refused records is handed back to be acknowledged."""
    aligner = Aligner(("a",), 0.0, Clock(), lambda *_: True)
    aligner.add(batch("a"))
    taken, done = aligner.take(10)

    assert (taken, len(done)) == ([], 1)


@given(st.lists(st.lists(st.integers(0, 50), max_size=12), min_size=1, max_size=6), st.integers(1, 7))
def test_every_event_comes_out_once_in_its_topics_order(rows: list[list[int]], limit: int) -> None:
    """Whatever the times and limits, nothing is lost, doubled or reordered within a topic."""
    aligner = Aligner(("a", "b"), 0.0, Clock(), lambda *_: True)
    for number, row in enumerate(rows):
        aligner.add(batch("ab"[number % 2], *map(float, row)))
    seen: dict[str, list[float]] = {"a": [], "b": []}
    finished = 0
    while aligner.buffered:
        taken, done = aligner.take(limit)
        finished += len(done)
        assert len(taken) <= limit
        for item in taken:
            seen[item.source[0]].append(item.event.time)

    assert seen == {t: [float(x) for row in rows[i::2] for x in row] for i, t in enumerate("ab")}
    assert finished == len(rows)


def test_event_clock_tells_each_boundary_once() -> None:
    """Crossing days yields each midnight, in order, before the event's own time."""
    clock = EventClock(DAY_S)
    start = 20_000 * DAY_S + 3600
    assert list(clock.passed(start)) == []

    assert list(clock.passed(start + 2.5 * DAY_S)) == [20_001 * DAY_S, 20_002 * DAY_S]
    assert clock.now() == start + 2.5 * DAY_S
    assert list(clock.passed(start)) == []
    assert clock.now() == start + 2.5 * DAY_S


def test_one_event_with_a_wrong_clock_moves_neither_merge_nor_clock() -> None:
    """An event stamped a year ahead, and a late one, are applied in their places without moving their neighbours."""
    year = 365 * DAY_S
    aligner = Aligner(("a", "b"), 0.0, Clock(), lambda *_: True)
    aligner.add(batch("a", 10, year, 30, 1, 50, 60))
    aligner.add(batch("b", 20, 40, 70))
    taken, _ = aligner.take(100)

    assert times_of(taken) == [10, 20, 40, year, 30, 1, 50, 60, 70]
    assert max(item.time for item in taken) == 70


def test_a_real_gap_is_crossed() -> None:
    """When all events behind a gap lie behind it, so does the stream time."""
    aligner = Aligner(("a",), 0.0, Clock(), lambda *_: True)
    aligner.add(batch("a", 1, 10 * DAY_S, 11 * DAY_S))

    assert [item.time for item in aligner.take(100)[0]] == [1, 10 * DAY_S, 11 * DAY_S]


def record(value: Any, offset: int = 0, headers: tuple[tuple[str, bytes], ...] = ()) -> Any:
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    return SimpleNamespace(
        value=raw, offset=offset, key=None, partition=0, timestamp=1, headers=headers, topic=CLICKSTREAM
    )


def page(user: str) -> dict[str, Any]:
    return {"type": "page", "userId": user, "timestamp": "2025-01-01T00:00:00Z"}


def test_partition_is_the_one_of_kafkas_default_partitioner() -> None:
    """Routing agrees with what ordinary producers do with the same key."""
    partitioner = DefaultPartitioner()
    for i in range(200):
        key = f"customer-{i}-ü"

        assert partition_of(key, 7) == partitioner(key.encode(), list(range(7)), list(range(7)))


def test_misplaced_events_take_the_hop_and_keep_their_origin() -> None:
    """An event of another partition's customer goes to `rerouted` with its origin, which counts when read there."""
    intake = Intake(Settings())
    home = {partition_of(f"c{i}", 4): f"c{i}" for i in range(40)}
    here, elsewhere = home[0], home[2]
    chunk = Chunk(CLICKSTREAM, 0, [record(page(here), 5), record(page(elsewhere), 6)], None)
    batch_, routed = intake.decode(chunk, CLICKSTREAM, None, 1.8e9, ())

    [item] = items_of(batch_)
    assert (item.event.customer_id, item.source, item.offset) == (here, "clickstream/0", 5)
    [(topic, partition, outgoing)] = routed
    assert (topic, partition, outgoing.key) == (REROUTED, 2, elsewhere.encode())

    hop = Chunk(REROUTED, 2, [record(outgoing.value, 77, outgoing.headers)], None)
    arrived, again = intake.decode(hop, REROUTED, None, 1.8e9, ())
    assert again == []
    assert [(item.source, item.offset) for item in items_of(arrived)] == [("clickstream/0", 6)]


@pytest.mark.parametrize("header", [b"", b"x", b"clickstream/0/", b"\xff\xfe/1", b"/5"])
def test_a_forged_origin_is_not_believed(header: bytes) -> None:
    """A broken origin header counts as no origin."""
    chunk = Chunk(REROUTED, 1, [record(page("c"), 9, ((ORIGIN_HEADER, header),))], None)
    arrived, _ = Intake(Settings()).decode(chunk, REROUTED, None, 1.8e9, ())

    assert [(item.source, item.offset) for item in items_of(arrived)] == [("rerouted/1", 9)]


def test_refused_records_become_quarantine_records() -> None:
    """A record that is no event yields one quarantine record and is counted by reason."""
    intake = Intake(Settings())
    chunk = Chunk(PURCHASES, 3, [record(b"\xff", 4), record(b"[1]", 5)], None)
    batch_, routed = intake.decode(chunk, PURCHASES, None, 1.8e9, ())

    assert len(batch_) == 0
    reasons = [orjson.loads(outgoing.value or b"")["reason"] for _, _, outgoing in routed]
    assert sorted(intake.rejections.elements()) == sorted(reasons)
    assert [topic for topic, _, _ in routed] == ["quarantine", "quarantine"]
