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

from models.features import FEATURE_VERSION, FEATURES
from models.settings import BrokerSettings, Settings
from streams.chunks import BatchProducer, Outgoing
from streams.kafka import group_id, security_options
from streams.telemetry import Telemetry
from streams.topics import EXAMPLES, MODEL, QUARANTINE, topic_name
from streams.trainer import Trainer
from streams.trainer.core import TrainerCore
from streams.worker.changelog import read_to_end
from tests.streams.trainer.samples import encoded, settings_for

ROOT = Path(__file__).resolve().parents[3]
KEY, CHECKPOINT_KEY = b"inactivity-30d", b"inactivity-30d:checkpoint"
VALUES = encoded(3000)


def undisturbed(values: list[bytes]) -> dict[bytes, bytes | None]:
    """What a trainer that was never interrupted publishes last."""
    core = TrainerCore(settings_for(), FEATURES, FEATURE_VERSION)
    core.take([SimpleNamespace(offset=i, partition=0, key=None, value=v) for i, v in enumerate(values)], 0.0)
    return {record.key: record.value for record in core.publication() if record.key is not None}


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
        return await asyncio.wait_for(child.wait(), 60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()


async def send(broker: BrokerSettings, values: list[bytes]) -> None:
    producer = BatchProducer(broker)
    await producer.start()
    await asyncio.gather(
        *await producer.send(topic_name(broker, EXAMPLES), 0, [Outgoing(b"c", value) for value in values])
    )
    await producer.stop()


async def newest(broker: BrokerSettings, logical: str = MODEL) -> dict[bytes, bytes]:
    batches = [batch async for batch in read_to_end(broker, topic_name(broker, logical), 0)]
    return {record.key: record.value for batch in batches for record in batch}


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
    """Wait for a condition, plain or awaitable, at most a minute."""
    async with asyncio.timeout(60):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.05)


async def model_offset(broker: BrokerSettings) -> int:
    raw = (await newest(broker)).get(KEY)
    return msgspec.json.decode(raw)["offset"] if raw else -1


def test_it_learns_publishes_and_commits(broker: BrokerSettings) -> None:
    """All examples end up in the published records, bad ones in quarantine, and after a stop nothing is left over."""
    settings = settings_for(broker)
    values = VALUES[:1200]

    async def scenario() -> tuple[dict[bytes, bytes], int, int, Telemetry]:
        async with running(settings) as telemetry:
            await send(broker, values)
            await until(lambda: telemetry.status.get("examples") == 1175)
            await until(telemetry.health)
        quarantined = [r async for b in read_to_end(broker, topic_name(broker, QUARANTINE), 0) for r in b]
        return await newest(broker), len(quarantined), await committed(settings), telemetry

    found, quarantined, position, telemetry = asyncio.run(scenario())

    assert found == undisturbed(values)
    assert (quarantined, position) == (12, 1200)
    assert telemetry.status["served"] == "logistic"
    assert telemetry.status["metrics"]["count"] == 1175
    exposition = telemetry.exposition().decode()
    assert 'ebbtide_examples_skipped_total{reason="malformed"} 12.0' in exposition
    assert 'ebbtide_model_served{source="logistic"} 1.0' in exposition
    for measure in ("auc", "log_loss", "brier", "ece"):
        assert f'ebbtide_progressive_{measure}{{predictor="emitted"}}' in exposition


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
    """Killed before publishing, or between publishing and acknowledging, a restart gives the undisturbed bytes."""
    settings = settings_for(broker, publish_every_s=1000.0)

    async def scenario() -> tuple[int, int, int, dict[bytes, bytes]]:
        await send(broker, VALUES)
        status = await run_until_killed(settings, point, 1250)
        killed_at, position = await model_offset(broker), await committed(settings)
        async with running(settings):
            await until(lambda: _reached(broker, 2400))
        return status, killed_at, position, await newest(broker)

    status, killed_at, position, found = asyncio.run(scenario())

    assert status == -signal.SIGKILL
    assert 900 < killed_at < 1700
    assert position <= killed_at + 1
    assert msgspec.json.decode(found[KEY])["offset"] >= 2400
    assert found == undisturbed(VALUES[: msgspec.json.decode(found[KEY])["offset"] + 1])


def undisturbed_count(count: int) -> int:
    """How many of the first records are examples to learn."""
    return sum(1 for i in range(count) if i % 97 != 96 and i % 89 != 88)


async def _reached(broker: BrokerSettings, offset: int) -> bool:
    return await model_offset(broker) >= offset
