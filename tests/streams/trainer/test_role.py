"""The trainer on real brokers: it publishes what it learned, acknowledges only then, and survives being killed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from models.churn.candidates import CANDIDATES
from models.churn.control import CONTROL_KEY, Control, encode_control
from models.settings import BrokerSettings, LabelSettings, Settings
from streams.chunks import BatchProducer, Outgoing
from streams.embedded import EmbeddedBroker
from streams.kafka import group_id, security_options
from streams.telemetry import Telemetry
from streams.topics import EXAMPLES, MODEL, QUARANTINE, create_topics, topic_name
from streams.trainer import Trainer
from streams.worker.changelog import read_range, read_to_end
from tests.brokers import KafkaServer, broker_settings
from tests.streams.trainer.samples import Subject, encoded, leavers, records, settings_for, topic, values

ROOT = Path(__file__).resolve().parents[3]
KEY, CHECKPOINT_KEY = b"inactivity-30d", b"inactivity-30d:checkpoint"
VALUES = encoded(3000)
CANCELLATION = LabelSettings(kind="cancellation", horizon_days=30)
#: With positives that wait for the end of their horizon.
YOUNG = values(leavers(3000))


def undisturbed(read: list[bytes], settings: Settings | None = None) -> dict[bytes, bytes]:
    """What a trainer that was never interrupted publishes last."""
    core = Subject(settings or settings_for())
    core.take(records(read), 0.0)
    return topic(core.publication())


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Telemetry]:
    """A trainer inside this process, stopped cleanly at the end."""
    telemetry, stop = Telemetry("trainer"), asyncio.Event()
    task = asyncio.ensure_future(Trainer(settings, telemetry).run(stop))
    try:
        yield telemetry
    finally:
        stop.set()
        await task


async def run_until_killed(settings: Settings, point: str, offset: int) -> int:
    """A trainer in its own process that kills itself; returns its exit status."""
    command = [sys.executable, "-m", "tests.streams.trainer.process", msgspec.json.encode(settings).decode()]
    child = await asyncio.create_subprocess_exec(*command, point, str(offset), cwd=ROOT)
    try:
        async with asyncio.timeout(180):
            return await child.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()


async def send(broker: BrokerSettings, written: list[bytes]) -> None:
    await send_records(broker, EXAMPLES, [Outgoing(b"c", value) for value in written])


async def send_records(broker: BrokerSettings, logical: str, records: list[Outgoing]) -> None:
    producer = BatchProducer(broker)
    await producer.start()
    await asyncio.gather(*await producer.send(topic_name(broker, logical), 0, records))
    await producer.stop()


async def newest(broker: BrokerSettings, logical: str = MODEL) -> dict[bytes, bytes]:
    batches = [batch async for batch in read_to_end(broker, topic_name(broker, logical), 0)]
    found = {record.key: record.value for batch in batches for record in batch}
    return {key: value for key, value in found.items() if value is not None}


async def committed(settings: Settings) -> int:
    consumer = AIOKafkaConsumer(
        **security_options(settings.broker), group_id=group_id(settings, "trainer"), enable_auto_commit=False
    )
    await consumer.start()
    try:
        return int(await consumer.committed(TopicPartition(topic_name(settings.broker, EXAMPLES), 0)) or 0)
    finally:
        await consumer.stop()


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition, plain or awaitable, at most three minutes."""
    async with asyncio.timeout(180):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.05)


async def model_offset(broker: BrokerSettings, key: bytes = KEY) -> int:
    raw = (await newest(broker)).get(key)
    return msgspec.json.decode(raw)["offset"] if raw else -1


def test_it_learns_publishes_and_commits(broker: BrokerSettings) -> None:
    """All examples end up in the published records, bad ones in quarantine, and after a stop nothing is left over."""
    settings = settings_for(broker)
    values = VALUES[:1200]

    async def scenario() -> tuple[dict[bytes, bytes], int, int, Telemetry]:
        async with running(settings) as telemetry:
            await send(broker, values)
            await until(lambda: telemetry.status.get("examples") == 1175)
            await until(lambda: telemetry.health()[0])
        quarantined = [r async for b in read_to_end(broker, topic_name(broker, QUARANTINE), 0) for r in b]
        return await newest(broker), len(quarantined), await committed(settings), telemetry

    found, quarantined, position, telemetry = asyncio.run(scenario())

    assert found == undisturbed(values)
    assert (quarantined, position) == (12, 1200)
    assert telemetry.status["served"] == "logistic"
    assert telemetry.status["metrics"]["count"] == 1175
    exposition = telemetry.exposition().decode()
    assert 'ebbtide_examples_skipped_total{reason="malformed"} 12.0' in exposition
    assert 'ebbtide_model_served{label="inactivity-30d",model="logistic"} 1.0' in exposition
    for measure in ("auc", "log_loss", "brier", "ece"):
        assert f'ebbtide_progressive_{measure}{{label="inactivity-30d",predictor="emitted"}}' in exposition


def learned(telemetry: Telemetry) -> int:
    """Examples that this trainer learned itself, published or not."""
    found = [telemetry.registry.get_sample_value("ebbtide_examples_total", {"label": label}) for label in ("0", "1")]
    return int(sum(value or 0 for value in found))


def test_a_clean_restart_goes_on_where_it_stopped(broker: BrokerSettings) -> None:
    """Stopped with unpublished examples it publishes them; started again it ends as one that ran through."""
    settings = settings_for(broker, publish_every_s=1000.0, checkpoint_examples=100_000)

    async def scenario() -> tuple[int, dict[bytes, bytes], int]:
        async with running(settings) as telemetry:
            await send(broker, VALUES[:700])
            await until(lambda: learned(telemetry) == undisturbed_count(700))
        middle = await model_offset(broker)
        async with running(settings) as telemetry:
            await send(broker, VALUES[700:1200])
            await until(lambda: learned(telemetry) == undisturbed_count(1200) - undisturbed_count(700))
        return middle, await newest(broker), await committed(settings)

    middle, found, position = asyncio.run(scenario())

    assert (middle, position) == (699, 1200)
    assert found == undisturbed(VALUES[:1200])


@pytest.mark.parametrize("point", ["learned", "published"])
def test_killed_half_way_it_ends_with_the_same_bytes(broker: BrokerSettings, point: str) -> None:
    """Killed before publishing, or between publishing and acknowledging, a restart gives the undisturbed bytes.

    Hundreds of examples wait for their horizon at that moment; the new trainer reads them again.
    """
    settings = settings_for(broker, CANCELLATION, publish_every_s=1000.0)
    key, checkpoint_key = b"cancellation-30d", b"cancellation-30d:checkpoint"

    async def scenario() -> tuple[int, dict[bytes, bytes], int, dict[bytes, bytes], Telemetry]:
        await send(broker, YOUNG)
        status = await run_until_killed(settings, point, 1250)
        left, position = await newest(broker), await committed(settings)
        async with running(settings) as telemetry:
            await until(lambda: _reached(broker, 2400, key))
        return status, left, position, await newest(broker), telemetry

    status, left, position, found, telemetry = asyncio.run(scenario())
    killed_at = msgspec.json.decode(left[key])["offset"]
    last = msgspec.json.decode(found[key])["offset"]

    assert status == -signal.SIGKILL
    assert 900 < killed_at < 1700
    assert position <= killed_at + 1
    assert msgspec.json.decode(left[checkpoint_key])["waiting"] > 100
    assert telemetry.status["skipped"].get("lost_waiting", 0) == 0
    assert last >= 2400
    assert found == undisturbed(YOUNG[: last + 1], settings)


COMMANDS = {
    300: Control(control="promote", name="logistic", id="p"), 400: Control(control="rollback", id="r"),
    450: Control(control="drift", id="d"), 550: Control(control="auto", id="a"),
}  # fmt: skip


def steered() -> list[Outgoing]:
    """Examples with commands among them."""
    made = [Outgoing(b"c", value) for value in YOUNG[:700]]
    for place, control in sorted(COMMANDS.items()):
        made.insert(place, Outgoing(CONTROL_KEY, encode_control(control)))
    return made


def test_killed_among_commands_with_all_candidates_it_ends_with_the_same_bytes(
    embedded_broker: EmbeddedBroker,
) -> None:
    """Every kind of model, versions, history and answers: after a kill all records are those of an undisturbed run."""
    broker = broker_settings(embedded_broker)
    settings = settings_for(broker, CANCELLATION, candidates=tuple(CANDIDATES), checkpoint_examples=100)
    written = steered()
    sent = [
        SimpleNamespace(offset=i, partition=0, key=record.key, value=record.value) for i, record in enumerate(written)
    ]
    core = Subject(settings)
    core.take(sent, 0.0)

    async def scenario() -> tuple[int, dict[bytes, bytes]]:
        await create_topics(broker)
        await send_records(broker, EXAMPLES, written)
        status = await run_until_killed(settings, "published", 420)
        async with running(settings):
            await until(lambda: at_commit(settings, len(written)))
        return status, await newest(broker)

    status, found = asyncio.run(scenario())

    assert status == -signal.SIGKILL
    assert found == topic(core.publication())


async def take_away(broker: BrokerSettings, below: int) -> None:
    """What retention does to the examples, at once."""
    admin = AIOKafkaAdminClient(**security_options(broker))
    await admin.start()
    try:
        place = TopicPartition(topic_name(broker, EXAMPLES), 0)
        await admin.delete_records({place: RecordsToDelete(below)})
    finally:
        await admin.close()


@pytest.mark.kafka
def test_a_trainer_goes_on_without_what_retention_took(kafka_broker: KafkaServer) -> None:
    """Of the examples that waited for their horizon those that are left are learned, the others counted."""
    broker = broker_settings(kafka_broker)
    settings, written = settings_for(broker, CANCELLATION), YOUNG[:1500]
    core = Subject(settings)
    core.take(records(written[:900]), 0.0)
    oldest, waited = core.waiting.first_offset, len(core.waiting)
    assert oldest is not None
    below = (oldest + 900) // 2

    def judged(status: dict[str, Any]) -> int:
        lost: int = status.get("skipped", {}).get("lost_waiting", 0)
        return lost + int(status.get("examples", 0)) + int(status.get("waiting", 0))

    async def scenario() -> Telemetry:
        await create_topics(broker)
        await send(broker, written)
        await send_records(broker, MODEL, core.publication())
        await take_away(broker, below)
        async with running(settings) as telemetry:
            await until(lambda: judged(telemetry.status) == undisturbed_count(1500))
        return telemetry

    status = asyncio.run(scenario()).status

    assert 0 < status["skipped"]["lost_waiting"] < waited
    assert status["waiting"] > 0


def test_a_range_of_a_topic_is_read_exactly(broker: BrokerSettings) -> None:
    """Inside a batch, over several, behind the end of the log, of an empty topic: what is there, and no more."""

    async def offsets(first: int, last: int) -> list[int]:
        ranges = read_range(broker, topic_name(broker, EXAMPLES), 0, first, last)
        return [record.offset async for records in ranges for record in records]

    async def scenario() -> list[list[int]]:
        found = [await offsets(0, 10)]
        for start in range(0, 300, 100):
            await send(broker, VALUES[start : start + 100])
        return found + [await offsets(*ends) for ends in ((5, 5), (120, 270), (0, 299), (290, 999), (400, 900))]

    empty, one, several, whole, over_the_end, behind = asyncio.run(scenario())

    assert (empty, one, behind) == ([], [5], [])
    assert several == list(range(120, 271))
    assert whole == list(range(300))
    assert over_the_end == list(range(290, 300))


def undisturbed_count(count: int) -> int:
    """How many of the first records are examples to learn."""
    return sum(1 for i in range(count) if i % 97 != 96 and i % 89 != 88)


async def _reached(broker: BrokerSettings, offset: int, key: bytes) -> bool:
    return await model_offset(broker, key) >= offset


def test_an_older_checkpoint_alone_loses_no_example(broker: BrokerSettings) -> None:
    """When only an old checkpoint is left, what lies between it and the committed offset is read again."""

    async def scenario() -> None:
        settings = settings_for(broker)
        await send(broker, VALUES[:1500])
        async with running(settings):
            await until(lambda: at_commit(settings, 1500))
        early = Subject(settings)
        early.take(records(VALUES[:400]), 0.0)
        # What compaction leaves of several checkpoints is the last one written.
        await send_records(broker, MODEL, early.publication() * 3)
        await send(broker, VALUES[1500:])
        async with running(settings):
            await until(lambda: at_commit(settings, len(VALUES)))

        assert await newest(broker) == undisturbed(VALUES)

    asyncio.run(scenario())


async def at_commit(settings: Settings, offset: int) -> bool:
    return await committed(settings) == offset
