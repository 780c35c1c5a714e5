"""Eviction, order of durability, poison, and a process that stood still."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from aiokafka.errors import KafkaConnectionError

from app.settings import to_env
from models import fold
from models.events.types import Event
from models.features import FEATURE_NAMES, GROUPS, LISTENERS
from models.settings import BrokerSettings, Settings
from streams.chunks import Outgoing
from streams.telemetry import Telemetry
from streams.topics import CHANGELOG, EXAMPLES, PURCHASES, QUARANTINE, SCORES
from streams.worker.align import Batch
from streams.worker.attic import AtticUnusable
from streams.worker.intake import Intake, partition_of
from streams.worker.keeper import Keeper
from streams.worker.outbox import Outbox
from streams.worker.ownership import Ownership
from streams.worker.pulse import Pulse, StoodStill
from streams.worker.signals import WorkerSignals
from streams.worker.upkeep import Upkeep
from tests.streams.worker.test_recovery import restored, work
from tests.streams.worker.test_worker import (
    ROOT,
    START,
    assert_same_facts,
    keyed,
    offline,
    read_all,
    running,
    send,
    settings_for,
    settled,
    states,
    until,
)  # fmt: skip

DAY_S = 86_400.0
Raw = tuple[str, dict[str, Any]]


def order(customer: str, day: float, name: str = "Order Completed") -> Raw:
    event = {"type": "track", "event": name, "userId": customer, "properties": {"total": 5}}
    return PURCHASES, event | {"timestamp": START + day * DAY_S, "messageId": f"{customer}-{day}"}


#: Somebody who leaves and somebody else, of the same partition, who goes on for a year.
GONE = "gone"
STAYS = next(f"c{i}" for i in range(100) if partition_of(f"c{i}", 4) == partition_of(GONE, 4))
LIFE = [order(GONE, 0), order(GONE, 1, "Subscription Cancelled"), *(order(STAYS, day) for day in range(2, 402, 20))]


async def live_until_evicted(settings: Settings) -> None:
    await send(settings.broker, keyed(LIFE))
    async with running(settings) as (worker, telemetry):
        await until(lambda: b"ebbtide_evicted_total 1.0" in telemetry.exposition(), telemetry.exposition)
        await settled(worker)
        found = worker.customer(GONE)
        assert found is not None
        assert (found["state"]["band"], found["features"]["orders_total"]) == ("left", 1.0)


def home(settings: Settings) -> Path:
    [path] = Path(settings.data_dir).glob(f"state/**/p{partition_of(GONE, 4)}.attic")
    return path


def test_an_evicted_customer_comes_back_exactly(
    broker: BrokerSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who was on disk across a restart from local state goes on where the state stood, when an event comes."""

    async def scenario() -> None:
        settings = settings_for(broker, data_dir=tmp_path)
        await live_until_evicted(settings)
        caplog.clear()
        caplog.set_level("INFO")
        back = [order(GONE, 403)]
        await work(settings, back)
        table = await states(broker)

        assert max(restored(caplog)) == 1
        assert_same_facts(table, offline(settings, LIFE + back), days=404)
        row = table.features(np.array([table.index[GONE]]), START + 404 * DAY_S)[0]
        assert row[FEATURE_NAMES.index("orders_total")] == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", ["header", "gone"])
def test_a_damaged_attic_costs_a_full_replay(
    embedded_settings: BrokerSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """Without the evicted customers the snapshot is incomplete, so everything is read from the changelog."""

    async def scenario() -> None:
        settings = settings_for(embedded_settings, data_dir=tmp_path)
        await live_until_evicted(settings)
        path = home(settings)
        path.write_bytes(b"\xff" * path.stat().st_size) if damage == "header" else path.unlink()
        caplog.clear()
        back = [order(GONE, 403)]
        await work(settings, back)

        assert any("evicted customers are missing" in record.getMessage() for record in caplog.records)
        assert_same_facts(await states(embedded_settings), offline(settings, LIFE + back), days=404)

    asyncio.run(scenario())


def test_damage_found_in_use_ends_the_worker_and_the_next_start_is_whole(
    embedded_settings: BrokerSettings, tmp_path: Path
) -> None:
    """A state that does not match its checksum is not applied to; the next start reads the changelog."""

    async def scenario() -> None:
        settings = settings_for(embedded_settings, data_dir=tmp_path)
        await live_until_evicted(settings)
        path = home(settings)
        raw = path.read_bytes()
        at = raw.rindex(GONE.encode()) + 100
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        back = [order(GONE, 403)]
        with pytest.raises(AtticUnusable, match="'gone'"):
            await fail_with(settings, back)
        await work(settings, [])

        assert_same_facts(await states(embedded_settings), offline(settings, LIFE + back), days=404)

    async def fail_with(settings: Settings, events: list[Raw]) -> None:
        async with running(settings) as (worker, _):
            await send(settings.broker, keyed(events))
            await until(lambda: worker._failed is not None and worker._failed.done())

    asyncio.run(scenario())


def test_an_event_that_a_feature_group_fails_on_goes_to_quarantine(
    embedded_settings: BrokerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original record is kept with the traceback, the other events of the turn count, and no offset is held."""
    place = LISTENERS["order"][0]
    group = GROUPS[place]

    def fragile(event: Event) -> Any:
        if event.customer_id == "boom":
            raise ZeroDivisionError("a defect")
        return group.observe(event)

    broken = msgspec.structs.replace(group, observe=fragile)
    monkeypatch.setattr(fold, "GROUPS", (*GROUPS[:place], broken, *GROUPS[place + 1 :]))

    async def scenario() -> None:
        settings = settings_for(embedded_settings)
        good = [order("fine", 1), order("also", 2)]
        bad = order("boom", 1.5)
        await work(settings, [good[0], bad, good[1]])
        [record] = [orjson.loads(r.value) for r in await read_all(embedded_settings, QUARANTINE, 1)]

        assert (record["reason"], record["topic"]) == ("internal_error", PURCHASES)
        assert "ZeroDivisionError: a defect" in record["detail"]
        assert orjson.loads(base64.b64decode(record["raw"])) == bad[1]
        table = await states(embedded_settings)
        told = dict(zip(table.ids, table.features(np.arange(len(table)), START + 30 * DAY_S).tolist(), strict=True))
        column = FEATURE_NAMES.index("orders_total")
        assert {key: row[column] for key, row in told.items() if key != "boom"} == {"fine": 1.0, "also": 1.0}

    asyncio.run(scenario())


class SlowProducer:
    """Collects what is sent; the test acknowledges."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, asyncio.Future[Any]]] = []

    async def send_counted(self, topic: str, _partition: int, records: list[Outgoing]) -> Any:
        future = asyncio.get_running_loop().create_future()
        self.sent.append((topic, future))
        return [(future, len(records))]

    def acknowledge(self, place: int, offset: int) -> None:
        self.sent[place][1].set_result(SimpleNamespace(offset=offset))


def test_a_state_is_sent_when_what_it_tells_of_is_durable() -> None:
    """Scores and examples are acknowledged first, then the states go out, then the chunk is acknowledged."""

    async def scenario() -> None:
        producer, settled_turns = SlowProducer(), []
        broker = BrokerSettings()
        ownership = Ownership(broker, 3, producer, lambda *_: None)  # type: ignore[arg-type]
        outbox = Outbox(broker, ownership, producer, lambda: None, lambda: settled_turns.append(1))  # type: ignore[arg-type]
        event = SimpleNamespace(value=SimpleNamespace(durable=False), ack=lambda: None)
        one = [Outgoing(b"c", b"x")]
        await outbox.put({(SCORES, 3): one, (EXAMPLES, 0): one}, one, [Batch(PURCHASES, event)], 5.0)
        settling = asyncio.ensure_future(outbox.settle())
        await asyncio.sleep(0.01)
        assert [topic for topic, _ in producer.sent] == [SCORES, EXAMPLES]
        producer.acknowledge(0, 0)
        await asyncio.sleep(0.01)
        assert len(producer.sent) == 2
        producer.acknowledge(1, 7)
        await asyncio.sleep(0.01)
        assert [topic for topic, _ in producer.sent] == [SCORES, EXAMPLES, CHANGELOG]
        assert (event.value.durable, settled_turns) == (False, [])
        producer.acknowledge(2, 4)
        await settling

        assert (event.value.durable, settled_turns, outbox.durable_until) == (True, [1], 5.0)
        assert list(ownership.lanes[CHANGELOG].gaps) == [(0, 3)]
        assert not ownership.lanes[SCORES].gaps

    asyncio.run(scenario())


def test_nothing_is_vouched_for_while_the_broker_cannot_be_read(tmp_path: Path) -> None:
    """With offsets in doubt that cannot be looked at, no marker is written and no snapshot taken."""

    async def scenario() -> None:
        async def unreachable(_: list[Any]) -> Any:
            raise KafkaConnectionError("no broker")

        producer, now = SlowProducer(), [0.0]
        settings = Settings(data_dir=str(tmp_path))
        ownership = Ownership(settings.broker, 3, producer, lambda *_: None)  # type: ignore[arg-type]
        ownership.lanes[SCORES].wrote(5, 1)
        signals = WorkerSignals(Telemetry("worker"), Intake(settings))
        engine = offline(settings, [order("c", 1)])
        upkeep = Upkeep(
            settings, engine, ownership, Keeper(settings, signals), None, signals, unreachable, lambda: now[0]
        )
        now[0] = 1000.0
        assert upkeep.due
        assert not await upkeep.visit(START)

        assert producer.sent == []
        assert list(ownership.lanes[SCORES].gaps) == [(0, 4)]

    asyncio.run(scenario())


def test_a_pause_beyond_the_session_is_noticed() -> None:
    """Beats close together are no pause; one gap above the limit stays known."""
    now = 0.0
    pulse = Pulse(10.0, lambda: now)
    pulse.check()
    now = 9.0
    pulse.check()
    now = 19.0
    pulse.check()
    now = 29.5
    pulse.beat()
    now = 30.0
    with pytest.raises(StoodStill, match=r"stood still for 10\.5 s"):
        pulse.check()


def test_a_worker_that_was_stopped_for_too_long_sends_nothing_more(
    embedded_settings: BrokerSettings, tmp_path: Path
) -> None:
    """A process that is paused for longer than the session ends with an error when it goes on."""

    async def scenario() -> None:
        settings = settings_for(embedded_settings, data_dir=tmp_path)
        env = os.environ | to_env(settings) | {"PYTHONPATH": str(ROOT)}
        await send(embedded_settings, keyed([order("first", 1)]))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.cli", "worker", env=env, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(60):
                while not await read_all(embedded_settings, SCORES, 4):
                    await asyncio.sleep(0.1)
            process.send_signal(signal.SIGSTOP)
            await send(embedded_settings, keyed([order("second", 2)]))
            await asyncio.sleep(embedded_settings.session_timeout_s * 1.5)
            process.send_signal(signal.SIGCONT)
            async with asyncio.timeout(60):
                _, told = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

        assert process.returncode == 1
        assert b"stood still" in told
        assert {r.key for r in await read_all(embedded_settings, SCORES, 4)} == {b"first"}

    asyncio.run(scenario())


def test_a_worker_is_not_ready_while_it_restores() -> None:
    """Readiness names each partition whose state is being read, and how far; it moves on meanwhile."""
    telemetry = Telemetry("worker")
    signals = WorkerSignals(telemetry, Intake(Settings()))
    signals.restoring(2, 120_000, 480_000)
    signals.restoring(3, 0, 0)
    signals.tick({}, joined=True)
    both = telemetry.health()
    signals.restored(2)
    signals.forget(3)

    assert both == (
        False, "restoring partition 2: 120,000 of about 480,000 records, restoring partition 3: 0 of about 0 records",
    )  # fmt: skip
    assert telemetry.health() == (True, "busy")
    assert telemetry.status["restoring"] == {}
