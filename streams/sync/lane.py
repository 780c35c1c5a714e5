"""One destination's own consumer of `scores`: own group, own offsets, own ledger, own limits.

Where reading starts is the lower of what the group committed and what the ledger has seen. So a lost ledger, or a
new endpoint, is told the current state of every customer, and a broker that lost its offsets costs only
re-reading. Repeated messages carry the id that they had the first time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from models.settings import Settings
from streams.destinations.base import Destination
from streams.destinations.contract.consent import AddressedScore
from streams.kafka import close_consumer, group_id, group_options, log_ends
from streams.sync import pauses
from streams.sync.dead_letters import DeadLetters
from streams.sync.delivery import Engine
from streams.sync.ledger import Ledger
from streams.sync.pending import Origin
from streams.sync.rates import Budget
from streams.sync.report import Metrics, Report
from streams.sync.transports import transport_of
from streams.topics import SCORES, topic_name

_LOG = logging.getLogger(__name__)
#: Records held in memory, at some 3 kB each. Above it reading pauses until half are done.
PENDING_LIMIT = 10_000
_POLL_S = 0.2
_POLL_RECORDS = 500
_COMMIT_EVERY_S = 1.0
_COMMIT_WITHIN_S = 3.0


class Lane:
    """Carries scores to one destination.

    Parameters
    ----------
    budget
        What its credential may send; two destinations with one credential share it.
    pending_limit
        Records held in memory before reading pauses.
    """

    def __init__(
        self,
        destination: Destination[Any],
        settings: Settings,
        metrics: Metrics,
        budget: Budget,
        *,
        pending_limit: int = PENDING_LIMIT,
    ) -> None:
        self._destination, self._settings, self._budget = destination, settings, budget
        self._sync = destination.options.over(settings.sync)
        self._report = Report(metrics, destination.name)
        self._pending_limit = max(pending_limit, 2 * destination.limits.rows)
        self._scores = topic_name(settings.broker, SCORES)
        self._decoder = msgspec.json.Decoder(AddressedScore)
        self._committed: dict[tuple[str, int], int] = {}
        self._commit_due = 0.0
        self._next: dict[TopicPartition, int] = {}
        self._catch_up: dict[TopicPartition, int] = {}
        self._failure: Exception | None = None
        self._paused = False
        self._paused_for = ""
        #: Rounds of the reading loop; a lane that no longer turns is stuck.
        self.turns = 0
        self._consumer: Any = None
        self._ledger: Ledger
        self._letters: DeadLetters
        self._engine: Engine

    def state(self) -> dict[str, Any]:
        """Plain figures for the console; sets the gauges."""
        if self._consumer is None:
            return {"pending": 0, "deliveries": {}, "breaker": "closed", "lag": 0}
        breaker, backlog = self._engine.breaker, self._engine.backlog
        figures = self._report.state(len(backlog), backlog.oldest_s(), breaker.state, breaker.reason, self._paused_for)
        return figures | {"endpoint": self._destination.endpoint, "reading_paused": self._paused, "lag": self._lag()}

    def _lag(self) -> int:
        """Scores behind what was read, as far as the last fetches told."""
        ends = {partition: self._consumer.highwater(partition) for partition in self._consumer.assignment()}
        known = ((self._next.get(partition), end) for partition, end in ends.items())
        return sum(max(0, end - position) for position, end in known if position is not None and end is not None)

    async def run(self, stop: asyncio.Event) -> None:
        """Carry scores until `stop` is set; then finish what is under way, commit and close.

        Raises
        ------
        LedgerUnusable, BuryFailed, sqlite3.Error, KafkaError
            What only a restart or an operator can mend.
        """
        broker, path = self._settings.broker, pauses.ledger_path(self._settings, self._destination.name)
        # Entered first, closed last: what is under way may still write to all of these.
        async with AsyncExitStack() as stack:
            self._ledger = stack.enter_context(Ledger(path, self._destination.identity))
            transport = await stack.enter_async_context(transport_of(self._destination, broker, self._sync))
            self._letters = await stack.enter_async_context(DeadLetters(broker, self._destination.name))
            self._engine = Engine(
                self._destination, self._sync, self._ledger, self._report,
                send=transport.send, bury=self._letters.bury, budget=self._budget,
            )  # fmt: skip
            self._consumer = self._make_consumer()
            stack.push_async_callback(_close, self._consumer)
            await self._consumer.start()
            self._consumer.subscribe([self._scores], listener=_Rebalance(self))
            await self._carry(stop)

    def _make_consumer(self) -> Any:
        group = group_id(self._settings, f"sync-{self._destination.name}")
        return AIOKafkaConsumer(**group_options(self._settings.broker), group_id=group)

    async def _carry(self, stop: asyncio.Event) -> None:
        engine_task = asyncio.create_task(self._engine.run(), name=f"sync-{self._destination.name}")
        try:
            while not stop.is_set() and not engine_task.done():
                self.turns += 1
                room = self._limit_reading()
                batches = await self._consumer.getmany(timeout_ms=int(_POLL_S * 1000), max_records=room)
                for records in batches.values():
                    await self._take(records)
                # Records that were fetched ahead come without waiting; deliveries and health need their turn too.
                await asyncio.sleep(0)
                await self._release_when_caught_up()
                await self._obey()
                if self._failure is not None:
                    raise self._failure
            self._engine.hold()
            # One exchange may take as long as its own limit, no attempt starts any more.
            await self._engine.quiesce(self._sync.timeout_s + 1.0)
        finally:
            engine_task.cancel()
            await asyncio.wait([engine_task])
        if not engine_task.cancelled() and (error := engine_task.exception()) is not None:
            raise error
        await self._commit()

    def _limit_reading(self) -> int:
        """Pause reading at the limit, resume below its half; returns how many records to read now.

        A paused consumer stays in its group, as long as it goes on asking.
        """
        held = len(self._engine.backlog)
        if held >= self._pending_limit:
            # Each time, since partitions may have come meanwhile.
            self._consumer.pause(*self._consumer.assignment())
            self._paused = True
        elif self._paused and held <= self._pending_limit // 2:
            self._consumer.resume(*self._consumer.paused())
            self._paused = False
        return max(1, min(_POLL_RECORDS, self._pending_limit - held))

    async def _take(self, records: Iterable[Any]) -> None:
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            if record.offset < self._next.get(partition, record.offset + 1):
                # Fetched before the partition was placed or after it was taken away; whoever has it reads it again.
                continue
            self._next[partition] = record.offset + 1
            origin = Origin(record.topic, record.partition, record.offset)
            if record.value is None:
                customer_id = (record.key or b"").decode("utf-8", "replace")
                self._engine.backlog.forget(customer_id, origin)
                continue
            try:
                score = self._decoder.decode(record.value)
            except (msgspec.MsgspecError, ValueError) as error:
                await self._letters.bury_record(record, str(error))
                self._engine.backlog.pass_over(origin, "invalid")
                continue
            self._engine.backlog.offer(score, origin)

    async def _release_when_caught_up(self) -> None:
        """Sending starts once the log as it was at the assignment is read: what a later record replaces is not sent."""
        if len(self._engine.backlog) >= self._pending_limit:
            self._catch_up.clear()
        for partition, end in list(self._catch_up.items()):
            # Compaction leaves holes, so the consumer's position tells more than the last record's offset.
            if partition in self._next and await self._position(partition) >= end:
                self._catch_up.pop(partition, None)
        if self._next and not self._catch_up:
            self._engine.release()

    async def _position(self, partition: TopicPartition) -> int:
        try:
            return int(await self._consumer.position(partition))
        except IllegalStateError:
            return -1

    async def _obey(self) -> None:
        """Once a second: commit, and look whether the operator wants a pause, or all scores read again."""
        if time.monotonic() < self._commit_due:
            return
        self._commit_due = time.monotonic() + _COMMIT_EVERY_S
        await self._commit()
        reason = pauses.reason(self._settings, self._destination.name)
        if reason != self._paused_for:
            self._paused_for = reason
            self._engine.pause(paused=bool(reason))
            told = "deliveries paused" if reason else "deliveries resumed"
            _LOG.warning(told, extra={"destination": self._destination.name, "reason": reason})
        if self._ledger.asked_to_read_again() and (assigned := self._consumer.assignment()):
            await self.revoked(assigned)
            self._ledger.forget_positions()
            await self.assigned(assigned)

    async def _commit(self) -> None:
        """Step 1: the group's offsets. Step 2: the ledger's positions, which so are never ahead of the group's."""
        settled = self._engine.backlog.offsets.committable()
        news = {key: offset for key, offset in settled.items() if self._committed.get(key) != offset}
        if not news:
            return
        try:
            # Without a broker aiokafka would try for ever, also when the role is asked to stop.
            async with asyncio.timeout(_COMMIT_WITHIN_S):
                await self._consumer.commit({TopicPartition(*key): offset for key, offset in news.items()})
        except (CommitFailedError, IllegalStateError):
            # The group is moving partitions; who gets them reads from the last commit.
            return
        except (KafkaError, TimeoutError) as error:
            _LOG.warning("offsets not committed, trying again", extra={"reason": type(error).__name__})
            return
        self._committed |= news
        self._ledger.save_positions(news)

    async def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Finish what is under way, commit, and let go. The group protocol in use revokes all partitions at once."""
        self._engine.hold()
        self._next.clear()
        patience_s = min(self._sync.timeout_s, self._settings.broker.rebalance_timeout_s / 3)
        await self._engine.quiesce(patience_s)
        await self._commit()
        keys = {(partition.topic, partition.partition) for partition in partitions}
        self._engine.backlog.drop(keys)
        for key in keys:
            self._committed.pop(key, None)
        self._catch_up.clear()

    async def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Start where group and ledger agree that everything before is settled."""
        partitions = list(partitions)
        if not partitions:
            return
        begins = await self._consumer.beginning_offsets(partitions)
        ends = await log_ends(self._settings.broker, partitions)
        starts = {}
        for partition in partitions:
            committed = await self._consumer.committed(partition)
            seen = self._ledger.position(partition.topic, partition.partition)
            start = begins[partition] if committed is None or seen is None else min(committed, seen)
            # A log that was made anew is shorter than what was seen of its predecessor.
            starts[partition] = start if begins[partition] <= start <= ends[partition] else begins[partition]
        # All at once: with some of them placed and caught up, sending would start before the others are read.
        for partition, start in starts.items():
            self._consumer.seek(partition, start)
            self._next[partition] = start
            if start < ends[partition]:
                self._catch_up[partition] = ends[partition]

    def failed(self, error: Exception) -> None:
        """A callback failed; aiokafka would only log it, the loop raises it."""
        self._failure = error


async def _close(consumer: Any) -> None:
    if not await close_consumer(consumer):
        _LOG.warning("group not left in order, its other members wait for the session's end")


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """Passes the group's moves on to the lane."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._guard(self._lane.revoked(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._guard(self._lane.assigned(assigned))

    async def _guard(self, step: Any) -> None:
        try:
            await step
        except Exception as error:  # noqa: BLE001 - handed to the loop, which raises it
            self._lane.failed(error)
