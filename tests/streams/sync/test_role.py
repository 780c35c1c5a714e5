"""The sync role end to end: a broker, a real HTTP receiver, restarts and kills."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from models.records import Score
from models.settings import BrokerSettings, Settings, SyncSettings
from streams import kafka
from streams.destinations import configured
from streams.destinations.base import InvalidDestination
from streams.embedded import EmbeddedBroker
from streams.emulators import registry as emulators
from streams.kafka import group_id, group_options, log_ends, producer_options, security_options
from streams.sync import lane
from streams.sync.receiver import Step, WebhookReceiver
from streams.sync.role import NO_DESTINATION, Sync
from streams.telemetry import Telemetry
from streams.topics import DEAD_LETTERS, SCORES, admin_client, create_topics, topic_name
from tests.brokers import EMBEDDED_SESSION_S, ROOT, KafkaServer, broker_settings
from tests.streams.sync.support import SECRET, make_score, sync_settings, until

_WITHIN_S = 30.0


class Running:
    """A sync role at work."""

    def __init__(self, settings: Settings, pending_limit: int, environ: Mapping[str, str] | None = None) -> None:
        self.telemetry = Telemetry("sync")
        self.stop = asyncio.Event()
        sync = Sync(settings, self.telemetry, pending_limit=pending_limit, environ=environ)
        self.task = asyncio.create_task(sync.run(self.stop))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, or for the end of the role, whose error is then raised."""
        async with asyncio.timeout(_WITHIN_S):
            while not condition():
                await asyncio.wait([self.task], timeout=0.02)
                if self.task.done():
                    self.task.result()

                    assert condition(), "the role ended"

    def figure(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"ebbtide_{name}", {"destination": "webhook"} | labels) or 0.0

    def settled(self) -> float:
        outcomes = ("delivered", "superseded", "refused", "gave_up", "too_large", "forgotten")
        reasons = ("older", "repeated", "dead", "unlikely", "unchanged", "invalid", "deleted")
        return sum(self.figure("deliveries_total", outcome=outcome) for outcome in outcomes) + sum(
            self.figure("sync_skipped_total", reason=reason) for reason in reasons
        )


@asynccontextmanager
async def running(
    settings: Settings, pending_limit: int = 10_000, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    role = Running(settings, pending_limit, environ)
    try:
        yield role
        role.stop.set()
        async with asyncio.timeout(_WITHIN_S):
            await role.task
    finally:
        role.task.cancel()
        await asyncio.wait([role.task])


def quick(settings: BrokerSettings) -> BrokerSettings:
    """The embedded broker lets a member wait for half of its session at every join, and keeps members that are late."""
    if settings.session_timeout_s != EMBEDDED_SESSION_S:
        return settings
    return msgspec.structs.replace(settings, session_timeout_s=0.6)


@pytest.fixture
def broker(bare_broker: BrokerSettings) -> BrokerSettings:
    """Each kind of broker in turn, with topics for this test."""
    asyncio.run(create_topics(bare_broker))
    return quick(bare_broker)


@pytest.fixture
def embedded(embedded_broker: EmbeddedBroker) -> BrokerSettings:
    """The embedded broker alone, with topics for this test."""
    settings = quick(broker_settings(embedded_broker))
    asyncio.run(create_topics(settings))
    return settings


def settings_for(broker: BrokerSettings, folder: Path, url: str, **changes: Any) -> Settings:
    return Settings(broker=broker, data_dir=str(folder), sync=sync_settings(url, **changes))


async def publish(
    broker: BrokerSettings, records: Iterable[Score | tuple[bytes, bytes | None]], partition: int | None = None
) -> None:
    """Write scores, or pairs of key and raw value, to the scores topic, by key unless a partition is named."""
    topic = topic_name(broker, SCORES)
    async with AIOKafkaProducer(**producer_options(broker)) as producer:
        sent = []
        for record in records:
            if isinstance(record, Score):
                record = (record.customer_id.encode(), msgspec.json.encode(record))
            sent.append(await producer.send(topic, record[1], key=record[0], partition=partition))
        await asyncio.gather(*sent)


async def dead_letters(broker: BrokerSettings) -> list[dict[str, Any]]:
    partition = TopicPartition(topic_name(broker, DEAD_LETTERS), 0)
    end = (await log_ends(broker, [partition]))[partition]
    letters: list[dict[str, Any]] = []
    consumer = AIOKafkaConsumer(**security_options(broker), enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        while len(letters) < end:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                letters += [msgspec.json.decode(record.value) for record in records]
    finally:
        await consumer.stop()
    return letters


async def committed(broker: BrokerSettings) -> int:
    """The sum of the group's committed offsets."""
    consumer = AIOKafkaConsumer(**group_options(broker), group_id=group_id(Settings(broker=broker), "sync-webhook"))
    await consumer.start()
    try:
        partitions = [TopicPartition(topic_name(broker, SCORES), number) for number in range(broker.partitions)]
        return sum([await consumer.committed(partition) or 0 for partition in partitions])
    finally:
        await consumer.stop()


def customers(receiver: WebhookReceiver) -> Counter[str]:
    return Counter(message.data["customer_id"] for message in receiver.accepted)


def test_storm_ends_with_every_customer_told_once(broker: BrokerSettings, tmp_path: Path) -> None:
    """Through 429, 500, time-outs and cut connections each likely customer arrives once, each refusal is kept."""
    rng = random.Random(5)
    trouble = [Step("status", 429, "0"), Step("status", 500), Step("disconnect"), Step("disconnect", accept=True)]
    scores = [make_score(f"c{number}", likely=number % 4 != 0) for number in range(120)]
    refused = {f"c{number}" for number in range(120) if number % 10 == 3}

    def misbehave(message: dict[str, Any]) -> Step | None:
        if message["data"]["customer_id"] in refused:
            return Step("status", 422)
        if rng.random() < 0.02:
            return Step("hang")
        return rng.choice(trouble) if rng.random() < 0.5 else None

    async def play() -> WebhookReceiver:
        await publish(broker, scores)
        async with (
            WebhookReceiver(SECRET, misbehave) as receiver,
            running(settings_for(broker, tmp_path, receiver.url, timeout_s=0.3)) as role,
        ):
            await role.until(lambda: role.settled() == 120)
            role.stop.set()
            await role.task

            assert await committed(broker) == 120

            letters = await dead_letters(broker)

            assert Counter(letter["customer_id"] for letter in letters) == Counter(refused)
            assert {(letter["reason"], letter["status"], letter["destination"]) for letter in letters} == {
                ("refused", 422, "webhook")
            }
            assert "secret_feature" not in repr(letters)
            assert SECRET not in repr(letters)

            return receiver

    receiver = asyncio.run(play())

    assert customers(receiver) == Counter({f"c{n}" for n in range(120) if n % 4 != 0} - refused)
    assert receiver.invalid == receiver.elsewhere == 0


def test_restart_sends_nothing_twice(broker: BrokerSettings, tmp_path: Path) -> None:
    """A role that stops and starts again sends only what is new."""

    async def play() -> WebhookReceiver:
        async with WebhookReceiver(SECRET) as receiver:
            settings = settings_for(broker, tmp_path, receiver.url)
            for revision, band in ((1, "high"), (2, "critical")):
                await publish(broker, [make_score(f"c{n}", revision=revision, band=band) for n in range(40)])
                async with running(settings) as role:
                    await role.until(lambda role=role: role.settled() >= 40)

                assert await committed(broker) == 40 * revision

            return receiver

    receiver = asyncio.run(play())

    assert receiver.requests == 80
    assert Counter(message.type for message in receiver.accepted) == {
        "churn.customer.at_risk": 40,
        "churn.score.updated": 40,
    }


def test_kill_loses_nothing(broker: BrokerSettings, tmp_path: Path) -> None:
    """A role killed in the middle loses nothing; repeated are at most the requests that were under way."""
    concurrency = 4

    async def play() -> WebhookReceiver:
        await publish(broker, [make_score(f"c{number}") for number in range(300)])
        async with WebhookReceiver(SECRET) as receiver:
            settings = settings_for(broker, tmp_path, receiver.url, concurrency=concurrency)
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.streams.sync.sync_process", msgspec.json.encode(settings).decode(),
                cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            await receiver.until(lambda r: r.accepted_total >= 100, _WITHIN_S)
            child.send_signal(signal.SIGKILL)

            assert await child.wait() == -signal.SIGKILL
            assert receiver.accepted_total < 300

            async with running(settings):
                await receiver.until(lambda r: r.accepted_total >= 300, _WITHIN_S)
            return receiver

    receiver = asyncio.run(play())

    assert customers(receiver) == Counter(f"c{number}" for number in range(300))
    assert receiver.duplicates <= concurrency


def test_dead_receiver_loses_nothing(embedded: BrokerSettings, tmp_path: Path) -> None:
    """While nothing listens no offset is committed and the role stays healthy; afterwards everything arrives."""

    async def play() -> WebhookReceiver:
        async with WebhookReceiver(SECRET) as first:
            url = first.url
        await publish(embedded, [make_score(f"c{number}") for number in range(50)])
        async with running(settings_for(embedded, tmp_path, url)) as role:
            await role.until(lambda: role.figure("delivery_attempts_total", verdict="transient") >= 20)
            await role.until(lambda: role.figure("sync_breaker_state") >= 1.0)

            assert role.telemetry.health()[0]
            assert role.telemetry.status["pending"] == role.figure("sync_pending") == 50
            assert role.figure("sync_oldest_pending_seconds") > 0.0
            assert await committed(embedded) == 0

            async with WebhookReceiver(SECRET, port=int(url.split(":")[2].split("/")[0])) as back:
                await role.until(lambda: role.settled() == 50)
                await role.until(lambda: role.telemetry.status["pending"] == 0)

                assert role.telemetry.status["deliveries"] == {"delivered": 50}

                return back

    assert customers(asyncio.run(play())) == Counter(f"c{number}" for number in range(50))


def test_memory_is_bounded(embedded: BrokerSettings, tmp_path: Path) -> None:
    """At the limit reading pauses; it goes on when the destination has caught up, and nothing is missing."""
    held: list[float] = []

    async def play() -> WebhookReceiver:
        await publish(embedded, [make_score(f"c{number}") for number in range(60)])
        async with WebhookReceiver(SECRET, [Step("status", 429, "1")]) as receiver:
            settings = settings_for(embedded, tmp_path, receiver.url, concurrency=1)
            async with running(settings, pending_limit=20) as role:

                def watch() -> bool:
                    held.append(role.telemetry.status.get("pending", 0))
                    return role.settled() == 60

                await role.until(watch)
            return receiver

    receiver = asyncio.run(play())

    assert max(held) == 20
    assert (receiver.accepted_total, receiver.duplicates) == (60, 0)


def test_only_the_newest_of_a_long_log_is_sent(
    embedded: BrokerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that starts on a long log reads it to its end first, so that no customer is told outdated scores."""
    story = [make_score(f"c{n}", revision=r, likely=(r + n) % 3 != 0) for r in range(1, 8) for n in range(400)]

    ask = AIOKafkaConsumer.committed

    async def ask_slowly(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
        # So that some partitions could be read before others are placed.
        await asyncio.sleep(0.05)
        return await ask(consumer, partition)

    monkeypatch.setattr(AIOKafkaConsumer, "committed", ask_slowly)

    async def play() -> WebhookReceiver:
        # In one partition, so that the first records read are the oldest ones.
        await publish(embedded, story, partition=0)
        async with (
            WebhookReceiver(SECRET) as receiver,
            running(settings_for(embedded, tmp_path, receiver.url)) as role,
        ):
            await role.until(lambda: role.settled() == len(story))
            return receiver

    receiver = asyncio.run(play())

    assert customers(receiver) == Counter(f"c{n}" for n in range(400) if (7 + n) % 3 != 0)
    assert {message.data["revision"] for message in receiver.accepted} == {7}


def test_lost_ledger_tells_everything_again_under_the_same_ids(embedded: BrokerSettings, tmp_path: Path) -> None:
    """If the ledger is lost the destination is told all current states again, which it can drop by their ids."""

    async def play() -> WebhookReceiver:
        await publish(embedded, [make_score(f"c{number}") for number in range(30)])
        async with WebhookReceiver(SECRET) as receiver:
            for folder in ("kept", "lost"):
                async with running(settings_for(embedded, tmp_path / folder, receiver.url)) as role:
                    await role.until(lambda role=role: role.settled() == 30)
            return receiver

    receiver = asyncio.run(play())

    assert (receiver.requests, receiver.accepted_total, receiver.duplicates) == (60, 30, 30)


def test_new_endpoint_is_told_the_current_state(embedded: BrokerSettings, tmp_path: Path) -> None:
    """Another address has accepted nothing yet, so it hears of every customer who is likely to churn now."""

    async def play() -> tuple[WebhookReceiver, WebhookReceiver]:
        await publish(embedded, [make_score(f"c{n}", likely=n % 2 == 0) for n in range(30)])
        async with WebhookReceiver(SECRET) as old, WebhookReceiver(SECRET) as new:
            for receiver in (old, new):
                async with running(settings_for(embedded, tmp_path, receiver.url)) as role:
                    await role.until(lambda role=role: role.settled() == 30)
            return old, new

    old, new = asyncio.run(play())

    assert customers(old) == customers(new) == Counter(f"c{n}" for n in range(0, 30, 2))


def test_strange_records_do_not_stop_the_lane(embedded: BrokerSettings, tmp_path: Path) -> None:
    """What is no score becomes a dead letter that names its place, a deletion is obeyed, the next score goes out."""
    strange: list[Score | tuple[bytes, bytes | None]] = [
        (b"c0", b"\xff\x00 not json"),
        (b"c1", b"{}"),
        (b"c2", b'{"score_id": 7}'),
        (b"\xff\xfe", None),
        make_score("gone"),
        (b"gone", None),
        make_score("c3"),
    ]

    async def play() -> tuple[WebhookReceiver, list[dict[str, Any]]]:
        await publish(embedded, strange)
        async with (
            WebhookReceiver(SECRET) as receiver,
            running(settings_for(embedded, tmp_path, receiver.url)) as role,
        ):
            await role.until(lambda: role.settled() == len(strange))
            return receiver, await dead_letters(embedded)

    receiver, letters = asyncio.run(play())

    assert customers(receiver) == Counter(["c3"])
    assert {(letter["customer_id"], letter["reason"]) for letter in letters} == {
        (name, "invalid_score") for name in ("c0", "c1", "c2")
    }
    assert all(f"{SCORES}[" in letter["detail"] and "]@" in letter["detail"] for letter in letters)


def test_second_process_takes_its_share(broker: BrokerSettings, tmp_path: Path) -> None:
    """A second role joins and leaves during deliveries; partitions move twice, and every customer is told once."""

    async def play() -> WebhookReceiver:
        async with WebhookReceiver(SECRET) as receiver:
            settings = settings_for(broker, tmp_path, receiver.url)
            async with running(settings) as first:
                await publish(broker, [make_score(f"a{number}") for number in range(50)])
                await receiver.until(lambda r: r.accepted_total >= 1)
                async with running(settings) as second:
                    await publish(broker, [make_score(f"b{number}") for number in range(50)])
                    await receiver.until(lambda r: r.accepted_total >= 100)
                    batch = 0
                    while not second.settled():
                        # Until the second one has partitions, its share goes to the first.
                        await publish(broker, [make_score(f"c{batch}-{number}") for number in range(20)])
                        batch += 1
                        await receiver.until(lambda r, batch=batch: r.accepted_total >= 100 + 20 * batch)

                    assert batch < 200

                await publish(broker, [make_score(f"d{number}") for number in range(50)])
                await receiver.until(lambda r, batch=batch: r.accepted_total == 150 + 20 * batch)

                assert not first.task.done()

            return receiver

    receiver = asyncio.run(play())

    assert max(customers(receiver).values()) == 1


def test_stop_without_broker_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role whose broker is gone finishes its deliveries, stops within its limits, and sends nothing twice."""
    monkeypatch.setattr(lane, "_COMMIT_WITHIN_S", 0.3)
    monkeypatch.setattr(kafka, "_CLOSE_WITHIN_S", 0.3)

    async def play(server: EmbeddedBroker, settings: Settings) -> None:
        role = Running(settings, pending_limit=100)
        await role.until(lambda: role.settled() >= 1)
        os.kill(server.pid, signal.SIGKILL)
        await role.until(lambda: role.settled() == 20)
        role.stop.set()
        async with asyncio.timeout(10.0):
            await role.task

    async def whole(server: EmbeddedBroker) -> WebhookReceiver:
        settings = quick(broker_settings(server))
        await create_topics(settings)
        await publish(settings, [make_score(f"c{number}") for number in range(20)])
        async with WebhookReceiver(SECRET) as receiver:
            await play(server, settings_for(settings, tmp_path, receiver.url, concurrency=1))
            return receiver

    with EmbeddedBroker() as server:
        receiver = asyncio.run(whole(server))

    assert (receiver.accepted_total, receiver.duplicates) == (20, 0)


@pytest.mark.kafka
def test_broker_outage_is_survived(jars: Path, tmp_path: Path) -> None:
    """While Kafka is away the role stays up; when it is back the role goes on, and nothing is missing or repeated."""

    async def play(server: KafkaServer) -> WebhookReceiver:
        settings = broker_settings(server)
        await create_topics(settings)
        await publish(settings, [make_score(f"a{number}") for number in range(30)])
        async with (
            WebhookReceiver(SECRET) as receiver,
            running(settings_for(settings, tmp_path, receiver.url)) as role,
        ):
            await role.until(lambda: role.settled() == 30)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await publish(settings, [make_score(f"b{number}") for number in range(30)])
            await role.until(lambda: role.settled() >= 60)
            return receiver

    with KafkaServer(jars) as server:
        receiver = asyncio.run(play(server))

    assert (receiver.accepted_total, receiver.duplicates) == (60, 0)


@pytest.mark.parametrize("kind", ["segment", "hubspot", "iterable"])
def test_kill_in_the_middle_of_batches_loses_nothing(embedded: BrokerSettings, tmp_path: Path, kind: str) -> None:
    """A role killed between batches goes on where it was: every customer is there as mapped, few rows are repeated."""

    async def play() -> tuple[Any, Any]:
        scores = [make_score(f"c{number}@x.example") for number in range(600)]
        await publish(embedded, scores)
        async with emulators()[kind](delay_s=0.05, windows=()) as emulator:
            table = emulator.options() | {"batch_rows": 20, "concurrency": 2, "rates": "1000/s", "linger_s": 0.05}
            settings = Settings(broker=embedded, data_dir=str(tmp_path), destinations={"crm": table})
            env = os.environ | emulator.environ() | {"PYTHONPATH": str(ROOT)}
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.streams.sync.sync_process", msgspec.json.encode(settings).decode(),
                cwd=ROOT, env=env,
            )  # fmt: skip
            await until(lambda: len(emulator.profiles) >= 200, _WITHIN_S)
            child.send_signal(signal.SIGKILL)

            assert await child.wait() == -signal.SIGKILL
            assert len(emulator.profiles) < 600

            async with running(settings, environ=emulator.environ()):
                await until(lambda: len(emulator.profiles) >= 600, _WITHIN_S)
            return emulator, configured(settings, emulator.environ())["crm"]

    emulator, destination = asyncio.run(play())

    assert emulator.profiles == {
        f"c{number}@x.example": destination.change(make_score(f"c{number}@x.example")).payload for number in range(600)
    }
    assert emulator.requests <= 600 / 20 + 4


def test_topic_is_a_destination(embedded: BrokerSettings, tmp_path: Path) -> None:
    """A mirror on a topic has a record of every likely customer, and a deletion of each who recovered."""
    topic = f"{embedded.topic_prefix}mine"

    async def play() -> dict[bytes, Any]:
        async with admin_client(embedded) as admin:
            await admin.create_topics([NewTopic(topic, 2, 1)])
        table = {"type": "kafka", "topic": topic, "mode": "mirror", "linger_s": 0.05}
        settings = Settings(broker=embedded, data_dir=str(tmp_path), destinations={"mine": table})
        async with running(settings) as role:
            for revision in (1, 2):
                await publish(
                    embedded,
                    [make_score(f"c{n}", revision=revision, likely=revision == 1 or n % 2 == 0) for n in range(40)],
                )
                expected = {1: 40, 2: 60}[revision]
                await role.until(
                    lambda expected=expected: role.telemetry.status["deliveries"].get("delivered") == expected
                )
        found: dict[bytes, Any] = {}
        consumer = AIOKafkaConsumer(**security_options(embedded), enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(2)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            while len(found) < 40 or sum(value is not None for value in found.values()) > 20:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found |= {record.key: record.value and msgspec.json.decode(record.value) for record in records}
        finally:
            await consumer.stop()
        return found

    async def limited() -> dict[bytes, Any]:
        async with asyncio.timeout(_WITHIN_S):
            return await play()

    found = asyncio.run(limited())

    assert {key for key, value in found.items() if value} == {f"c{n}".encode() for n in range(0, 40, 2)}
    assert found[b"c0"]["likelihood_to_churn"] is True
    assert found[b"c0"]["kind"] == "entered"


def test_without_destination_it_idles_in_good_health(tmp_path: Path) -> None:
    """No address configured: nothing is consumed, no broker is needed, and the status says why."""

    async def play() -> None:
        settings = Settings(data_dir=str(tmp_path), broker=BrokerSettings(bootstrap="127.0.0.1:9"))
        async with running(settings) as role:
            await role.until(lambda: role.telemetry.health()[0])

            assert role.telemetry.status["state"] == NO_DESTINATION
            assert role.telemetry.status["pending"] == 0

    asyncio.run(play())

    assert list(tmp_path.iterdir()) == []


def test_unusable_destination_is_refused_at_construction(tmp_path: Path) -> None:
    """Wrong settings are an error before anything runs, and the error shows no secret."""
    settings = Settings(
        data_dir=str(tmp_path), sync=SyncSettings(webhook_url="https://x.example", webhook_secret="hunter2")
    )

    with pytest.raises(InvalidDestination, match=r"sync\.webhook_secret") as refusal:
        Sync(settings, Telemetry("sync"))

    assert "hunter2" not in str(refusal.value)


def test_broken_ledger_ends_the_role(embedded: BrokerSettings, tmp_path: Path) -> None:
    """Without a usable ledger the role ends with an error that names the file, and sends nothing."""
    path = tmp_path / "sync" / "webhook.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"no database" * 500)

    async def play() -> int:
        async with WebhookReceiver(SECRET) as receiver:
            with pytest.raises(RuntimeError, match=r"cannot open the ledger .*webhook\.sqlite"):
                async with running(settings_for(embedded, tmp_path, receiver.url)) as role:
                    await role.until(lambda: False)
            return receiver.requests

    assert asyncio.run(play()) == 0
