"""A partition's state comes back exactly: from local files, past damage, and past what evicted workers wrote."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.records import Score
from models.settings import BrokerSettings, Settings
from models.state import peek
from models.table import LAYOUT, Table
from streams.chunks import Outgoing
from streams.topics import CHANGELOG, SCORES, create_topics
from streams.worker.local import read_snapshot, write_snapshot
from streams.worker.markers import OWNER_KEY, Lineage, Marker, Verdict, kept_key
from streams.worker.ownership import Lane, OwnershipLost
from tests.streams.worker.test_worker import (
    assert_same_facts,
    history,
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

EVENTS = history(400)
FIRST, THEN = EVENTS[:300], EVENTS[300:]


async def work(settings: Settings, events: list[tuple[str, dict[str, Any]]]) -> bytes:
    """A worker's life from start to clean stop, and its metrics at the end."""
    await send(settings.broker, keyed(events))
    async with running(settings) as (worker, telemetry):
        await until(lambda: all(held.loaded.is_set() for held, _ in worker._partitions.values()))
        await settled(worker)
        assert telemetry.health() == (True, "caught up")
    return telemetry.exposition()


def snapshots(settings: Settings) -> list[Path]:
    return sorted(Path(settings.data_dir).glob("state/**/*.snapshot"))


def restored(caplog: pytest.LogCaptureFixture) -> list[int]:
    """How many changelog records each restored partition had to read."""
    found = [r.args for r in caplog.records if r.msg.startswith("partition %d restored")]
    return [int(str(args[2])) for args in found if isinstance(args, tuple)]


def test_a_restart_reads_local_state_and_only_what_came_after(
    broker: BrokerSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a clean stop nothing but the marker is read again, and the table goes on exactly."""

    async def scenario() -> None:
        settings = settings_for(broker, data_dir=tmp_path)
        await work(settings, FIRST)
        assert len(snapshots(settings)) == 4
        caplog.clear()
        caplog.set_level(logging.INFO)
        metrics = await work(settings, THEN)

        assert restored(caplog) == [1, 1, 1, 1]
        assert b'ebbtide_local_snapshots_total{outcome="used"} 4.0' in metrics
        assert_same_facts(await states(broker), offline(settings, EVENTS))

    asyncio.run(scenario())


def test_damaged_local_state_falls_back_to_the_changelog(
    embedded_settings: BrokerSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A changed byte, a cut file, an old file and one that is gone each cost time, not state."""

    async def scenario() -> None:
        settings = settings_for(embedded_settings, data_dir=tmp_path)
        await work(settings, FIRST)
        changed, cut, old, gone = snapshots(settings)
        changed.write_bytes(changed.read_bytes()[:-100] + b"\0" * 100)
        cut.write_bytes(cut.read_bytes()[:5000])
        header, dump = read_snapshot(old, LAYOUT)
        write_snapshot(old, msgspec.structs.replace(header, written_at=header.written_at - 86_400), dump)
        gone.unlink()
        caplog.clear()
        caplog.set_level(logging.INFO)
        metrics = await work(settings, THEN)

        assert b'ebbtide_local_snapshots_total{outcome="refused"} 3.0' in metrics
        assert sum("from the changelog alone" in r.getMessage() for r in caplog.records) == 3
        assert min(restored(caplog)) > 1
        assert_same_facts(await states(embedded_settings), offline(settings, EVENTS))

    asyncio.run(scenario())


def test_local_state_of_another_log_is_not_believed(
    embedded_settings: BrokerSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Files of another deployment in this one's place, such as after topics were made anew, are left alone."""

    async def scenario() -> None:
        other = msgspec.structs.replace(embedded_settings, topic_prefix=embedded_settings.topic_prefix + "x-")
        await create_topics(other)
        settings = settings_for(embedded_settings, data_dir=tmp_path)
        await work(settings_for(other, data_dir=tmp_path), THEN)
        folder = tmp_path / "state"
        shutil.copytree(folder / other.topic_prefix, folder / embedded_settings.topic_prefix)
        await work(settings, FIRST)

        assert sum("marker" in r.getMessage() for r in caplog.records if "alone" in r.getMessage()) == 4
        assert_same_facts(await states(embedded_settings), offline(settings, FIRST))

    asyncio.run(scenario())


def state_record(value: bytes, key: str = "c1") -> Any:
    class Record:
        pass

    record = Record()
    record.key, record.value, record.offset = key.encode(), value, 0  # type: ignore[attr-defined]
    return record


async def records_of(broker: BrokerSettings, logical: str, customer: str) -> list[Any]:
    return [r for r in await read_all(broker, logical, broker.partitions) if r.key == customer.encode()]


def events_of(customer: str) -> int:
    return len({event["messageId"] for _, event in EVENTS if event["userId"] == customer})


def newest_score(records: list[Any]) -> Score:
    return msgspec.json.decode(records[-1].value, type=Score)


def test_records_of_an_evicted_writer_are_ignored_and_told_again(broker: BrokerSettings) -> None:
    """Old states and scores written behind another member's claim change nothing, and end behind the owner's."""

    async def scenario() -> None:
        settings = settings_for(broker)
        await work(settings, EVENTS)
        old, told = await records_of(broker, CHANGELOG, "c1"), await records_of(broker, SCORES, "c1")
        home = old[0].partition
        claim = Marker(epoch=7, member="someone")
        await send(
            broker,
            [
                (CHANGELOG, home, Outgoing(OWNER_KEY, claim.to_json())),
                (CHANGELOG, home, Outgoing(old[0].key, old[0].value)),
                (SCORES, home, Outgoing(told[0].key, told[0].value)),
            ],
        )
        async with running(settings) as (worker, _):
            await until(lambda: len(worker._partitions) == 4)
            await settled(worker)
        now, scores = await records_of(broker, CHANGELOG, "c1"), await records_of(broker, SCORES, "c1")

        assert peek(now[-1].value).epoch == 8
        assert newest_score(scores).revision == newest_score(told).revision + 1
        assert newest_score(scores).features["events_total"] == events_of("c1")
        assert_same_facts(await states(broker), offline(settings, EVENTS))

    asyncio.run(scenario())


def test_a_living_owner_writes_over_what_an_evicted_writer_writes(broker: BrokerSettings) -> None:
    """Late records are found by the gap that they leave, and the owner's newest state and score follow them."""

    async def scenario() -> None:
        settings = settings_for(broker)
        await work(settings, FIRST)
        old, told = await records_of(broker, CHANGELOG, "c1"), await records_of(broker, SCORES, "c1")
        home = old[0].partition
        async with running(settings) as (worker, telemetry):
            await send(broker, keyed(THEN))
            await until(lambda: telemetry.status.get("events", 0) == len(THEN), lambda: telemetry.status)
            await settled(worker)
            before = len(await records_of(broker, SCORES, "c1"))
            late = [(CHANGELOG, home, Outgoing(old[0].key, old[0].value))]
            late += [(SCORES, home, Outgoing(told[0].key, told[0].value))]
            await send(broker, late)
            repaired = worker._partitions[home][0]._ownership
            await until(lambda: b'foreign_records_total{topic="scores"} 1.0' in telemetry.exposition())
            await until(lambda: not repaired.doubted and not worker._partitions[home][0]._retold)
            await settled(worker)
            exposition = telemetry.exposition()
        scores = await records_of(broker, SCORES, "c1")

        assert b'foreign_records_total{topic="features-changelog"} 1.0' in exposition
        assert len(scores) == before + 2
        assert newest_score(scores).revision == newest_score(scores[:-2]).revision + 1
        assert peek((await records_of(broker, CHANGELOG, "c1"))[-1].value).epoch == repaired.epoch
        assert_same_facts(await states(broker), offline(settings, EVENTS))

    asyncio.run(scenario())


def test_a_newer_claim_ends_the_worker(embedded_settings: BrokerSettings) -> None:
    """Who finds another member's claim with an epoch not below its own stops before it writes any more."""

    async def scenario() -> None:
        settings = settings_for(embedded_settings)
        await work(settings, FIRST)
        with pytest.raises(OwnershipLost, match="partition 2 to a member with epoch 2"):
            await be_replaced(settings)

    async def be_replaced(settings: Settings) -> None:
        async with running(settings) as (worker, _):
            await until(lambda: len(worker._partitions) == 4)
            await until(lambda: all(held.loaded.is_set() for held, _ in worker._partitions.values()))
            claim = Marker(epoch=2, member="another")
            await send(settings.broker, [(CHANGELOG, 2, Outgoing(OWNER_KEY, claim.to_json()))])
            assert worker._failed is not None
            await asyncio.wait({worker._failed}, timeout=60)

    asyncio.run(scenario())


def test_a_score_without_its_state_is_told_again(embedded_settings: BrokerSettings) -> None:
    """A crash between telling and keeping leaves a score that no state knows; the next owner's replaces it."""

    async def scenario() -> None:
        settings = settings_for(embedded_settings)
        await work(settings, EVENTS)
        told = await records_of(embedded_settings, SCORES, "c1")
        lost = msgspec.structs.replace(newest_score(told), revision=99, probability=0.123)
        await send(embedded_settings, [(SCORES, told[0].partition, Outgoing(told[0].key, msgspec.json.encode(lost)))])
        async with running(settings) as (worker, _):
            await until(lambda: len(worker._partitions) == 4)
            await settled(worker)
        scores = await records_of(embedded_settings, SCORES, "c1")

        assert newest_score(scores).revision == newest_score(told).revision + 1
        assert newest_score(scores).features["events_total"] == events_of("c1")

    asyncio.run(scenario())


def test_epochs_decide_what_counts() -> None:
    """Behind a claim smaller epochs are zombies; markers of evicted members do not lower it, nor name the newest."""
    table = Table()
    table.add("c1")

    def state(epoch: int) -> Any:
        return state_record(table.encode(np.array([0]), epoch)[0])

    def marker(epoch: int, key: bytes | None = OWNER_KEY) -> Any:
        record = state_record(Marker(epoch=epoch, member=f"m{epoch}").to_json())
        record.key = key
        return record

    lineage = Lineage()
    log = [state(0), marker(1), state(1), marker(3), state(1), marker(1, kept_key("a")), marker(9, None), state(3)]
    verdicts = [lineage.judge(record) for record in log]

    assert [v for v in verdicts if v is not Verdict.MARKER] == [
        Verdict.STATE, Verdict.STATE, Verdict.ZOMBIE, Verdict.STATE,
    ]  # fmt: skip
    assert lineage.greatest == 3
    assert lineage.newest is not None
    assert lineage.newest.member == "m3"


def test_gaps_between_acknowledgements_are_noted() -> None:
    """Offsets that nobody acknowledged to us are someone else's, and each is doubted once."""
    lane = Lane(10)
    lane.wrote(10, 5)
    lane.wrote(15, 1)
    assert not lane.gaps
    lane.wrote(18, 2)
    lane.ends_at(19)
    lane.ends_at(23)

    assert list(lane.gaps) == [(16, 17), (20, 22)]
    assert lane.expected == 23
