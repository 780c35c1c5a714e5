"""One partition of the worker: its buffer, its engine, and the loop that makes effects durable in order.

A turn of the loop is

1. take what is buffered, in event-time order;
2. apply it to the engine and flush: changed states, scores, examples;
3. send all of it, with the quarantine and re-routed records of the finished chunks;
4. when the broker has acknowledged everything, acknowledge the chunks - in the order of the turns.

Up to `_MAX_UNSETTLED` turns may wait for the broker at a time. A failure anywhere ends the worker without
acknowledging, so that everything unsettled is read again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from models.churn.serving import ServingModel
from models.engine import Engine, Flush, Outcome
from models.events.types import Rejection
from models.settings import Settings
from models.state import StateError
from streams.chunks import BatchProducer, Chunk, Outgoing, ack, wait_all
from streams.topics import CHANGELOG, CLICKSTREAM, CONTACT_CENTER, EXAMPLES, PURCHASES, REROUTED, SCORES, topic_name
from streams.worker.align import Aligner, Batch, Item
from streams.worker.changelog import read_to_end
from streams.worker.clock import EventClock, WallClock
from streams.worker.intake import Intake
from streams.worker.signals import WorkerSignals

log = logging.getLogger(__name__)

TOPICS = (CLICKSTREAM, PURCHASES, CONTACT_CENTER, REROUTED)
_MAX_UNSETTLED = 4
_TURN_EVENTS = 1000
_json = msgspec.json.Encoder()
Routed = list[tuple[str, int, Outgoing]]


class Partition:
    """See the module's docstring. Made at assignment, dropped at revocation."""

    def __init__(
        self, number: int, settings: Settings, producer: BatchProducer, intake: Intake,
        signals: WorkerSignals, model: Callable[[], ServingModel], quiet: Callable[[str, float], bool],
    ) -> None:  # fmt: skip
        self.number = number
        self.engine = Engine(settings, model(), tuple(f"{topic}/{number}" for topic in TOPICS))
        self.loaded = asyncio.Event()
        self._settings = settings
        self._producer = producer
        self._intake = intake
        self._signals = signals
        self._model = model
        event_time = settings.worker.clock == "event"
        self._clock: EventClock | WallClock = EventClock(settings.score.rescore_every_s) if event_time else WallClock()
        self._aligner = Aligner(TOPICS, settings.worker.align_idle_s if event_time else 0.0, time.time, quiet)
        self._wake = asyncio.Event()
        self._routed: dict[int, Routed] = {}
        self._unsettled: deque[tuple[list[asyncio.Future[Any]], list[Batch]]] = deque()
        self._settling = asyncio.Lock()

    def put(self, chunk: Chunk, logical: str, faust_event: Any) -> None:
        """Decode a chunk and buffer it. The transport bounds how many chunks are given out."""
        batch, routed = self._intake.decode(chunk, logical, faust_event, time.time())
        self._routed[id(batch)] = routed
        self._aligner.add(batch)
        self._wake.set()

    def wake(self) -> None:
        """Look again soon, for example because the clock moved."""
        self._wake.set()

    def now(self) -> float:
        """The partition's clock in epoch seconds."""
        return self._clock.now()

    async def run(self) -> None:
        """Load the state, then take turns until cancelled."""
        await self._load()
        while True:
            await self._wait()
            more = True
            while more:
                more = await self._turn()
                # Turns are long computations: let the transport fetch and the broker answer in between.
                await asyncio.sleep(0)

    async def drain(self) -> None:
        """Drop what is buffered, wait for what was begun. Call after cancelling `run`."""
        self._aligner.clear()
        self._routed.clear()
        await self._settle(0)

    # -- recovery ------------------------------------------------------------------------------------

    async def _load(self) -> None:
        started, count = time.monotonic(), 0
        broker = self._settings.broker
        async for records in read_to_end(broker, topic_name(broker, CHANGELOG), self.number):
            for record in records:
                self.engine.load(record.key.decode(), record.value)
            count += len(records)
        self.engine.loaded()
        self.engine.model = self._model()
        took = time.monotonic() - started
        log.info(
            "partition %d restored: %d customers from %d records in %.1f s", self.number, len(self.engine), count, took
        )
        self.loaded.set()

    # -- turns ---------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the wake-up, and the
        # revocation that cancels this task would wait for it forever.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.worker.tick_s):
                await self._wake.wait()
        self._wake.clear()

    async def _turn(self) -> bool:
        """One turn; True if there may be more to do at once."""
        started = time.perf_counter()
        self._take_model()
        items, done = self._aligner.take(_TURN_EVENTS)
        flushes: list[Flush] = []
        outcomes: dict[Outcome, int] = {}
        for item in items:
            for moment in self._clock.passed(item.time):
                flushes += self._flush(moment)
                # A step of the clock scores every silent customer; others must get their turn in between.
                await asyncio.sleep(0)
            outcome = self._apply(item)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        more = bool(items or done)
        if more or self._clock.runs_alone:
            flushes += self._flush(self._clock.now())
        if not more and not any(f.states or f.scores for f in flushes):
            # What waits may be a topic that gets no room before its chunks in flight are acknowledged.
            await self._settle(0)
            return False
        await self._send(flushes, done)
        self._signals.turn(self.number, outcomes, flushes, self.engine, time.perf_counter() - started)
        return more

    def _flush(self, now: float) -> list[Flush]:
        """Flush until nothing is due any more as of `now`."""
        flushes = [self.engine.flush(now, time.time())]
        while self.engine.has_due(now):
            flushes.append(self.engine.flush(now, time.time()))
        return flushes

    def _apply(self, item: Item) -> Outcome:
        event, source, offset = item.event, item.source, item.offset
        try:
            return self.engine.apply(event, source, offset)
        except StateError:
            # Not this event's fault: going on would lose what the customer's state holds.
            raise
        except Exception:
            # A defect of ours on one event must not stop the others.
            log.exception("cannot apply event %s of %s at %s@%d", event.name, event.customer_id, source, offset)
            why = Rejection("internal_error", traceback.format_exc(limit=-3))
            routed = self._intake.quarantine(why, source.rpartition("/")[0], item.record, time.time())
            self._routed.setdefault(0, []).append(routed)
            return "internal_error"

    def _take_model(self) -> None:
        model = self._model()
        if model is not self.engine.model:
            switched = model.source != self.engine.model.source
            self.engine.model = model
            if switched and self._clock.runs_alone:
                self.engine.recheck_all()

    # -- durability ----------------------------------------------------------------------------------

    async def _send(self, flushes: list[Flush], done: list[Batch]) -> None:
        await self._settle(_MAX_UNSETTLED - 1)
        futures: list[asyncio.Future[Any]] = []
        for (logical, partition), records in self._outgoing(flushes, done).items():
            futures += await self._producer.send(topic_name(self._settings.broker, logical), partition, records)
        self._unsettled.append((futures, done))
        if not self._aligner.buffered:
            await self._settle(0)

    def _outgoing(self, flushes: list[Flush], done: list[Batch]) -> dict[tuple[str, int], list[Outgoing]]:
        out: dict[tuple[str, int], list[Outgoing]] = {}
        for flush in flushes:
            states = [Outgoing(key.encode("utf-8", "replace"), value) for key, value in flush.states]
            scores = [Outgoing(s.customer_id.encode("utf-8", "replace"), _json.encode(s)) for s in flush.scores]
            examples = [Outgoing(e.customer_id.encode("utf-8", "replace"), _json.encode(e)) for e in flush.examples]
            for where, records in (
                ((CHANGELOG, self.number), states), ((SCORES, self.number), scores), ((EXAMPLES, 0), examples),
            ):  # fmt: skip
                if records:
                    out.setdefault(where, []).extend(records)
        for key in [0, *(id(batch) for batch in done)]:
            for logical, partition, record in self._routed.pop(key, ()):
                out.setdefault((logical, partition), []).append(record)
        return out

    async def _settle(self, keep: int) -> None:
        """Wait until at most `keep` turns are unsettled, acknowledging chunks in order."""
        async with self._settling:
            while len(self._unsettled) > keep:
                futures, batches = self._unsettled[0]
                await wait_all(futures)
                self._unsettled.popleft()
                for batch in batches:
                    ack(batch.faust_event)
                self._signals.settled()
