"""Taking over a partition: its state from the local snapshot and the changelog, then the claim.

1. A local snapshot counts only if the changelog holds, at the offset that the snapshot names, the marker with the
   uuid that it names. That proves that it is the same log. All that was written before is in the snapshot, and what
   came after is read. Without one, the changelog is read from the beginning.
2. Records are judged by `Lineage`; those of evicted writers are left out. If one is all that the log still holds of a
   customer (compaction drops what stood before it), it is better than nothing: it is a true state with its guards.
3. The claim is written, with an epoch above all others, and read up to: nothing that stands before it is missed.
   If another member's claim came in between, this one claims again above it.
4. The scores told since the newest marker are compared with the states. A crash between telling and keeping, or a
   late record of an evicted writer, leaves a difference; state and score of these customers are told again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from models import table as t
from models.engine import Engine
from models.settings import BrokerSettings
from models.table import TableDump
from streams.kafka import log_ends
from streams.topics import CHANGELOG, SCORES, topic_name
from streams.worker.attic import Attic
from streams.worker.changelog import assigned_consumer, read_range
from streams.worker.keeper import Keeper
from streams.worker.local import SnapshotHeader, SnapshotUnusable, read_header, read_snapshot
from streams.worker.markers import Lineage, Verdict, kept_key, marker_of
from streams.worker.ownership import Ownership

log = logging.getLogger(__name__)

#: Customers put into the engine at a time, and seconds between two lines of the log.
_ROUND, _TELL_EVERY_S = 2000, 3.0
#: The changelog keeps a delete marker for a day (see `streams.topics`); an older snapshot could miss one.
_OLDEST_S = 20 * 3600.0


class _Told(msgspec.Struct):
    """What a score says that the state must agree with."""

    revision: int
    probability: float
    eligible: bool


class Recovery:
    """One take-over. `progress` is told how many records of about how many were read."""

    def __init__(
        self, broker: BrokerSettings, engine: Engine, ownership: Ownership, keeper: Keeper, attic: Attic | None,
        progress: Callable[[int, int], None],
    ) -> None:  # fmt: skip
        self.records = 0
        self.lineage = Lineage()
        self.retold: set[str] = set()
        self._broker = broker
        self._engine = engine
        self._ownership = ownership
        self._keeper = keeper
        self._attic = attic
        self._progress = progress
        self._number = ownership.number
        self._tp = TopicPartition(topic_name(broker, CHANGELOG), self._number)
        self._fresh: dict[str, bytes | None] = {}
        self._zombies: dict[str, bytes] = {}
        self._told_at = time.monotonic()

    @property
    def clock(self) -> float:
        """The partition's clock at the newest marker, epoch seconds; 0 if unknown."""
        return self.lineage.newest.clock if self.lineage.newest is not None else 0.0

    async def run(self) -> None:
        """Restore the engine and claim the partition.

        Raises
        ------
        models.state.StateError
            The changelog holds something that is no state of this version.
        streams.worker.attic.AtticUnusable
            The evicted customers' file is damaged; it is gone, so the next attempt succeeds.
        """
        await self._keeper.settle(self._number)
        async with assigned_consumer(self._broker, self._tp.topic, self._number) as consumer:
            if not await self._restore_file(consumer):
                if self._attic is not None:
                    await asyncio.to_thread(self._attic.reset)
                await consumer.seek_to_beginning(self._tp)
            await self._read_to_end(consumer)
            claim = await self._claim(consumer)
        await self._load()
        self._take_zombies()
        self._engine.epoch = self._ownership.epoch
        self._engine.loaded()
        scores = await self._compare_scores()
        self._ownership.begin({CHANGELOG: claim + 1, SCORES: scores})
        bring_back(self._engine, self._attic, self.retold)
        self._engine.retell(self.retold)

    # -- the local snapshot --------------------------------------------------------------------------

    async def _restore_file(self, consumer: AIOKafkaConsumer) -> bool:
        if not self._keeper.keeps_snapshots or not self._keeper.path(self._number).exists():
            return False
        try:
            header, dump = await self._read_file(consumer)
        except SnapshotUnusable as exc:
            log.warning("partition %d is restored from the changelog alone: %s", self._number, exc)
            self._keeper.note("refused")
            return False
        self._keeper.note("used")
        self._engine.restore(dump)
        log.info("partition %d: %d customers from local state", self._number, len(self._engine))
        consumer.seek(self._tp, header.offset)
        return True

    async def _read_file(self, consumer: AIOKafkaConsumer) -> tuple[SnapshotHeader, TableDump]:
        path = self._keeper.path(self._number)
        header = await asyncio.to_thread(read_header, path, t.LAYOUT)
        age_s = time.time() - header.written_at
        if age_s > _OLDEST_S:
            raise SnapshotUnusable(f"cannot use local state {path}: it is {age_s:.0f} s old, allowed: {_OLDEST_S:.0f}")
        self._check_attic(header)
        await self._find_marker(consumer, header)
        read, dump = await asyncio.to_thread(read_snapshot, path, t.LAYOUT)
        if read != header:
            raise SnapshotUnusable(f"cannot use local state {path}: it was replaced while it was read")
        return header, dump

    def _check_attic(self, header: SnapshotHeader) -> None:
        attic = self._attic
        if attic is None or (attic.id, True) != (header.attic, attic.writes >= header.attic_writes):
            raise SnapshotUnusable(f"its evicted customers are missing (attic {header.attic})")

    async def _find_marker(self, consumer: AIOKafkaConsumer, header: SnapshotHeader) -> None:
        """Raise SnapshotUnusable unless this changelog holds the snapshot's marker at its place."""
        tp, first = self._tp, None
        if (header.topic, header.partition) == (tp.topic, tp.partition):
            end = (await consumer.end_offsets([tp]))[tp]
            consumer.seek(tp, header.offset)
            while first is None and header.offset < end and await consumer.position(tp) < end:
                fetched = await consumer.getmany(tp, timeout_ms=1000, max_records=1)
                first = next((record for records in fetched.values() for record in records), None)
        found = first is not None and (first.offset, first.key) == (header.offset, kept_key(header.attic))
        marker = marker_of(first) if found else None
        if marker is None or marker.uuid != header.marker:
            raise SnapshotUnusable(
                f"marker {header.marker} is not at offset {header.offset} of {tp.topic}/{tp.partition}"
            )

    # -- the changelog -------------------------------------------------------------------------------

    async def _read_to_end(self, consumer: AIOKafkaConsumer) -> None:
        """As far as the log reaches now. The claim, later, tells exactly; this is only most of the way."""
        tp = self._tp
        end = (await consumer.end_offsets([tp]))[tp]
        start = await consumer.position(tp)
        while (position := await consumer.position(tp)) < end:
            self._tell(position - start, end - start)
            for records in (await consumer.getmany(tp, timeout_ms=500)).values():
                await self._take(records)

    async def _claim(self, consumer: AIOKafkaConsumer) -> int:
        """Write claims until one stands in the log with nothing above it before; return its offset."""
        while True:
            epoch = self._ownership.epoch = self.lineage.greatest + 1
            newest = self.lineage.newest
            self._ownership.begin({CHANGELOG: 0, SCORES: newest.scores if newest is not None else 0})
            _, offset = await self._ownership.mark(self.clock)
            await self._read_up_to(consumer, offset)
            if self.lineage.greatest < epoch:
                return offset
            log.warning("partition %d was claimed with epoch %d meanwhile", self._number, self.lineage.greatest)

    async def _read_up_to(self, consumer: AIOKafkaConsumer, offset: int) -> None:
        """Take all records before an offset that is known to hold one."""
        while True:
            for records in (await consumer.getmany(self._tp, timeout_ms=500)).values():
                await self._take([record for record in records if record.offset < offset])
                if records[-1].offset >= offset:
                    consumer.seek(self._tp, offset + 1)
                    return

    async def _take(self, records: Sequence[Any]) -> None:
        for record in records:
            verdict = self.lineage.judge(record)
            if verdict is Verdict.MARKER:
                continue
            customer_id = record.key.decode("utf-8", "replace")
            if verdict is Verdict.STATE:
                self._fresh[customer_id] = record.value
                self._zombies.pop(customer_id, None)
            else:
                self._zombies[customer_id] = record.value
        self.records += len(records)
        if len(self._fresh) >= _ROUND:
            await self._load()

    async def _load(self) -> None:
        """Put what was read into the engine, without holding the event loop for long."""
        fresh, self._fresh = self._fresh, {}
        for count, (customer_id, value) in enumerate(fresh.items(), 1):
            self._engine.load(customer_id, value)
            if count % _ROUND == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _take_zombies(self) -> None:
        """Customers whose last record is an evicted writer's: its state only if there is no other; told again."""
        for customer_id, value in self._zombies.items():
            if customer_id not in self._engine and (self._attic is None or self._attic.take(customer_id) is None):
                self._engine.load(customer_id, value)
        if self._zombies:
            log.warning("partition %d: %d customers written by evicted workers", self._number, len(self._zombies))
        self.retold.update(self._zombies)

    def _tell(self, done: int, total: int) -> None:
        self._progress(done, total)
        now = time.monotonic()
        if now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            log.info(
                "partition %d: restoring, %s of about %s records (%d %%)",
                self._number, f"{done:,}", f"{total:,}", 100 * done // max(1, total),
            )  # fmt: skip

    # -- the scores ----------------------------------------------------------------------------------

    async def _compare_scores(self) -> int:
        """Note whose last score differs from the state; return the offset behind the scores that were seen."""
        tp = TopicPartition(topic_name(self._broker, SCORES), self._number)
        first = self.lineage.newest.scores if self.lineage.newest is not None else 0
        end = (await log_ends(self._broker, [tp]))[tp]
        last: dict[str, bytes] = {}
        if first < end:
            async for records in read_range(self._broker, tp.topic, tp.partition, first, end - 1):
                last.update((record.key.decode("utf-8", "replace"), record.value) for record in records)
                self._progress(self.records, self.records)
        if last:
            self.retold.update(self._differing(last))
        return end

    def _differing(self, last: dict[str, bytes]) -> set[str]:
        dump = self._engine.dump()
        rows = {customer_id: row for row, customer_id in enumerate(dump.ids)}
        decoder = msgspec.json.Decoder(_Told)
        differing = set()
        for customer_id, raw in last.items():
            row = rows.get(customer_id)
            try:
                told = decoder.decode(raw)
            except (msgspec.MsgspecError, TypeError):
                told = _Told(-1, 0.0, eligible=False)
            if row is None or not _agree(told, dump.core[row, t.REVISION], dump.core[row, t.PROBABILITY]):
                differing.add(customer_id)
        return differing


def _agree(told: _Told, revision: float, probability: float) -> bool:
    same = told.probability == probability if told.eligible else bool(np.isnan(probability))
    return told.revision == revision and same


def bring_back(engine: Engine, attic: Attic | None, customer_ids: set[str]) -> None:
    """Take these customers into memory where they were evicted. Raises AtticUnusable."""
    for customer_id in customer_ids:
        if attic is not None and customer_id not in engine and (raw := attic.take(customer_id)) is not None:
            engine.load(customer_id, raw)
