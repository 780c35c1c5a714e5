"""Reading a real broker: everything that a deployment leaves on its topics, and what must not be verified."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import OffsetAndMetadata

from models.events.quarantine import quarantine_record
from models.events.types import Rejection
from models.records import Example
from models.settings import BrokerSettings, WorkerSettings
from streams.embedded import free_port
from streams.kafka import group_id, producer_options, security_options
from streams.topics import CHANGELOG, QUARANTINE, REROUTED, SCORES, SOURCES, topic_name
from streams.verify import CannotVerify, Report, label_mismatches, lines, newest_export, verify, verify_export
from streams.worker.intake import ORIGIN_HEADER
from streams.worker.markers import OWNER_KEY, Marker
from tests.streams.verify.support import SETTINGS, Played, Record, a_story, raw, records, renumbered

Sent = list[tuple[str, int, bytes | None, bytes | None, list[tuple[str, bytes]]]]


class Deployment:
    """The topics of one deployment after a worker (played without a broker) has done its work on partition 0."""

    def __init__(self, broker: BrokerSettings, played: Played) -> None:
        self.played = played
        self.settings = msgspec.structs.replace(
            SETTINGS, broker=broker, worker=WorkerSettings(clock="event", app_id="verified")
        )
        self.more: Sent = []
        self.applied: dict[tuple[str, int], int] = defaultdict(int)
        for record in played.records:
            self.applied[record.topic, record.partition] += 1

    def everything(self) -> Sent:
        """Sources, refusals, states behind a claim, scores."""
        sent: Sent = [(one.topic, one.partition, None, one.raw, []) for one in self.played.records]
        sent += [(QUARANTINE, 0, None, refusal(*place), []) for place in self.played.refused]
        sent.append((CHANGELOG, 0, OWNER_KEY, Marker(epoch=1, member="m", clock=self.played.clock).to_json(), []))
        self.played.engine.epoch = 1
        self.played.engine.retell(self.played.states)
        self.played.flush(self.played.clock)
        sent += [(CHANGELOG, 0, key.encode(), value, []) for key, value in self.played.states.items()]
        scores = self.played.scores.items()
        return sent + [(SCORES, 0, key.encode(), msgspec.json.encode(value), []) for key, value in scores] + self.more

    async def send(self) -> None:
        """Put everything on the topics, in order, and commit what is applied."""
        broker = self.settings.broker
        producer = AIOKafkaProducer(**producer_options(broker))
        await producer.start()
        try:
            for topic, partition, key, value, headers in self.everything():
                await producer.send(topic_name(broker, topic), value, key, partition=partition, headers=headers)
            await producer.flush()
        finally:
            await producer.stop()
        await self.commit()

    async def commit(self) -> None:
        """Say in the worker's group what is applied."""
        broker = self.settings.broker
        consumer = AIOKafkaConsumer(
            **security_options(broker), group_id=group_id(self.settings), enable_auto_commit=False
        )
        await consumer.start()
        try:
            offsets = {
                TopicPartition(topic_name(broker, topic), number): OffsetAndMetadata(count, "")
                for (topic, number), count in self.applied.items()
            }
            consumer.assign(list(offsets))
            await consumer.commit(offsets)
        finally:
            await consumer.stop()


def refusal(topic: str, partition: int, offset: int, reason: str) -> bytes:
    why = Rejection(reason, "a test")
    return quarantine_record(why, topic=topic, partition=partition, offset=offset, key=None, raw=b"", at=0.0).to_json()


def run(deployment: Deployment, **options: Any) -> Report:
    async def both() -> Report:
        await deployment.send()
        return await verify(deployment.settings, **options)

    return asyncio.run(both())


def story() -> Played:
    twice = raw("page", "anna", 119.0, "m")
    return Played(records([*a_story(), b"broken", twice, twice]))


def test_a_deployment_is_verified_from_its_topics(broker: BrokerSettings) -> None:
    """Sources, refusals, states and scores are read whole, and agree."""
    report = run(Deployment(broker, story()))

    assert report.ok, list(lines(report))
    assert (report.customers, report.served, report.refused, report.repeats) == (2, 2, 1, 1)
    assert report.events == len(story().records) - 1
    assert broker.topic_prefix in report.source


def test_re_routed_events_count_once(broker: BrokerSettings) -> None:
    """An event that took the hop counts where it was first read; one that a stranger put there is an event as well."""
    arrived = records(a_story())
    arrived[50:60] = [record._replace(partition=2) for record in arrived[50:60]]
    arrived = renumbered(arrived)
    hopped = arrived[50:60]
    stranger = Record(REROUTED, 0, len(hopped), raw("page", "anna", 100.0))
    deployment = Deployment(broker, Played([*arrived, stranger]))
    deployment.played.records = arrived
    for one in hopped:
        origin = f"{one.topic}/{one.partition}/{one.offset}".encode()
        deployment.more.append((REROUTED, 0, None, one.raw, [(ORIGIN_HEADER, origin)]))
    deployment.more.append((REROUTED, 0, None, stranger.raw, []))
    deployment.applied[REROUTED, 0] = len(hopped) + 1
    report = run(deployment)

    assert report.ok, list(lines(report))
    assert report.events == len(arrived) + 1


def test_refusals_of_re_routed_events_are_found_at_their_origin(broker: BrokerSettings) -> None:
    """A refusal that names the re-routed record counts for the record it came from."""
    arrived = records(a_story())
    late = Record(SOURCES[0], 2, 0, raw("page", "anna", 1.0))
    deployment = Deployment(broker, Played(arrived))
    deployment.played.records = [*arrived, late]
    deployment.more += [
        (REROUTED, 0, None, late.raw, [(ORIGIN_HEADER, f"{SOURCES[0]}/2/0".encode())]),
        (QUARANTINE, 0, None, refusal(REROUTED, 0, 0, "late"), []),
    ]
    deployment.applied |= {(SOURCES[0], 2): 1, (REROUTED, 0): 1}
    report = run(deployment)

    assert report.ok, list(lines(report))
    assert report.refused == 1


def test_records_of_an_evicted_writer_do_not_count(broker: BrokerSettings) -> None:
    """A late state behind a newer claim is left out; it counts only for a customer of whom there is no other."""
    deployment = Deployment(broker, story())
    deployment.played.engine.epoch = 0
    before = Played(deployment.played.records[:40])
    before.engine.retell(before.states)
    before.flush(before.clock)
    deployment.more.append((CHANGELOG, 0, b"anna", before.states["anna"], []))
    report = run(deployment)

    assert report.ok, list(lines(report))


def test_records_that_are_not_applied_are_no_success(broker: BrokerSettings) -> None:
    """While the worker is behind there is no verification, but the number of records that are missing."""
    deployment = Deployment(broker, story())
    deployment.applied[SOURCES[0], 0] -= 3

    with pytest.raises(CannotVerify, match=r"has not applied 3 records yet \(clickstream/0 3\); start the worker"):
        run(deployment)


def test_waiting_ends_when_the_worker_has_caught_up(broker: BrokerSettings) -> None:
    """With a time to wait, the verification begins as soon as everything is committed."""
    deployment = Deployment(broker, story())
    whole = deployment.applied[SOURCES[0], 0]
    deployment.applied[SOURCES[0], 0] -= 3

    async def catch_up() -> Report:
        await deployment.send()
        waiting = asyncio.create_task(verify(deployment.settings, wait_s=30.0))
        deployment.applied[SOURCES[0], 0] = whole
        await deployment.commit()
        return await waiting

    assert asyncio.run(catch_up()).ok


def test_missing_topics_are_told(bare_broker: BrokerSettings) -> None:
    """A deployment that does not exist is no success either, and looking at it creates nothing."""
    settings = msgspec.structs.replace(SETTINGS, broker=bare_broker)

    for _ in range(2):
        with pytest.raises(CannotVerify, match=f"topic '{bare_broker.topic_prefix}clickstream' is missing: `ebbtide"):
            asyncio.run(verify(settings))


def test_a_broker_that_is_away_is_told() -> None:
    """Without an answer there is no verification; the message names the address."""
    nobody = BrokerSettings(bootstrap=f"127.0.0.1:{free_port()}", request_timeout_s=2.0)

    with pytest.raises(CannotVerify, match=f"cannot read the topics on {nobody.bootstrap}"):
        asyncio.run(verify(msgspec.structs.replace(SETTINGS, broker=nobody)))


def test_an_export_is_verified_again(broker: BrokerSettings, tmp_path: Path) -> None:
    """What was read from the broker can be taken in again without it, with the same outcome."""
    folder = tmp_path / "demo-1" / "log"
    report = run(Deployment(broker, story()), export_to=folder)

    assert newest_export(tmp_path) == folder
    assert verify_export(folder) == report
    (folder / "raw.parquet").write_bytes(b"cut short")
    with pytest.raises(CannotVerify, match="cannot read the exported log"):
        verify_export(folder)


def test_labels_are_checked_from_the_topics(broker: BrokerSettings) -> None:
    """Examples are held against the raw log on the broker; only the wrong one is told."""
    deployment = Deployment(broker, story())
    deployment.played.flush(deployment.played.clock + 30 * 86_400)
    good = deployment.played.examples
    wrong = msgspec.structs.replace(good[0], label=1 - good[0].label)

    async def both(examples: list[Example]) -> list[Any]:
        await deployment.send()
        return await label_mismatches(deployment.settings, examples)

    [found] = asyncio.run(both([*good, wrong]))
    assert (found.customer_id, found.as_of, found.found) == (wrong.customer_id, wrong.as_of, wrong.label)


@pytest.mark.kafka
def test_removed_records_are_told(kafka_deployment: BrokerSettings) -> None:
    """Once retention has taken records, only the windows behind them are compared, or nothing and a clear refusal."""
    deployment = Deployment(kafka_deployment, story())

    async def remove(topic: str, number: int, before: int) -> None:
        admin = AIOKafkaAdminClient(**security_options(kafka_deployment))
        await admin.start()
        try:
            tp = TopicPartition(topic_name(kafka_deployment, topic), number)
            await admin.delete_records({tp: RecordsToDelete(before_offset=before)})
        finally:
            await admin.close()

    async def truncated() -> Report:
        await deployment.send()
        await remove(SOURCES[0], 0, 20)
        return await verify(deployment.settings)

    # The story lies in the past, and what was removed arrived just now: it may have been of any day before.
    with pytest.raises(
        CannotVerify, match="retention has removed 20 records of the source topics: the log is complete"
    ):
        asyncio.run(truncated())


def test_settings_name_the_group(broker: BrokerSettings) -> None:
    """Another worker's group says nothing about this one: its records are not applied."""
    deployment = Deployment(broker, story())
    asyncio.run(deployment.send())
    other = msgspec.structs.replace(deployment.settings, worker=WorkerSettings(clock="event", app_id="another"))

    with pytest.raises(CannotVerify, match="another"):
        asyncio.run(verify(other))
