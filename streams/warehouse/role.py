"""The warehouse role: batches from Kafka into DuckDB, snapshots on a clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from models.churn.control import Control
from models.features import FEATURES
from models.settings import Settings
from streams.kafka import group_id
from streams.telemetry import Telemetry
from streams.warehouse.analyst import Analyst
from streams.warehouse.decode import Decoder
from streams.warehouse.feed import EXPIRED, FEED_ERRORS, NEW, RECREATED, RESUMED, Beginning, Feed, FeedLost
from streams.warehouse.findings import Findings
from streams.warehouse.gauges import QualityGauges
from streams.warehouse.intake import read_batch
from streams.warehouse.metrics import Metrics
from streams.warehouse.outbox import Outbox
from streams.warehouse.snapshot import Publisher, live_path, snapshots_dir
from streams.warehouse.writer import Partition, Position, WarehouseWriter

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

_COLLECT_S = 1.0
_DRAIN_COLLECT_S = 0.2
_CHECK_EVERY_S = 5.0
_RETRY_FIRST_S, _RETRY_CAP_S = 0.2, 10.0
#: How long stopping may take to apply what was on the topics when the stop came.
_DRAIN_S = 10.0
#: How long the last analysis may take, which is made while stopping.
_LAST_LOOK_S = 4.0
#: Publishing costs a copy of the whole file; at most one part in this many of the time goes there.
_PUBLISH_SHARE = 10


class Warehouse:
    """Reads scores and the label ledger into DuckDB and publishes snapshots; see `streams.warehouse`.

    DuckDB runs in one thread beside the event loop, so that health and metrics answer during long statements.
    """

    name = "warehouse"

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._metrics = Metrics(telemetry)
        self._gauges = QualityGauges(telemetry)
        self._outbox = Outbox(settings.broker)
        self._analyst = Analyst(settings)
        self._snapshot: Path | None = None
        self._positions: dict[Partition, Position] = {}
        self._publish_at = self._check_at = 0.0
        self._retry_s = 0.0
        self._pool: ThreadPoolExecutor
        self._writer: WarehouseWriter
        self._publisher: Publisher
        self._decoder: Decoder

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then apply what the topics hold, publish and return.

        Raises
        ------
        WarehouseError
            Another writer is at work, the live file is damaged, or DuckDB cannot write to it.
        """
        with ThreadPoolExecutor(1, "warehouse") as self._pool:
            await self._in_thread(self._open)
            try:
                await self._publish_if_due()
                while not stop.is_set():
                    await self._serve(stop)
                await self._publish_if_due(now=True)
                await self._analyse_at_stop()
            finally:
                await self._analyst.close()
                await self._outbox.close()
                await self._in_thread(self._writer.close)

    def _open(self) -> None:
        meanings = {feature.name: f"{feature.description} ({feature.unit})" for feature in FEATURES}
        self._writer = WarehouseWriter(live_path(self._settings.data_dir), meanings)
        try:
            folder = snapshots_dir(self._settings.data_dir)
            self._publisher = Publisher(self._writer, folder, self._settings.warehouse.keep_snapshots)
            self._positions = self._writer.positions()
        except BaseException:
            self._writer.close()
            raise
        self._decoder = Decoder(self._writer.features)

    async def _serve(self, stop: asyncio.Event) -> None:
        """Work over one connection until `stop` or until it fails; after a failure wait a little longer each time."""
        feed = Feed(self._settings.broker, group_id(self._settings, "warehouse"))
        try:
            if not await self._begin(feed, stop):
                return
            while not stop.is_set():
                await self._step(feed, stop)
            await self._drain(feed)
        except FEED_ERRORS as error:
            await self._pause(error, stop)
        finally:
            await feed.close()

    async def _begin(self, feed: Feed, stop: asyncio.Event) -> bool:
        """Connect and go to where each partition begins. False if `stop` came before an answer."""
        connecting, stopping = asyncio.create_task(feed.connect(self._positions)), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((connecting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                return False
            beginnings = connecting.result()
        finally:
            for task in (connecting, stopping):
                task.cancel()
            await asyncio.wait((connecting, stopping))
        for beginning in beginnings:
            self._note(beginning)
        generations = self._generations(beginnings)
        self._positions = {
            one.partition: Position(one.offset, generations[one.partition[0]], feed.cluster_id) for one in beginnings
        }
        await self._in_thread(self._writer.move, self._positions)
        self._check_at = 0.0
        return True

    def _generations(self, beginnings: list[Beginning]) -> dict[str, int]:
        """A topic's generation, one more than before if any of its partitions was made again."""
        generations: dict[str, int] = {}
        for one in beginnings:
            topic = one.partition[0]
            held = [at.generation for (name, _), at in self._positions.items() if name == topic]
            anew = any(other.verdict == RECREATED and other.partition[0] == topic for other in beginnings)
            generations[topic] = max(held, default=0) + anew
        return generations

    def _note(self, beginning: Beginning) -> None:
        topic, partition = beginning.partition
        self._metrics.beginnings.labels(topic, beginning.verdict).inc()
        if beginning.verdict == EXPIRED:
            _LOG.warning(
                "records lost: %s[%d] has no offset %s any more, going on from %d",
                topic, partition, beginning.stored, beginning.offset,
            )  # fmt: skip
        elif beginning.verdict == RECREATED:
            _LOG.warning(
                "topic began anew: %s[%d] does not reach offset %s, reading it from %d",
                topic, partition, beginning.stored, beginning.offset,
            )  # fmt: skip
        elif beginning.verdict in {NEW, RESUMED}:
            _LOG.debug("reading %s[%d] from offset %d", topic, partition, beginning.offset)

    async def _step(self, feed: Feed, stop: asyncio.Event, within_s: float = _COLLECT_S) -> None:
        """Collect, apply, publish, check."""
        records = await feed.collect(self._settings.warehouse.batch_rows, within_s, stop)
        if records:
            await self._store([(feed.logical(record), record) for record in records])
        await self._publish_if_due()
        await self._analyse()
        await self._check_if_due(feed)
        self._telemetry.progress(busy=bool(records))

    async def _store(self, records: list[tuple[Partition, Any]]) -> None:
        batch, refused = await self._in_thread(read_batch, self._decoder, records, self._positions)
        await self._outbox.refuse(refused, time.time())
        started = time.perf_counter()
        applied = await self._in_thread(self._writer.apply, batch)
        self._metrics.batch_seconds.observe(time.perf_counter() - started)
        self._positions |= batch.positions
        self._metrics.count(applied, refused)
        for reason in sorted({one.error.reason for one in refused}):
            _LOG.warning("records sent to quarantine: %s", reason)

    async def _analyse(self, *, wait: bool = False) -> None:
        """Take what an analysis found, and begin the next one where a new snapshot is there."""
        findings = await self._analyst.collect(wait=wait)
        self._gauges.analysed(self._analyst.last_s, self._analyst.failures)
        if findings is not None:
            try:
                await self._warn(findings)
            except BaseException:
                self._analyst.forget()
                raise
            await self._in_thread(self._writer.note, findings, self._settings.warehouse)
            self._gauges.show(findings)
        if self._snapshot is not None and not self._publisher.stale:
            self._analyst.begin(self._snapshot)

    async def _warn(self, findings: Findings) -> None:
        """Log alarms, and have the trainer begin a challenger where settings say so. Raises one of FEED_ERRORS."""
        for alarm in findings.alarms:
            _LOG.warning("drift alarm: %s", alarm.sentence)
        if self._settings.drift.start_challenger:
            for day in sorted({alarm.day for alarm in findings.alarms}):
                note = "; ".join(alarm.sentence for alarm in findings.alarms if alarm.day == day)
                await self._outbox.command(Control(control="drift", id=f"drift-{day}", note=note[:200]))

    async def _analyse_at_stop(self) -> None:
        """Look once more, for a short time, so that the last snapshot tells of what it holds."""
        try:
            await self._analyse(wait=True)
            await self._publish_if_due(now=True)
            if self._snapshot is not None:
                self._analyst.begin(self._snapshot, now=True, within_s=_LAST_LOOK_S)
            await self._analyse(wait=True)
        except FEED_ERRORS as error:
            _LOG.warning("the trainer was not told of drift; the next start will: %r", error)
        await self._publish_if_due(now=True)

    async def _drain(self, feed: Feed) -> None:
        """Apply what the topics hold now, so that the last snapshot has all that was scored before the stop."""
        ends = await feed.ends()
        running = asyncio.Event()
        deadline = time.monotonic() + _DRAIN_S
        while any(ends[partition] > at for partition, at in (await feed.positions()).items()):
            if time.monotonic() > deadline:
                _LOG.warning("stopped %.0f s after the stop, before the end of the topics", _DRAIN_S)
                break
            await self._step(feed, running, _DRAIN_COLLECT_S)
        await feed.commit(self._positions)

    async def _check_if_due(self, feed: Feed) -> None:
        """Measure the lag, which also shows whether the broker is there. Raises one of FEED_ERRORS."""
        if time.monotonic() < self._check_at:
            return
        self._check_at = time.monotonic() + _CHECK_EVERY_S
        feed.check_partitions()
        ends = await feed.recent_ends()
        gone = [partition for partition, end in ends.items() if self._positions[partition].next_offset > end]
        if gone:
            raise FeedLost(f"partitions {gone} end before what was read of them")
        if self._retry_s:
            _LOG.info("broker is back")
        self._retry_s = 0.0
        self._metrics.set_lag({one: end - self._positions[one].next_offset for one, end in ends.items()})
        await feed.commit(self._positions)

    async def _pause(self, error: Exception, stop: asyncio.Event) -> None:
        """Wait after a failure, longer each time; the first of a row is logged."""
        if not self._retry_s:
            _LOG.warning("cannot read the topics, trying again: %r", error)
        self._retry_s = min(max(2 * self._retry_s, _RETRY_FIRST_S), _RETRY_CAP_S)
        await self._outbox.close()
        await self._publish_if_due()
        try:
            async with asyncio.timeout(self._retry_s):
                await stop.wait()
        except TimeoutError:
            pass

    async def _publish_if_due(self, *, now: bool = False) -> None:
        if not self._publisher.stale or (time.monotonic() < self._publish_at and not now):
            return
        started = time.monotonic()
        try:
            snapshot = await self._in_thread(self._publisher.publish, datetime.now(UTC))
            rows = await self._in_thread(self._writer.rows)
        except OSError as error:
            # A full disk, mostly. Readers keep the last snapshot, and its age shows on the gauge.
            self._metrics.publish_failures.inc()
            _LOG.error("cannot publish a snapshot, trying again: %s", error)
        else:
            self._snapshot = snapshot.path
            self._metrics.published(snapshot, rows)
            _LOG.debug("snapshot %d published: %d bytes", snapshot.number, snapshot.size_bytes)
        cost_s = time.monotonic() - started
        self._publish_at = started + max(self._settings.warehouse.publish_every_s, _PUBLISH_SHARE * cost_s)

    async def _in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
