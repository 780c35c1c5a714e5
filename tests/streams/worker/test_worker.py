"""The worker on real brokers: hostile input, crashes, and company."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from app.settings import to_env
from models.churn.serving import ServingModel
from models.engine import Engine
from models.events.decode import decode
from models.events.types import Event
from models.features import FEATURE_NAMES, FEATURE_VERSION, FEATURES
from models.records import Score
from models.settings import BrokerSettings, HttpSettings, Settings, WorkerSettings
from models.table import Table
from streams.chunks import BatchProducer, Outgoing
from streams.telemetry import Telemetry
from streams.topics import CHANGELOG, CLICKSTREAM, PURCHASES, QUARANTINE, SCORES, topic_name
from streams.worker import Worker
from streams.worker.changelog import read_to_end
from streams.worker.intake import partition_of
from tests.corpus.hostile import DUPLICATE, HOSTILE, PROCESSED

ROOT = Path(__file__).resolve().parents[3]
START = 1_735_689_600.0


def settings_for(broker: BrokerSettings, clock: Any = "event", data_dir: Path | str = "", **http: Any) -> Settings:
    """Quick settings. Without a `data_dir` nothing is kept on disk."""
    worker = WorkerSettings(
        clock=clock, align_idle_s=0.3, tick_s=0.1, commit_interval_s=0.2, chunk_records=50,
        snapshot_every_s=0.5 if data_dir else 0.0, evict_after_days=180.0 if data_dir else 0.0,
    )  # fmt: skip
    # The embedded broker lets the first member wait for half of this.
    broker = msgspec.structs.replace(broker, rebalance_timeout_s=4.0)
    return Settings(broker=broker, worker=worker, data_dir=str(data_dir), http=HttpSettings(worker_port=0, **http))


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[Worker, Telemetry]]:
    """A worker inside this process, stopped cleanly at the end."""
    telemetry, stop = Telemetry("worker"), asyncio.Event()
    worker = Worker(settings, telemetry)
    task = asyncio.ensure_future(worker.run(stop))
    try:
        yield worker, telemetry
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], bool], what: Callable[[], Any] = lambda: "") -> None:
    try:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimeoutError(f"waited in vain: {what()}") from None


async def send(broker: BrokerSettings, records: Iterable[tuple[str, int, Outgoing]]) -> None:
    producer = BatchProducer(broker)
    await producer.start()
    futures = []
    for logical, partition, record in records:
        futures += await producer.send(topic_name(broker, logical), partition, [record])
    await asyncio.gather(*futures)
    await producer.stop()


async def read_all(broker: BrokerSettings, logical: str, partitions: int) -> list[Any]:
    name = topic_name(broker, logical)

    async def read(partition: int) -> list[Any]:
        return [r async for records in read_to_end(broker, name, partition) for r in records]

    return [r for records in await asyncio.gather(*map(read, range(partitions))) for r in records]


async def states(broker: BrokerSettings) -> Table:
    newest = {r.key.decode(): r.value for r in await read_all(broker, CHANGELOG, broker.partitions) if r.key[0]}
    return Table.of(newest.items())


def history(count: int, customers: int = 40, seed: int = 3) -> list[tuple[str, dict[str, Any]]]:
    """Events of a few customers over some weeks, with producers' retries among them."""
    chance = random.Random(seed)
    made: list[tuple[str, dict[str, Any]]] = []
    for i in range(count):
        event = {"type": "track", "userId": f"c{chance.randrange(customers)}", "messageId": f"m{i}"}
        event["timestamp"] = START + i * 600.0
        if chance.random() < 0.8:
            made.append((CLICKSTREAM, event | {"event": "Product Viewed", "properties": {"product_id": f"p{i % 9}"}}))
        else:
            made.append((PURCHASES, event | {"event": "Order Completed", "properties": {"total": i % 50}}))
        if chance.random() < 0.05:
            made.append(made[-1])
    return made


def keyed(events: Iterable[tuple[str, dict[str, Any]]], misplaced: float = 0.0) -> list[tuple[str, int, Outgoing]]:
    chance = random.Random(5)
    out = []
    for logical, event in events:
        key = event["userId"]
        partition = chance.randrange(4) if chance.random() < misplaced else partition_of(key, 4)
        out.append((logical, partition, Outgoing(key.encode(), orjson.dumps(event))))
    return out


def offline(settings: Settings, events: Iterable[tuple[str, dict[str, Any]]]) -> Engine:
    """The states that the same events give without any broker."""
    engine = Engine(settings, ServingModel.initial(FEATURES, FEATURE_VERSION, settings.label))
    for offset, (logical, raw) in enumerate(events):
        event = decode(orjson.dumps(raw), logical, 2e9, settings.events)
        assert isinstance(event, Event)
        engine.apply(event, "offline", offset)
    return engine


def assert_same_facts(found: Table, expected: Engine, days: float = 30) -> None:
    """The tables agree in every feature of every customer, so many days after the start, soon after all events."""
    later = START + days * 86_400.0
    wanted = expected.features(expected.known, later)
    rows = dict(zip(found.ids, found.features(np.arange(len(found)), later).tolist(), strict=True))
    assert rows.keys() == wanted.keys()
    for key, row in rows.items():
        assert row == pytest.approx(wanted[key], rel=1e-9, nan_ok=True), key


def test_hostile_events_are_processed_or_quarantined_and_the_worker_lives(broker: BrokerSettings) -> None:
    """Every record of the corpus ends as foretold, counts add up, and a good event afterwards still scores."""

    async def scenario() -> None:
        settings = settings_for(broker, clock="wall")
        await send(broker, [(h.topic, i % 4, Outgoing(h.key, h.raw)) for i, h in enumerate(HOSTILE)])
        async with running(settings) as (worker, telemetry):
            status = telemetry.status
            await until(
                lambda: status.get("events") == len(HOSTILE) and not any(status["lag"].values()), lambda: status
            )
            healthy = [
                (PURCHASES, {"type": "track", "event": "Order Completed", "userId": "good", "properties": {"total": 5},
                             "timestamp": START})
            ]  # fmt: skip
            await send(broker, keyed(healthy))
            await until(lambda: worker.customer("good") is not None)
            await settled(worker)
            assert telemetry.health()[0]

        expected = Counter(h.expected for h in HOSTILE)
        records = [orjson.loads(r.value) for r in await read_all(broker, QUARANTINE, 1)]
        refused = Counter(record["reason"] for record in records)
        assert refused == expected - Counter({PROCESSED: expected[PROCESSED], DUPLICATE: expected[DUPLICATE]})
        kept = Counter(base64.b64decode(r["raw"]) if r["raw"] is not None else None for r in records)
        assert kept == Counter(h.raw for h in HOSTILE if h.expected not in {PROCESSED, DUPLICATE})
        table = await states(broker)
        assert {h.customer_id for h in HOSTILE if h.customer_id} <= set(table.ids)
        assert "good" in {
            msgspec.json.decode(r.value, type=Score).customer_id for r in await read_all(broker, SCORES, 4)
        }

    asyncio.run(scenario())


def test_duplicates_in_the_corpus_count_once(embedded_settings: BrokerSettings) -> None:
    """The repeated message of the corpus changes its customer only once."""

    async def scenario() -> None:
        await send(embedded_settings, [(h.topic, 0, Outgoing(h.key, h.raw)) for h in HOSTILE])
        async with running(settings_for(embedded_settings, clock="wall")) as (_, telemetry):
            status = telemetry.status
            await until(
                lambda: status.get("events") == len(HOSTILE) and not any(status["lag"].values()), lambda: status
            )
        twice = next(h for h in HOSTILE if h.expected == DUPLICATE)
        original = next(h for h in HOSTILE if h.raw == twice.raw and h.expected == PROCESSED)
        table = await states(embedded_settings)
        row = table.features(np.array([table.index[original.customer_id or ""]]), START)[0]

        assert row[FEATURE_NAMES.index("events_total")] == 1

    asyncio.run(scenario())


def test_too_late_events_are_kept_and_counted(embedded_settings: BrokerSettings) -> None:
    """An event a hundred days behind the others goes to the quarantine; one forty days behind lands in its day.

    One event with a clock far ahead makes none of the others late.
    """

    def order(customer: str, day: float) -> tuple[str, dict[str, Any]]:
        event = {"type": "track", "event": "Order Completed", "userId": customer, "properties": {"total": 7}}
        return PURCHASES, event | {"timestamp": START + day * 86_400, "messageId": f"{customer}-{day}"}

    async def scenario() -> None:
        days = [*range(50), 400, *range(50, 101), 61.5, 0.5, *range(101, 110)]
        settings = settings_for(embedded_settings)
        async with running(settings) as (worker, telemetry):
            await send(embedded_settings, keyed([order("c", day) for day in days]))
            await settled(worker)
            status = telemetry.status
            await until(lambda: status.get("quarantine") == {"late": 1}, lambda: status)
        [record] = [orjson.loads(r.value) for r in await read_all(embedded_settings, QUARANTINE, 1)]
        assert (record["reason"], record["topic"]) == ("late", PURCHASES)
        assert record["detail"].endswith("days behind the watermark of its partition")
        assert orjson.loads(base64.b64decode(record["raw"]))["messageId"] == "c-0.5"
        table = await states(embedded_settings)
        row = table.features(np.array([0]), START + 109 * 86_400.0)[0]
        assert row[FEATURE_NAMES.index("orders_total")] == len(days) - 1
        assert row[FEATURE_NAMES.index("orders_90d")] == 91

    asyncio.run(scenario())


def test_wrongly_keyed_events_reach_their_customers_state(broker: BrokerSettings) -> None:
    """Half of the events lie in a random partition; the table equals the offline one."""

    async def scenario() -> None:
        events = history(600)
        settings = settings_for(broker)
        await send(broker, keyed(events, misplaced=0.5))
        async with running(settings) as (worker, telemetry):
            await until(lambda: telemetry.status.get("events") == len(events), lambda: telemetry.status)
            await settled(worker)
        assert_same_facts(await states(broker), offline(settings, events))

    asyncio.run(scenario())


def test_two_workers_share_and_hand_over_without_loss(broker: BrokerSettings) -> None:
    """A second worker joins and leaves in the middle; the table equals the offline one."""

    async def scenario() -> None:
        events = history(3000)
        settings = settings_for(broker)
        records = keyed(events)
        async with running(settings) as (first, _):
            await send(broker, records[:1000])
            await until(lambda: len(first._partitions) == 4)
            async with running(settings) as (second, _):
                await until(lambda: len(first._partitions) == len(second._partitions) == 2)
                await send(broker, records[1000:2000])
            await send(broker, records[2000:])
            await until(lambda: len(first._partitions) == 4)
            assert first._failed is not None
            await settled(first)
        assert_same_facts(await states(broker), offline(settings, events))

    asyncio.run(scenario())


async def settled(worker: Worker) -> None:
    """Wait until the worker has nothing to settle for a second: longer than a hop through `rerouted` takes."""
    calm = 0
    async with asyncio.timeout(60):
        while calm < 10:
            lag = worker.lag()
            calm = calm + 1 if lag and not any(lag.values()) else 0
            await asyncio.sleep(0.1)


def test_a_killed_worker_loses_and_doubles_nothing(broker: BrokerSettings, tmp_path: Path) -> None:
    """Kill -9 twice while events come in; after the last start the table equals the offline one."""

    async def scenario() -> None:
        events = history(2500)
        settings = settings_for(broker, data_dir=tmp_path)
        feeding = asyncio.ensure_future(feed(broker, keyed(events)))
        env = os.environ | to_env(settings) | {"PYTHONPATH": str(ROOT)}
        for pause_s in (4.0, 4.0):
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "app.cli", "worker", env=env)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), pause_s)
            assert process.returncode is None, "the worker ended by itself"
            process.send_signal(signal.SIGKILL)
            await process.wait()
        await feeding
        async with running(settings) as (worker, _):
            await settled(worker)
        assert_same_facts(await states(broker), offline(settings, events))

    async def feed(broker: BrokerSettings, records: list[tuple[str, int, Outgoing]]) -> None:
        for start in range(0, len(records), 100):
            await send(broker, records[start : start + 100])
            await asyncio.sleep(0.2)

    asyncio.run(scenario())
