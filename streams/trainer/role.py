"""The trainer role: learns from matured examples and publishes models.

One Faust agent on the one-partition topic `examples`, in the group `<prefix><app_id>-trainer`, for all horizons of the
label (`group`). Order is the guarantee:

1. When the partition is assigned: read the newest checkpoint from topic `model`.
2. Read the examples behind the checkpoint's offset, and again those before it that waited for their horizon.
3. Publish checkpoint and model, and wait until the broker has both (acks=all).
4. Only then acknowledge the chunks whose examples are in them.

So a trainer that is killed goes on exactly where its last published checkpoint was, and ends with the same bytes as
one that was never interrupted. A second trainer is a standby: it gets the partition when the first one leaves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, cast

from faust.types import TP

from models.features import FEATURE_VERSION, FEATURES
from models.settings import Settings
from streams.chunks import BatchProducer, Chunk, ChunkApp, Outgoing, ack, chunk_app, chunk_topic, run_app, wait_all
from streams.kafka import group_id
from streams.telemetry import Telemetry
from streams.topics import EXAMPLES, MODEL, QUARANTINE, topic_name
from streams.trainer.group import TrainerGroup
from streams.trainer.signals import TrainerSignals
from streams.worker.changelog import read_range, read_to_end
from streams.worker.pulse import Pulse

log = logging.getLogger(__name__)

#: Examples learned at a stretch: few enough that heartbeats and health checks are never kept waiting.
_STRETCH_EXAMPLES = 50
#: Most of the time that goes into regular publishing: large models are published less often.
_PUBLISHING_SHARE = 0.1


class Trainer:
    """Learns from matured examples, publishes models."""

    name = "trainer"

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._signals = TrainerSignals(telemetry)
        self._producer = BatchProducer(settings.broker)
        self._pulse = Pulse(settings.broker.session_timeout_s)
        self._lock = asyncio.Lock()
        self._core: TrainerGroup | None = None
        self._assigned = False
        self._unsettled: list[Any] = []
        self._failed: asyncio.Future[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Learn until `stop` is set, then publish and commit what was learned. Raises what made it fail."""
        self._failed = asyncio.get_running_loop().create_future()
        await self._producer.start()
        app = self._app()
        self._pulse.start()
        timer = asyncio.ensure_future(self._publish_regularly(app))
        try:
            await run_app(app, stop, self._failed)
        finally:
            timer.cancel()
            await asyncio.gather(timer, return_exceptions=True)
            self._pulse.stop()
            await self._producer.stop()

    def _app(self) -> ChunkApp:
        app = chunk_app(self._settings, group_id(self._settings, "trainer"))
        app.on_revoke(self._release)
        app.on_partitions_assigned.connect(cast("Any", self._take_over))
        topic = chunk_topic(app, topic_name(self._settings.broker, EXAMPLES))
        app.agent(topic, name="examples-agent")(self._consume)
        return app

    async def _take_over(self, _app: Any, assigned: set[TP], **_: Any) -> None:
        """Only note it: while this runs, no heartbeat is sent. The checkpoint is read before the first chunk."""
        self._assigned = bool(assigned)

    async def _release(self, _revoked: set[TP]) -> None:
        """Finish the stretch at work, publish, acknowledge, and forget: the next owner goes on from the checkpoint."""
        self._assigned = False
        async with self._lock:
            await self._publish()
            self._core = None
            self._unsettled.clear()

    async def _consume(self, stream: Any) -> None:
        """The agent. A chunk that arrives after the partition was taken away is left to the next owner."""
        async for event in stream.noack().events():
            try:
                async with self._lock:
                    await self._learn(event)
            except Exception as exc:
                self._fail(exc)
                raise

    async def _learn(self, event: Any) -> None:
        core = await self._load() if self._assigned else None
        if core is None:
            return
        chunk: Chunk = event.value
        await self._fill_gap(core, chunk.first_offset)
        for start in range(0, len(chunk), _STRETCH_EXAMPLES):
            refused = core.take(chunk.records[start : start + _STRETCH_EXAMPLES], time.time())
            await self._send(QUARANTINE, refused)
            await asyncio.sleep(0)
        self._unsettled.append(event)
        self._signals.learned(core)
        if core.unpublished >= self._settings.trainer.checkpoint_examples or self._holds_back():
            await self._publish()

    async def _fill_gap(self, core: TrainerGroup, until: int) -> None:
        """Read what lies between the checkpoint and the first chunk: the committed offset can be ahead of it.

        That is so when the checkpoint which the commit was made for is damaged, or was replaced by an older one.
        """
        if core.position + 1 < until:
            topic = topic_name(self._settings.broker, EXAMPLES)
            async for records in read_range(self._settings.broker, topic, 0, core.position + 1, until - 1):
                await self._send(QUARANTINE, core.take(records, time.time()))
                self._signals.reading()
            core.skip_to(until - 1)

    def _held(self) -> int:
        """Records that were taken and wait for the next published model to be acknowledged."""
        return sum(len(event.value) for event in self._unsettled)

    def _full(self) -> bool:
        """Whether all chunks that the transport hands out at a time are held: none comes before a publishing."""
        return len(self._unsettled) >= self._settings.worker.max_chunks_per_partition

    def _holds_back(self) -> bool:
        """Whether a backlog waits for us; a few small chunks can wait for the regular publishing."""
        return self._full() and self._held() >= self._settings.worker.chunk_records

    async def _publish_regularly(self, app: ChunkApp) -> None:
        """Publish what is new, at most every `publish_every_s`, and show in between that the trainer is alive."""
        trainer, next_at = self._settings.trainer, 0.0
        try:
            while True:
                await asyncio.sleep(min(trainer.publish_every_s, self._settings.worker.tick_s))
                async with self._lock:
                    if self._assigned:
                        await self._load()
                    if (begun := time.monotonic()) >= next_at:
                        await self._publish()
                        took_s = time.monotonic() - begun
                        next_at = begun + max(trainer.publish_every_s, took_s / _PUBLISHING_SHARE)
                lag = app.lag()
                # What lags beyond the records held has not come to us yet, unless we hold it back ourselves.
                waiting = sum(lag.values()) > self._held() and not self._full()
                self._signals.tick(lag, waiting=waiting or not app.in_touch())
        except Exception as exc:  # noqa: BLE001 - passed on through the future that ends the role
            self._fail(exc)

    async def _publish(self) -> None:
        """Steps 3 and 4. Chunks without anything new to publish are acknowledged as they are."""
        core, events = self._core, self._unsettled
        if core is None:
            return
        if core.unpublished:
            await self._send(MODEL, core.publication())
            self._signals.published(core)
        self._unsettled = []
        for event in events:
            ack(event)

    async def _load(self) -> TrainerGroup:
        """The core, restored from topic `model` if the partition was just taken over."""
        if self._core is None:
            core = TrainerGroup(self._settings, FEATURES, FEATURE_VERSION)
            stored = core.stored()
            async for records in read_to_end(self._settings.broker, topic_name(self._settings.broker, MODEL), 0):
                for record in records:
                    stored.add(record.key, record.value)
            core.restore(stored)
            await self._put_back(core)
            learned = ", ".join(f"{one.key}: {one.learner.examples} examples" for one in core.cores)
            log.info("trainer goes on with %s, behind offset %d", learned, core.offset)
            self._core = core
            self._signals.restored(core)
        return self._core

    async def _put_back(self, core: TrainerGroup) -> None:
        """Read again what waited for its horizon when the checkpoint was written, and what repeats are told by."""
        if core.offset >= 0:
            topic = topic_name(self._settings.broker, EXAMPLES)
            async for records in read_range(self._settings.broker, topic, 0, core.read_back_from, core.offset):
                core.put_back(records)
                self._signals.reading()
        core.all_put_back()

    async def _send(self, logical: str, records: Sequence[Outgoing]) -> None:
        """Send in order to partition 0 and wait for the broker; raises the first failure.

        Raises StoodStill, and sends nothing, if this process was stopped so long that it may have lost the partition.
        """
        if records:
            self._pulse.check()
            await wait_all(await self._producer.send(topic_name(self._settings.broker, logical), 0, records))

    def _fail(self, exc: Exception) -> None:
        log.error("trainer fails: %r", exc, exc_info=exc)
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(exc)
