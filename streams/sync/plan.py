"""A dry run: what a destination would be sent now, in which requests, and how long its limits make that take."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import TopicPartition

from models.records import Score
from models.settings import Settings
from streams.destinations.base import Destination
from streams.destinations.contract.consent import AddressedScore
from streams.kafka import log_ends, lone_consumer
from streams.sync import pauses
from streams.sync.backlog import Backlog
from streams.sync.batches import Batcher
from streams.sync.ledger import Ledger
from streams.sync.pending import Origin
from streams.sync.report import Metrics, Report
from streams.telemetry import Telemetry
from streams.topics import SCORES, topic_name


class Plan(msgspec.Struct, frozen=True):
    """What would be sent. `changes` counts by kind, `skipped` and `hopeless` by reason.

    `seconds` is the least time that the destination's windows allow; `example` is the first request's body, as text.
    """

    destination: str
    mode: str
    customers: int
    changes: dict[str, int]
    skipped: dict[str, int]
    hopeless: dict[str, int]
    requests: int
    bytes: int
    seconds: float
    example: str


async def newest_scores(settings: Settings) -> list[AddressedScore]:
    """The newest score of every customer, as the topic holds them now. Records that are no scores are left out."""
    topic, decoder = topic_name(settings.broker, SCORES), msgspec.json.Decoder(AddressedScore)
    newest: dict[bytes, AddressedScore | None] = {}
    consumer = await lone_consumer(settings.broker)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends = await log_ends(settings.broker, partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    try:
                        newest[record.key] = None if record.value is None else decoder.decode(record.value)
                    except (msgspec.MsgspecError, ValueError):
                        continue
    finally:
        await consumer.stop()
    return [score for score in newest.values() if score is not None]


def plan(destination: Destination[Any], settings: Settings, scores: Iterable[Score]) -> Plan:
    """What the destination would be sent of these scores, one per customer, by what it last accepted.

    Nothing is sent, and the ledger stays as it is: a copy of it is asked.
    """
    with tempfile.TemporaryDirectory(prefix="ebbtide-plan-") as folder:
        copy = Path(folder) / "ledger.sqlite"
        _copy(pauses.ledger_path(settings, destination.name), copy)
        with Ledger(copy, destination.identity) as ledger:
            return _planned(destination, settings, ledger, list(scores))


def _planned(destination: Destination[Any], settings: Settings, ledger: Ledger, scores: list[Score]) -> Plan:
    report = Report(Metrics(Telemetry("plan")), destination.name)
    sync = destination.options.over(settings.sync)
    backlog = Backlog(
        destination, ledger, report, only_likely=sync.only_likely, monotonic=lambda: 0.0, changed=lambda: None
    )
    for number, score in enumerate(scores):
        backlog.offer(score, Origin(SCORES, 0, number))
    batcher, wall = Batcher(destination, backlog), time.time()
    changes: Counter[str] = Counter()
    hopeless: Counter[str] = Counter()
    bodies: list[bytes] = []
    while (batch := batcher.take(0.0, wall)) is not None:
        changes.update(change.kind for change in batch.changes)
        hopeless.update(reason for _, reason in batch.hopeless)
        if batch.request is not None:
            bodies.append(batch.request.body)
    return Plan(
        destination.name,
        destination.options.mode,
        len(scores),
        dict(changes),
        dict(report.skips),
        dict(hopeless),
        len(bodies),
        sum(map(len, bodies)),
        _least_seconds(destination, len(bodies)),
        bodies[0].decode("utf-8", "replace") if bodies else "",
    )


def _least_seconds(destination: Destination[Any], requests: int) -> float:
    windows = destination.limits.windows
    return max((max(0, -(-requests // window.requests) - 1) * window.seconds for window in windows), default=0.0)


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        return
    read, write = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True), sqlite3.connect(target)
    try:
        read.backup(write)
    finally:
        read.close()
        write.close()
