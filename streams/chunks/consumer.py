"""A Faust consumer that hands out chunks, with the commit path made safe.

What it does otherwise than `faust.transport.drivers.aiokafka.Consumer` of 0.15.3, and why, stands with the tests that
hold it in the table of `streams.chunks`. In short: `getmany` yields chunks and leaves a partition alone while it has
enough chunks in flight; what may be committed is told by `ChunkTracker` alone; a revocation settles and commits first.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message
from mode import Service

from streams.chunks.chunk import Chunk
from streams.chunks.tracker import ChunkTracker
from streams.kafka import close_consumer, group_options, started_consumer

_IDLE_WAIT_S = 0.05
_COMMIT_WITHIN_S, _LOOK_AGAIN_S = 10.0, 0.1


class ChunkConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the aiokafka consumer."""

    def _create_worker_consumer(self, _transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        app = cast("Any", self.app)
        broker = app.ebbtide_settings.broker
        # A worker holds a fetch of every partition of four topics, so each is small.
        options = group_options(broker) | {"max_partition_fetch_bytes": 1024 * 1024}
        return aiokafka.AIOKafkaConsumer(
            **options,
            group_id=app.conf.id,
            partition_assignment_strategy=[RangePartitionAssignor],
            # How long a member that fetches nothing stays in the group: it may wait for a broker to take its writes.
            max_poll_interval_ms=int((broker.delivery_timeout_s + 3600) * 1000),
            metadata_max_age_ms=30_000,
        )

    async def on_start(self) -> None:
        """Called by Faust at the start, in the thread."""
        self.time_started = time.monotonic()
        broker = cast("Any", self.app).ebbtide_settings.broker
        self._consumer = await started_consumer(broker, lambda: self._create_consumer(loop=self.thread_loop))

    async def on_thread_stop(self) -> None:
        """Called by Faust at the end, in the thread."""
        # Not the class above: it would let a cancellation of aiokafka's out that nobody asked for.
        await super(driver.AIOKafkaConsumerThread, self).on_thread_stop()
        if self._consumer is not None:
            await close_consumer(self._consumer)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        held = self.assignment()
        wanted = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items() if tp in held}
        if not wanted:
            return False
        try:
            # Without a broker aiokafka would try for ever, also when the role is asked to stop.
            async with asyncio.timeout(_COMMIT_WITHIN_S):
                await consumer.commit(wanted)
        except (CommitFailedError, IllegalStateError, KafkaError, TimeoutError) as exc:
            # Nothing is lost: the position stays where it is and the timer tries again; after a
            # rebalance the partition's new owner starts from the older offset and skips what it knows.
            self.log.warning("commit refused for %d partitions: %r", len(wanted), exc)
            return False
        return True


class _NoReadOffsets(defaultdict[TP, Any]):
    """Faust drops messages at or below a read offset that it may set after a seek; the tracker keeps order here."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def __setitem__(self, tp: TP, offset: Any) -> None:
        """Remember nothing."""


class ChunkConsumer(driver.Consumer):
    """See the module's docstring."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        worker = cast("Any", self.app).ebbtide_settings.worker
        self._chunk_records: int = worker.chunk_records
        self._max_chunks: int = worker.max_chunks_per_partition
        self._trackers: dict[TP, ChunkTracker] = {}
        self._slices: dict[TP, deque[Sequence[Any]]] = {}
        #: Counts the times that the fetch position was set anew; a fetch begun before is not to be used.
        self._seeks = 0
        #: Held while a fetch is under way: it must not straddle a seek, or its records would be skipped.
        self._fetching = asyncio.Lock()
        self._read_offset = _NoReadOffsets()

    def _new_consumer_thread(self) -> ChunkConsumerThread:
        # A loop of the kind that the role runs on; Faust would take Python's own.
        loop = type(self.loop)()
        thread = ChunkConsumerThread(self, loop=self.loop, beacon=self.beacon, thread_loop=loop)
        # Given from outside, a loop is left open.
        thread._close_thread_loop_on_stop = True
        return thread

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 - Faust's name
        """Yield (partition, message whose value is a Chunk), taking turns between partitions."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
        generation = self.app.consumer_generation_id
        await self._fetch(timeout)
        more = True
        while more:
            more = False
            for tp in list(self._slices):
                # Interrupted: the fetch position is ahead of what was handed out, but the resume after
                # the rebalance seeks back to the committed offsets, so nothing is skipped.
                if self._interrupted(generation):
                    return
                if self._deliverable(tp):
                    more = True
                    yield tp, self._chunk_message(tp, self._slices[tp].popleft())

    async def _fetch(self, timeout_s: float) -> None:
        """Fetch for partitions that have room and nothing fetched; wait only if nothing can be handed out."""
        active = self._get_active_partitions()
        wanted = {tp for tp in active if self._has_room(tp) and not self._slices.get(tp)}
        deliverable = any(self._deliverable(tp) for tp in self._slices)
        if not wanted:
            await self.sleep(0.0 if deliverable else _IDLE_WAIT_S)
            return
        if deliverable:
            timeout_s = 0.0
        elif len(wanted) < len(active):
            # A partition that gets room meanwhile must not wait for the others' next record.
            timeout_s = _IDLE_WAIT_S
        size, seeks = self._chunk_records, self._seeks
        async with self._fetching:
            fetched = await self._getmany(active_partitions=wanted, timeout=timeout_s) or {}
        if seeks != self._seeks:
            # Partitions were taken away meanwhile. The seek that follows waits for this fetch to end, so it also
            # sets back the positions that the fetch moved on.
            return
        for raw, records in fetched.items():
            slices = (records[start : start + size] for start in range(0, len(records), size))
            self._slices.setdefault(TP(*raw), deque()).extend(slices)

    def _deliverable(self, tp: TP) -> bool:
        return bool(self._slices[tp]) and self._has_room(tp) and tp in self._get_active_partitions()

    def _interrupted(self, generation: int) -> bool:
        return not self.flow_active or self.app.consumer_generation_id != generation

    def _has_room(self, tp: TP) -> bool:
        tracker = self._trackers.get(tp)
        return tracker is None or tracker.in_flight < self._max_chunks

    def _chunk_message(self, tp: TP, records: Sequence[Any]) -> ConsumerMessage:
        tracker = self._trackers.setdefault(tp, ChunkTracker())
        chunk, last = Chunk(tp.topic, tp.partition, records, self.highwater(tp), tracker), records[-1]
        tracker.add(chunk.first_offset, chunk.last_offset)
        return ConsumerMessage(
            tp.topic, tp.partition, chunk.last_offset, last.timestamp / 1000.0, last.timestamp_type,
            [], None, cast("Any", chunk), None, 0, len(records), tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def ack(self, message: Message) -> bool:
        """Settle a chunk that was given to `ack`. Chunks of partitions that were taken away are ignored.

        Faust itself acknowledges events that a stream skips while partitions are taken away: those were
        not processed, and settling them would lose them.
        """
        self._unacked_messages.discard(message)
        chunk = cast("Chunk", message.value)
        if message.acked or not chunk.durable:
            return False
        message.acked = True
        tracker = self._trackers.get(message.tp)
        # A chunk of an earlier generation must not settle one that ends alike but begins before it.
        return tracker is not None and tracker is chunk.tracker and tracker.settle(chunk.last_offset)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._trackers) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        tracker = self._trackers.get(tp)
        return tracker.position() if tracker else None

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps need no bookkeeping: the tracker works on chunks."""

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        committing = asyncio.ensure_future(self._commit(offsets))
        while not committing.done():
            if self._thread.should_stop:
                # A thread that ends serves no calls, and waits for the revocation that may be waiting here.
                committing.cancel()
                return False
            await asyncio.wait([committing], timeout=_LOOK_AGAIN_S)
        if not committing.result():
            return False
        self._committed_offset.update(offsets)
        return True

    async def perform_seek(self) -> None:
        """Seek to the committed offsets and forget what was in flight before."""
        self._forget()
        async with self._fetching:
            committed = await self.seek_to_committed()
            self._committed_offset.update({TP(*tp): offset or None for tp, offset in committed.items()})
            self._forget()

    def _forget(self) -> None:
        self._seeks += 1
        self._trackers.clear()
        self._slices.clear()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Settle and commit what is in flight, then let Faust drop its bookkeeping."""
        self.stop_flow()
        try:
            await cast("Any", self.app).before_revoke(revoked)
        except Exception as exc:  # noqa: BLE001 - aiokafka would only log it; this ends the app, and so the role
            await self.app.crash(exc)
        await self.commit_settled()
        await super().on_partitions_revoked(revoked)
        self._forget()

    async def commit_settled(self) -> None:
        """Commit all that is settled now: Faust's `commit` does nothing while another one is under way."""
        await self.maybe_wait_for_commit_to_finish()
        await self.commit()

    @Service.task
    async def _commit_livelock_detector(self) -> None:
        """Faust's check only logs, and reads fields that differ here; health is the role's own."""

    def assignment(self) -> set[TP]:
        """The assigned partitions; none before the consumer's thread has started."""
        return super().assignment() if self._thread._consumer is not None else set()

    def quiet(self, tp: TP, since: float) -> bool:
        """Whether a fetch answered at or after `since` (epoch seconds) found nothing that was not handed out.

        The end of the log alone does not tell: it is only as fresh as the last answer. Against it stands the
        fetch position, not the last record: markers of transactions at the end are no records.
        """
        if tp not in self.assignment() or self._slices.get(tp):
            return False
        state = self._state(tp)
        if state is None or state.timestamp is None or state.highwater is None or not state.has_valid_position:
            return False
        return bool(state.timestamp >= since * 1000 and state.position >= state.highwater)

    def in_touch(self, within_s: float) -> bool:
        """Whether a fetch was answered within the last seconds, or nothing is assigned that could be fetched."""
        states = [self._state(tp) for tp in self.assignment()]
        since_ms = (time.time() - within_s) * 1000
        return not states or any(state and state.timestamp and state.timestamp >= since_ms for state in states)

    def _state(self, tp: TP) -> Any:
        return self._thread._ensure_consumer()._subscription.subscription.assignment.state_value(TopicPartition(*tp))

    def lag(self) -> dict[TP, int]:
        """Records between the commit position and the end of each assigned partition, where known."""
        return dict(self._lags(self.assignment()))

    def _lags(self, assigned: Iterable[TP]) -> Iterator[tuple[TP, int]]:
        for tp in assigned:
            end = self.highwater(tp)
            position = self._new_offset(tp) or self._committed_offset[tp]
            if end is not None:
                yield tp, max(0, end - (position or 0))


class ChunkTransport(driver.Transport):
    """Faust's aiokafka transport with the chunk consumer."""

    Consumer = ChunkConsumer
