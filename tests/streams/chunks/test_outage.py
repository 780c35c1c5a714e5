"""A broker that goes away and comes back: nothing is lost, no batch is stored twice; one that stays away is an end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.settings import BrokerSettings
from streams.chunks import BatchProducer, Chunk, DeliveryTimeout, Outgoing, ack, wait_all
from streams.topics import REROUTED, create_topics, topic_name
from streams.worker.changelog import read_to_end
from tests.brokers import KafkaServer, broker_settings
from tests.streams.chunks.members import Reader, committed, produce

pytestmark = pytest.mark.kafka
RECORDS = 1500
FROZEN_S = 8.0


class Copier(Reader):
    """Sends every record on, under a name of its own for each sending, and acknowledges what the broker took."""

    def __init__(self, broker: BrokerSettings, producer: BatchProducer) -> None:
        super().__init__(broker)
        self.producer = producer
        self.sendings = 0

    async def consume(self, stream: Any) -> None:
        async for event in stream.noack().events():
            chunk: Chunk = event.value
            self.sendings += 1
            copies = [Outgoing(b"%d" % record.offset, b"%d" % self.sendings) for record in chunk.records]
            topic = topic_name(self.settings.broker, REROUTED)
            await wait_all(await self.producer.send(topic, chunk.partition, copies))
            ack(event)
            self.chunks.append(chunk)
            self.changed.set()


@pytest.fixture
def server(jars: Path) -> Iterator[KafkaServer]:
    """A Kafka of this test's own, as the test takes it away."""
    with KafkaServer(jars) as server:
        yield server


async def stored(broker: BrokerSettings, partition: int) -> list[tuple[int, bytes]]:
    """(source offset, sending) of every copy in the log."""
    topic = topic_name(broker, REROUTED)
    return [(int(r.key), r.value) async for records in read_to_end(broker, topic, partition) for r in records]


async def kill_and_restart(server: KafkaServer) -> None:
    server.kill()
    await asyncio.to_thread(server.start)


async def freeze_and_thaw(server: KafkaServer) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    # Longer than requests and the group's session may take, so that all of them are given up and begun again.
    await asyncio.sleep(FROZEN_S)
    os.kill(server.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("outage", "idempotence"), [(kill_and_restart, "on"), (freeze_and_thaw, "on"), (kill_and_restart, "off")]
)
def test_work_stalls_while_the_broker_is_away_and_goes_on(server: KafkaServer, outage: Any, idempotence: Any) -> None:
    """Every record is sent on and committed; if producers are idempotent, no batch sent again is in the log twice."""
    broker = msgspec.structs.replace(
        broker_settings(server), request_timeout_s=2.0, session_timeout_s=4.0, idempotence=idempotence
    )
    asyncio.run(create_topics(broker))

    async def scenario() -> None:
        await produce(broker, RECORDS)
        producer = BatchProducer(broker)
        await producer.start()
        copier = Copier(broker, producer)
        async with copier.running():
            await copier.until(lambda: len(copier.chunks) > 20)
            await outage(server)
            await copier.until(lambda: all(len(set(copier.offsets.get(p, ()))) == RECORDS for p in range(4)))
        await producer.stop()

        assert await committed(broker) == dict.fromkeys(range(4), RECORDS)
        for partition in range(4):
            copies = await stored(broker, partition)
            assert {offset for offset, _ in copies} == set(range(RECORDS))
            assert idempotence == "off" or max(Counter(copies).values()) == 1

    asyncio.run(scenario())


def test_a_broker_that_stays_away_fails_the_sends(server: KafkaServer) -> None:
    """After the delivery timeout waiting and later sends fail, naming broker and setting, and stopping is quick."""
    broker = msgspec.structs.replace(broker_settings(server), delivery_timeout_s=1.5)
    asyncio.run(create_topics(broker))

    async def scenario() -> None:
        producer = BatchProducer(broker)
        await producer.start()
        topic = topic_name(broker, REROUTED)
        await wait_all(await producer.send(topic, 0, [Outgoing(b"k", b"v")]))
        server.kill()
        waiting = await producer.send(topic, 0, [Outgoing(b"k", b"v")])
        with pytest.raises(DeliveryTimeout, match=r"rerouted\[0\] not accepted by '127.*delivery_timeout_s"):
            await wait_all(waiting)
        with pytest.raises(DeliveryTimeout):
            await producer.send(topic, 1, [Outgoing(b"k", b"v")])
        async with asyncio.timeout(20):
            await producer.stop()

    with contextlib.suppress(ProcessLookupError):
        asyncio.run(scenario())


def test_required_idempotence_is_refused_where_there_is_none(embedded_broker: Any) -> None:
    """With `on` a producer does not start on a broker without producer ids; with `auto` it does."""
    broker = msgspec.structs.replace(broker_settings(embedded_broker), idempotence="on")

    async def start(settings: BrokerSettings) -> None:
        producer = BatchProducer(settings)
        await producer.start()
        await producer.stop()

    with pytest.raises(Exception, match="hands out no producer ids"):
        asyncio.run(start(broker))
    asyncio.run(start(msgspec.structs.replace(broker, idempotence="auto")))
