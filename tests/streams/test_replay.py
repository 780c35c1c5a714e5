from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from models.settings import BrokerSettings
from models.simulator import SimulatorSettings, simulate
from streams.embedded import free_port
from streams.kafka import producer_options, security_options
from streams.replay import AnyEvent, ReplayError, ReplayReport, replay
from streams.topics import SOURCES, topic_name

SHOP = SimulatorSettings(customers=40, days=30, seed=2, hostile_rate=0.01)
Seen = list[tuple[int, float]]
FAR_FUTURE = 10_000_000_000.0


def test_everything_arrives_once_in_order_under_its_key(broker: BrokerSettings) -> None:
    """Each topic partition holds exactly the source's events of its customers, in the source's order."""
    events = list(simulate(SHOP))
    report = asyncio.run(replay(events, broker))
    records = asyncio.run(_read(broker))

    assert report.events == len(events) > 2_000
    assert report.bytes == sum(len(event.raw) for event in events)
    for topic in SOURCES:
        sent = [(event.key.encode(), event.raw) for event in events if event.topic == topic]
        assert report.by_topic[topic] == len(sent)
        by_key = _by_key((record.key, record.value) for record in records if record.topic == topic_name(broker, topic))
        assert by_key == _by_key(iter(sent))


def test_a_customer_has_the_partition_of_the_default_partitioner(broker: BrokerSettings) -> None:
    """Other producers with Kafka's default partitioner put the same customer on the same partition."""
    keys = [f"customer-{number}" for number in range(50)] + ["größe", ""]
    asyncio.run(replay([("purchases", key, 1e9, b"{}") for key in keys], broker))
    expected = asyncio.run(_default_partitions(broker, keys))

    assert {record.key: record.partition for record in asyncio.run(_read(broker))} == expected
    assert len(set(expected.values())) == broker.partitions


def test_records_carry_the_event_time_but_none_ahead_of_the_clock(bare_broker: BrokerSettings) -> None:
    """On a topic that keeps producers' times a record's timestamp is its event's, at most the present, at least 0."""
    name = topic_name(bare_broker, "purchases")
    asyncio.run(_create_plain_topic(bare_broker, name))
    before_ms = int(time.time() * 1000)
    asyncio.run(replay([("purchases", "a", at, b"{}") for at in (1.7e9 + 0.25, -5.0, FAR_FUTURE)], bare_broker))
    stamps = [record.timestamp for record in asyncio.run(_read(bare_broker, (name,)))]

    assert stamps[:2] == [1_700_000_000_250, 0]
    assert before_ms <= stamps[2] <= time.time() * 1000


def test_events_without_key_or_bytes_are_sent_too(broker: BrokerSettings) -> None:
    """What has no customer id is spread over the partitions, and an empty value stays one."""
    asyncio.run(replay([("clickstream", None, 1e9, raw) for raw in (b"", b"\xff", b"{", b"[]")], broker))
    records = asyncio.run(_read(broker))

    assert sorted(record.value for record in records) == [b"", b"[]", b"{", b"\xff"]
    assert {record.key for record in records} == {None}
    assert len({record.partition for record in records}) == broker.partitions


def test_speed_paces_by_event_time(broker: BrokerSettings) -> None:
    """At a day per second, half a day takes half a second, and what stands at the same time goes out at once."""
    events: list[AnyEvent] = [("purchases", "a", 1e9 + hour * 3600, b"{}") for hour in (0, 0, 6, 12)]
    report, seen = _timed(events, broker, speed=86_400.0)

    assert [count for count, _ in seen] == [2, 3, 4]
    assert 0.5 <= report.seconds < 5.0


def test_wrong_clocks_do_not_stop_a_paced_replay(broker: BrokerSettings) -> None:
    """Times of another century, first, in the middle or last, and times that run backwards, wait for nothing."""
    times = (0.0, 1e9, FAR_FUTURE, 1e9 + 60, 1e9 - 9e6, 1e9 + 90, FAR_FUTURE)
    report, seen = _timed([("purchases", "a", at, b"{}") for at in times], broker, speed=600.0)

    assert report.events == len(times)
    assert 0.15 <= report.seconds < 5.0
    assert seen[-1][0] == len(times)


def test_stop_ends_the_reading_and_the_report_is_what_arrived(broker: BrokerSettings) -> None:
    """An endless source is left when told, with all that was read on the topic."""

    async def run() -> ReplayReport:
        stop = asyncio.Event()

        def endless() -> Iterator[AnyEvent]:
            while True:
                yield ("clickstream", "a", 1e9, b"{}")

        def enough(sent: int, _: float) -> None:
            if sent >= 3_000:
                stop.set()

        return await replay(endless(), broker, progress=enough, stop=stop)

    report = asyncio.run(run())

    assert 3_000 <= report.events < 10_000
    assert len(asyncio.run(_read(broker))) == report.events


def test_stop_interrupts_a_long_wait(broker: BrokerSettings) -> None:
    """A paced replay in front of a gap of years ends at once."""

    async def run() -> ReplayReport:
        stop = asyncio.Event()
        events = [("purchases", "a", at, b"{}") for at in (1e9, 1.2e9)]
        return await replay(events, broker, speed=1.0, progress=lambda sent, _: stop.set(), stop=stop)

    assert asyncio.run(run()).events == 1


def test_progress_tells_events_and_event_time(broker: BrokerSettings) -> None:
    """Progress only grows, ends with the total, and names the time of the last event sent."""
    events: list[AnyEvent] = [("clickstream", "a", 1e9 + number, b"{}") for number in range(2_500)]
    seen: list[tuple[int, float]] = []
    asyncio.run(replay(events, broker, progress=lambda count, at: seen.append((count, at))))

    assert seen == [(1_000, 1e9 + 999), (2_000, 1e9 + 1_999), (2_500, 1e9 + 2_499)]


def test_nothing_to_send_is_a_report_of_nothing(broker: BrokerSettings) -> None:
    """An empty source is no error, paced or not."""
    for speed in (None, 10.0):
        report = asyncio.run(replay([], broker, speed=speed))
        assert (report.events, report.by_topic) == (0, {})


def test_events_larger_than_a_round_are_sent(broker: BrokerSettings) -> None:
    """An event of several megabytes goes out between small ones, in order."""
    values = [b"first", b"x" * 3_000_000, b"y" * 600_000, b"last"]
    asyncio.run(replay([("contact_center", "a", 1e9, value) for value in values], broker))

    assert [record.value for record in asyncio.run(_read(broker))] == values


def test_an_unreachable_broker_is_named() -> None:
    """Without a broker the error says where it was looked for."""
    address = f"127.0.0.1:{free_port()}"

    with pytest.raises(ReplayError, match=f"cannot reach the broker at '{address}'"):
        asyncio.run(replay([("purchases", "a", 1e9, b"{}")], BrokerSettings(bootstrap=address, request_timeout_s=2.0)))


@pytest.mark.kafka
def test_a_missing_topic_is_named(kafka_broker: Any) -> None:
    """The error says which topic is missing and which command creates it."""
    settings = BrokerSettings(bootstrap=kafka_broker.bootstrap, topic_prefix="none-", request_timeout_s=1.0)

    with pytest.raises(ReplayError, match=r"topic 'none-purchases'.*ebbtide topics"):
        asyncio.run(replay([("purchases", "a", 1e9, b"{}")], settings))


@pytest.mark.kafka
def test_a_refused_record_ends_the_replay_with_the_reason(kafka_broker: Any) -> None:
    """A record above the topic's limit is an error that names it, not a silent loss."""
    settings = BrokerSettings(bootstrap=kafka_broker.bootstrap, topic_prefix="small-", compression="none")
    asyncio.run(_create_plain_topic(settings, "small-purchases", {"max.message.bytes": "1000"}))

    with pytest.raises(ReplayError, match="MessageSizeTooLargeError"):
        asyncio.run(replay([("purchases", "a", 1e9, b"x" * 5_000)], settings))


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_speed_must_be_positive(speed: float) -> None:
    """A speed that would never end is refused before anything is sent."""
    with pytest.raises(ValueError, match="allowed: a positive number"):
        asyncio.run(replay([], BrokerSettings(bootstrap="nowhere:1"), speed=speed))


def _timed(
    events: list[AnyEvent], broker: BrokerSettings, speed: float
) -> tuple[ReplayReport, list[tuple[int, float]]]:
    seen: list[tuple[int, float]] = []
    report = asyncio.run(replay(events, broker, speed=speed, progress=lambda count, at: seen.append((count, at))))
    return report, seen


async def _read(broker: BrokerSettings, names: tuple[str, ...] = ()) -> list[Any]:
    """All records of the source topics (or of these), in the order of each partition."""
    consumer = AIOKafkaConsumer(**security_options(broker), max_partition_fetch_bytes=8 * 1024 * 1024)
    await consumer.start()
    try:
        places = []
        for name in names or tuple(topic_name(broker, topic) for topic in SOURCES):
            numbers = await consumer._client._wait_on_metadata(name)
            places += [TopicPartition(name, number) for number in sorted(numbers)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(places)
        records: list[Any] = []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += batch
        return records
    finally:
        await consumer.stop()


async def _default_partitions(broker: BrokerSettings, keys: list[str]) -> dict[bytes, int]:
    """Where aiokafka's own producer puts the keys."""
    async with AIOKafkaProducer(**producer_options(broker)) as producer:
        name = topic_name(broker, "contact_center")
        sent = {key.encode(): await producer.send_and_wait(name, b"{}", key=key.encode()) for key in keys}
    return {key: metadata.partition for key, metadata in sent.items()}


async def _create_plain_topic(broker: BrokerSettings, name: str, configs: dict[str, str] | None = None) -> None:
    admin = AIOKafkaAdminClient(**security_options(broker))
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=configs or {})])
        while not (await admin.describe_topics([name]))[0]["partitions"]:  # asked until the broker has a leader
            pass
    finally:
        await admin.close()


def _by_key(pairs: Iterator[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    result: dict[bytes, list[bytes]] = {}
    for key, value in pairs:
        result.setdefault(key, []).append(value)
    return result
