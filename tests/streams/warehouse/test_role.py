"""The role end to end: brokers, restarts, outages and what operators see of them."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import duckdb
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from models.events.quarantine import QuarantineRecord
from models.settings import BrokerSettings, Settings, WarehouseSettings
from streams.embedded import EmbeddedBroker, free_port
from streams.kafka import producer_options, security_options
from streams.telemetry import Telemetry
from streams.topics import LABELS, QUARANTINE, SCORES, create_topics, topic_name
from streams.warehouse import feed
from streams.warehouse import role as role_module
from streams.warehouse.errors import WarehouseInUse
from streams.warehouse.feed import starting_point
from streams.warehouse.role import Warehouse
from streams.warehouse.snapshot import live_path, newest
from streams.warehouse.writer import WarehouseWriter
from tests.brokers import KafkaServer, broker_settings
from tests.streams.warehouse.support import encode, make_label, make_score

_WITHIN_S = 30.0


class Running:
    """A warehouse role at work, and its telemetry."""

    def __init__(self, settings: Settings) -> None:
        self.telemetry = Telemetry("warehouse")
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(Warehouse(settings, self.telemetry).run(self.stop))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, or for the end of the role, whose error is then raised."""
        async with asyncio.timeout(_WITHIN_S):
            while not condition():
                await asyncio.wait([self.task], timeout=0.02)
                if self.task.done():
                    self.task.result()
                    assert condition(), "the role ended"

    def figure(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"ebbtide_warehouse_{name}", labels) or 0.0

    def rows(self, table: str = "scores_history") -> float:
        return self.figure("rows_total", table=table)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    role = Running(settings)
    try:
        yield role
        role.stop.set()
        async with asyncio.timeout(_WITHIN_S):
            await role.task
    finally:
        role.task.cancel()
        await asyncio.wait([role.task])


def settings_for(broker: BrokerSettings, tmp_path: Path) -> Settings:
    return Settings(broker=broker, data_dir=str(tmp_path), warehouse=WarehouseSettings(publish_every_s=0.2))


async def send(
    broker: BrokerSettings, topic: str, records: Sequence[tuple[str, bytes | None]], partition: int = 0
) -> None:
    async with AIOKafkaProducer(**producer_options(broker)) as producer:
        for key, value in records:
            await producer.send(topic_name(broker, topic), key=key.encode(), value=value, partition=partition)


async def read_all(broker: BrokerSettings, topic: str) -> list[bytes]:
    partition = TopicPartition(topic_name(broker, topic), 0)
    async with AIOKafkaConsumer(**security_options(broker), auto_offset_reset="earliest") as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        values: list[bytes] = []
        async with asyncio.timeout(_WITHIN_S):
            while await consumer.position(partition) < end:
                values += [
                    record.value for record in (await consumer.getmany(partition, timeout_ms=200)).get(partition, [])
                ]
        return values


def count(path: Path, table: str) -> int:
    with duckdb.connect(str(path), read_only=True) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def scored(customers: int, revision: int = 1) -> list[tuple[str, bytes | None]]:
    return [(f"c{i}", encode(make_score(f"c{i}", revision))) for i in range(customers)]


def test_scores_and_labels_arrive_in_a_snapshot_that_others_read(broker: BrokerSettings, tmp_path: Path) -> None:
    """From the topics to another process with plain DuckDB while the role runs; bad records to quarantine."""

    async def scenario() -> list[bytes]:
        await send(broker, SCORES, [*scored(300), ("c7", b'{"score_id": 1}'), ("c1", None)], partition=1)
        await send(broker, SCORES, [("ada", encode(make_score()))], partition=3)
        await send(broker, LABELS, [("e", encode(make_label())), ("e", b"?"), ("e", None)])
        async with running(settings_for(broker, tmp_path)) as role:
            await role.until(lambda: role.telemetry.status["tables"].get("labels") == 1 and role.rows() >= 300)
            await role.until(lambda: role.telemetry.status["rows"] == 300)
            code = "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).sql(sys.argv[2]).fetchall())"
            query = "SELECT count(*) FROM likely_to_churn"
            read = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, str(newest(tmp_path)), query, stdout=subprocess.PIPE
            )
            out, _ = await read.communicate()
            assert (read.returncode, out.decode().strip()) == (0, "[(300,)]")
            assert role.telemetry.status["quarantine"] == {"wrong_shape": 1, "not_json": 1, "no_value": 1}
            await role.until(lambda: role.telemetry.health() == (True, "caught up"))
            assert b'ebbtide_warehouse_lag_records{partition="0",topic="labels"}' in role.telemetry.exposition()
        return await read_all(broker, QUARANTINE)

    told = [msgspec.json.decode(raw, type=QuarantineRecord) for raw in asyncio.run(scenario())]

    assert sorted((one.reason, one.topic, one.partition, one.offset, one.raw_value()) for one in told) == [
        ("no_value", "labels", 0, 2, None),
        ("not_json", "labels", 0, 1, b"?"),
        ("wrong_shape", "scores", 1, 300, b'{"score_id": 1}'),
    ]
    assert count(newest(tmp_path), "scores") == 300


def test_a_restart_goes_on_where_the_file_is(broker: BrokerSettings, tmp_path: Path) -> None:
    """The second run applies only what is new, and publishes it at its stop, however soon that comes."""

    async def scenario() -> tuple[float, float]:
        await send(broker, SCORES, scored(50))
        async with running(settings_for(broker, tmp_path)) as first:
            await first.until(lambda: first.rows() == 50)
        await send(broker, SCORES, scored(20, revision=2))
        async with running(settings_for(broker, tmp_path)) as second:
            await second.until(lambda: second.figure("beginnings_total", topic="scores", verdict="resumed") == 4)
        return second.rows(), second.figure("beginnings_total", topic="scores", verdict="new")

    applied, begun = asyncio.run(scenario())

    assert (applied, begun) == (20, 0)
    assert (count(newest(tmp_path), "scores_history"), count(newest(tmp_path), "scores")) == (70, 50)


def test_progress_is_committed_for_lag_monitors(broker: BrokerSettings, tmp_path: Path) -> None:
    """The group's offset on the broker follows the file."""

    async def scenario() -> int | None:
        await send(broker, SCORES, scored(5))
        async with running(settings_for(broker, tmp_path)) as role:
            await role.until(lambda: role.rows() == 5)
        group = f"{broker.topic_prefix}ebbtide-warehouse"
        async with AIOKafkaConsumer(**security_options(broker), group_id=group) as consumer:
            return await consumer.committed(TopicPartition(topic_name(broker, SCORES), 0))

    assert asyncio.run(scenario()) == 5


def test_topics_that_are_made_later_are_waited_for(bare_broker: BrokerSettings, tmp_path: Path) -> None:
    """Without topics the role is not ready and does not make them; once they are there it reads them."""

    async def scenario() -> None:
        async with running(settings_for(bare_broker, tmp_path)) as role:
            await role.until(lambda: role.figure("published_total") == 1)
            assert role.telemetry.health() == (False, "starting: no progress yet")
            assert len(await create_topics(bare_broker)) == 11
            await send(bare_broker, SCORES, scored(3))
            await role.until(lambda: role.rows() == 3)

    asyncio.run(scenario())

    assert count(newest(tmp_path), "scores") == 3


def test_a_broker_that_forgot_everything_is_read_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker dies under the role and comes back empty: new scores count, old history stays."""
    monkeypatch.setattr(role_module, "_CHECK_EVERY_S", 0.1)
    monkeypatch.setattr(role_module, "_RETRY_CAP_S", 0.3)
    monkeypatch.setattr(feed, "_ANSWER_S", 0.5)
    monkeypatch.setattr(feed, "_GOODBYE_S", 0.2)
    caplog.set_level(logging.INFO, logger="streams.warehouse")
    port = free_port()
    settings = settings_for(BrokerSettings(bootstrap=f"127.0.0.1:{port}"), tmp_path)

    async def scenario() -> None:
        first = EmbeddedBroker(port)
        await create_topics(settings.broker)
        await send(settings.broker, SCORES, [*scored(30, revision=8), *scored(30, revision=9)])
        async with running(settings) as role:
            await role.until(lambda: role.rows() == 60)
            first.stop()
            await role.until(lambda: "cannot read the topics" in caplog.text)
            with EmbeddedBroker(port):
                await create_topics(settings.broker)
                await send(settings.broker, SCORES, [*scored(10, revision=1), *scored(1, revision=9)])
                await role.until(lambda: role.rows() == 70 and "broker is back" in caplog.text)
                role.stop.set()
                await role.until(role.task.done)

    asyncio.run(scenario())

    with duckdb.connect(str(newest(tmp_path)), read_only=True) as connection:
        current = connection.execute(
            "SELECT generation, revision, count(*) FROM scores GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert current == [(0, 9, 20), (1, 1, 9), (1, 9, 1)]
    assert count(newest(tmp_path), "scores_history") == 70
    assert caplog.text.count("cannot read the topics") == 1


def test_stopping_while_the_broker_is_away_is_quick_and_publishes(tmp_path: Path) -> None:
    """A role that never saw a broker still ends in good order, with a snapshot."""
    settings = settings_for(BrokerSettings(bootstrap=f"127.0.0.1:{free_port()}"), tmp_path)

    async def scenario() -> None:
        async with running(settings) as role:
            await role.until(lambda: role.figure("published_total") == 1)

    asyncio.run(scenario())

    assert count(newest(tmp_path), "scores") == 0


def test_a_broker_that_does_not_answer_does_not_hold_the_stop(tmp_path: Path) -> None:
    """A stop ends an attempt to connect that would wait for its time-out."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = BrokerSettings(bootstrap=f"127.0.0.1:{silent.getsockname()[1]}", request_timeout_s=600.0)

        async def scenario() -> None:
            async with running(settings_for(broker, tmp_path)) as role:
                await role.until(lambda: role.figure("published_total") == 1)
                connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            connection.close()

        silent.setblocking(False)
        asyncio.run(scenario())

    assert count(newest(tmp_path), "scores") == 0


def test_a_second_role_on_the_data_is_refused(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The role ends with the error that names the other process."""
    holder = WarehouseWriter(live_path(tmp_path))

    async def scenario() -> None:
        async with running(settings_for(broker_settings(embedded_broker), tmp_path)) as role:
            await role.until(lambda: False)

    with pytest.raises(WarehouseInUse, match="writes there already"):
        asyncio.run(scenario())
    holder.close()


@pytest.mark.kafka
def test_partitions_that_come_later_are_read(
    kafka_broker: KafkaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic that grows while the role runs is read whole."""
    monkeypatch.setattr(role_module, "_CHECK_EVERY_S", 0.1)
    monkeypatch.setattr(feed, "_NEW_PARTITIONS_AFTER_S", 0.2)
    broker = broker_settings(kafka_broker)

    async def scenario() -> None:
        await create_topics(broker)
        async with running(settings_for(broker, tmp_path)) as role:
            await role.until(lambda: role.telemetry.health()[0])
            admin = AIOKafkaAdminClient(**security_options(broker))
            await admin.start()
            await admin.create_partitions({topic_name(broker, SCORES): NewPartitions(6)})
            await admin.close()
            await send(broker, SCORES, scored(4), partition=5)
            await role.until(lambda: role.rows() == 4)

    asyncio.run(scenario())


@pytest.mark.kafka
def test_records_that_expired_unread_are_told(kafka_broker: KafkaServer, tmp_path: Path) -> None:
    """Where the broker deleted what was not read yet, reading goes on from what is left, with a warning and a count."""
    broker = broker_settings(kafka_broker)
    partition = TopicPartition(topic_name(broker, LABELS), 0)

    async def labels(first: int) -> None:
        await send(broker, LABELS, [("e", encode(make_label(first + i))) for i in range(5)])

    async def scenario() -> float:
        await create_topics(broker)
        await labels(0)
        async with running(settings_for(broker, tmp_path)) as role:
            await role.until(lambda: role.rows("labels") == 5)
        await labels(5)
        admin = AIOKafkaAdminClient(**security_options(broker))
        await admin.start()
        await admin.delete_records({partition: RecordsToDelete(before_offset=8)})
        await admin.close()
        async with running(settings_for(broker, tmp_path)) as role:
            await role.until(lambda: role.rows("labels") == 2)
        return role.figure("beginnings_total", topic="labels", verdict="expired")

    assert asyncio.run(scenario()) == 1
    assert count(newest(tmp_path), "labels") == 7


@pytest.mark.kafka
def test_another_cluster_is_read_from_its_beginning(
    embedded_broker: EmbeddedBroker, kafka_broker: KafkaServer, tmp_path: Path
) -> None:
    """Offsets of one cluster mean nothing on another, even where they would fit."""

    async def scenario() -> float:
        for customers, server in ((3, embedded_broker), (9, kafka_broker)):
            broker = broker_settings(server)
            await create_topics(broker)
            await send(broker, SCORES, scored(customers))
            async with running(settings_for(broker, tmp_path)) as role:
                await role.until(
                    lambda: (
                        role.figure("beginnings_total", topic="scores", verdict="new")
                        + role.figure("beginnings_total", topic="scores", verdict="recreated")
                        == 4
                    )
                )
        return role.rows()

    assert asyncio.run(scenario()) == 6
    assert count(newest(tmp_path), "scores") == 9


@pytest.mark.parametrize(
    ("stored", "first", "end", "moved", "begin"),
    [
        (None, 0, 0, False, (0, "new")),
        (None, 7, 9, False, (7, "new")),
        (8, 7, 9, False, (8, "resumed")),
        (9, 7, 9, False, (9, "resumed")),
        (0, 0, 0, False, (0, "resumed")),
        (6, 7, 9, False, (7, "expired")),
        (10, 7, 9, False, (7, "recreated")),
        (5, 0, 0, False, (0, "recreated")),
        (8, 7, 9, True, (7, "recreated")),
    ],
)
def test_where_a_partition_begins(
    stored: int | None, first: int, end: int, moved: bool, begin: tuple[int, str]
) -> None:
    """Stored offset, what the broker still has, and whether it is the same broker decide where reading starts."""
    assert starting_point(stored, first, end, moved=moved) == begin
