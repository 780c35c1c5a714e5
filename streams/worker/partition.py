"""One partition of the worker: its buffer, its engine, and the loop of turns.

A turn of the loop is

1. take what is buffered, in event-time order;
2. apply it to the engine and flush: changed states, scores, examples;
3. hand all of it, with the quarantine and re-routed records of the finished chunks, to the `Outbox`, which makes it
   durable and then acknowledges the chunks.

Before the first turn `Recovery` restores the state and claims the partition; between turns `Upkeep` looks after it.
A failure anywhere ends the worker without acknowledging, so that everything unsettled is read again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from models.churn.serving import ServingModel
from models.customer import inspect
from models.engine import LATE, Engine, Outcome
from models.events.types import Rejection
from models.features import FEATURE_VERSION, FEATURES
from models.settings import Settings
from models.state import StateError
from streams.chunks import BatchProducer, Chunk, Outgoing
from streams.topics import CLICKSTREAM, CONTACT_CENTER, PURCHASES, REROUTED
from streams.worker.align import Aligner, Batch, Item
from streams.worker.attic import Attic, AtticUnusable
from streams.worker.clock import EventClock, WallClock
from streams.worker.intake import Intake
from streams.worker.keeper import Keeper
from streams.worker.model_feed import Published, use_models
from streams.worker.outbox import Outbox, Place
from streams.worker.ownership import Ownership
from streams.worker.pulse import Pulse
from streams.worker.recovery import Recovery
from streams.worker.signals import WorkerSignals
from streams.worker.turn import Turn
from streams.worker.upkeep import Ends, Upkeep

log = logging.getLogger(__name__)

TOPICS = (CLICKSTREAM, PURCHASES, CONTACT_CENTER, REROUTED)
_TURN_EVENTS = 4000
#: Scores and states after which they are sent within a turn: a step of the clock may bring forth millions.
_SEND_FROM = 2000
#: Least seconds between the beginnings of two turns once nothing is buffered.
_GATHER_S = 0.02
Routed = list[tuple[str, int, Outgoing]]


class Services(NamedTuple):
    """What all partitions of a worker share."""

    producer: BatchProducer
    intake: Intake
    signals: WorkerSignals
    keeper: Keeper
    pulse: Pulse
    ends: Ends


class Partition:
    """See the module's docstring. Made at assignment, dropped at revocation."""

    def __init__(
        self, number: int, settings: Settings, services: Services, models: Callable[[], Iterable[Published]],
        quiet: Callable[[str, float], bool],
    ) -> None:  # fmt: skip
        self.number = number
        initial = ServingModel.initial(FEATURES, FEATURE_VERSION, settings.label)
        self.engine = Engine(settings, initial, tuple(f"{topic}/{number}" for topic in TOPICS))
        self.loaded = asyncio.Event()
        self._settings = settings
        self._services = services
        self._models = models
        self._moves: dict[str, int] = {}
        event_time = settings.worker.clock == "event"
        self._clock: EventClock | WallClock = EventClock(settings.score.rescore_every_s) if event_time else WallClock()
        self._aligner = Aligner(TOPICS, settings.worker.align_idle_s if event_time else 0.0, time.time, quiet)
        self._wake = asyncio.Event()
        self._routed: dict[int, Routed] = {}
        self._attic: Attic | None = None
        self._ownership = Ownership(settings.broker, number, services.producer, services.signals.foreign)
        self._outbox = Outbox(
            settings.broker, self._ownership, services.producer, services.pulse.check, self._on_settled
        )
        self._upkeep: Upkeep | None = None
        self._retold = False
        self._finishing = False
        self._turned_at = 0.0

    def put(self, chunk: Chunk, logical: str, faust_event: Any) -> None:
        """Decode a chunk and buffer it. The transport bounds how many chunks are given out."""
        batch, routed = self._services.intake.decode(chunk, logical, faust_event, time.time(), self.engine.known)
        self._routed[id(batch)] = routed
        self._aligner.add(batch)
        self._wake.set()

    def wake(self) -> None:
        """Look again soon, for example because the clock moved."""
        self._wake.set()

    def now(self) -> float:
        """The partition's clock in epoch seconds."""
        return self._clock.now()

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        """Everything known of one customer, in memory or evicted; None if unknown."""
        facts = self.engine.customer(customer_id, self.now())
        if facts is None and self._attic is not None and (raw := self._attic.take(customer_id)) is not None:
            return inspect(customer_id, raw, self.now(), tuple(f"{topic}/{self.number}" for topic in TOPICS))
        return facts

    async def run(self) -> None:
        """Restore the state, then take turns until cancelled or told to finish."""
        try:
            self._attic = await self._services.keeper.open_attic(self.number)
            upkeep = await self._recover()
            while not self._finishing:
                await self._wait()
                more = True
                while more and not self._finishing:
                    more = await self._turn()
                    if upkeep.due:
                        await self._outbox.settle()
                        self._retold |= await upkeep.visit(self.now())
                    # Turns are long computations: let the transport fetch and the broker answer in between.
                    await asyncio.sleep(0)
            await self._outbox.settle()
            if not self._retold and not self._ownership.doubted:
                await upkeep.keep(self.now())
        finally:
            if self._attic is not None:
                self._attic.close()

    def finish(self) -> bool:
        """Ask `run` to settle, keep the state and return after the turn. False if it has not begun to take turns."""
        self._finishing = True
        self._wake.set()
        return self.loaded.is_set()

    async def drain(self) -> None:
        """Drop what is buffered, wait for what was begun. Call after `run` has ended."""
        self._aligner.clear()
        self._routed.clear()
        try:
            await self._outbox.settle()
        finally:
            await self._outbox.close()

    # -- recovery ------------------------------------------------------------------------------------

    async def _recover(self) -> Upkeep:
        started, services = time.monotonic(), self._services

        def progress(done: int, total: int) -> None:
            services.signals.restoring(self.number, done, total)

        progress(0, 0)
        recovery = Recovery(self._settings.broker, self.engine, self._ownership, services.keeper, self._attic, progress)
        await recovery.run()
        use_models(self._models(), self.engine.models, self._moves)
        self._clock.resume(recovery.clock)
        self._retold = bool(recovery.retold)
        self._outbox.durable_until = self.engine.newest_snapshot
        if self._attic is not None:
            self.engine.missing = self._attic.take
        services.signals.restored(self.number)
        log.info(
            "partition %d restored: %d customers, %d records read, in %.1f s; epoch %d",
            self.number, len(self.engine), recovery.records, time.monotonic() - started, self._ownership.epoch,
        )  # fmt: skip
        self.loaded.set()
        return Upkeep(
            self._settings, self.engine, self._ownership, services.keeper, self._attic, services.signals, services.ends
        )

    # -- turns ---------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the wake-up, and the
        # revocation that cancels this task would wait for it forever.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.worker.tick_s):
                await self._wake.wait()
        # A flush costs a millisecond or two however few its events are, so a trickle is gathered a little.
        early_s = self._turned_at + _GATHER_S - time.monotonic()
        if early_s > 0.0 and not self._finishing:
            await asyncio.sleep(early_s)
        self._wake.clear()

    async def _turn(self) -> bool:
        """One turn; True if there may be more to do at once."""
        started, self._turned_at = time.perf_counter(), time.monotonic()
        if use_models(self._models(), self.engine.models, self._moves) and self._clock.runs_alone:
            self.engine.recheck_all()
        for topic in self._aligner.idle(self._settings.worker.align_idle_s):
            self.engine.idle(f"{topic}/{self.number}")
        items, done = self._aligner.take(_TURN_EVENTS)
        turn = Turn(items)
        for item in items:
            for moment in self._clock.passed(item.time):
                await self._flush(moment, turn)
                # A step of the clock scores every silent customer; others must get their turn in between.
                await asyncio.sleep(0)
            turn.outcomes[self._apply(item)] += 1
        more = bool(items or done)
        self.engine.durable_until = self._outbox.durable_until
        if more or self._clock.runs_alone or self._retold or self.engine.holds_ready:
            await self._flush(self.now() or max(0.0, self.engine.watermark), turn)
            self._retold = False
        if not more and not any(flush.states or flush.scores for flush in turn.flushes):
            self._outbox.check()
            return False
        await self._send(turn, done)
        self._services.signals.turn(
            self.number, turn.outcomes, turn.flushes, self.engine, time.perf_counter() - started
        )
        return more

    async def _flush(self, now: float, turn: Turn) -> None:
        """Flush until nothing is due any more as of `now`; what becomes too much is sent at once."""
        self._flush_once(now, turn)
        while self.engine.has_due(now):
            await asyncio.sleep(0)
            if sum(len(flush.scores) + len(flush.states) for flush in turn.flushes) >= _SEND_FROM:
                await self._send(turn, [])
                self._services.signals.flushed(turn.flushes)
                turn.flushes.clear()
            self._flush_once(now, turn)

    def _flush_once(self, now: float, turn: Turn) -> None:
        self.engine.durable_until = self._outbox.durable_until
        turn.flushes.append(self.engine.flush(now, time.time()))
        turn.clock = now
        if self.engine.poison:
            # Events that could not be folded in: they are known as read from now on, and changed nothing.
            found = {(item.source, item.offset): item for item in turn.items}
            for one in self.engine.poison:
                self._refuse(found[one.source, one.offset], one.traceback)
            turn.outcomes["internal_error"] += len(self.engine.poison)
            turn.outcomes["applied"] -= len(self.engine.poison)
            self.engine.poison.clear()

    def _apply(self, item: Item) -> Outcome:
        event, source, offset = item.event, item.source, item.offset
        try:
            outcome = self.engine.apply(event, source, offset, item.time)
        except (StateError, AtticUnusable):
            # Not this event's fault: going on would lose what the customer's state holds.
            raise
        except Exception:  # noqa: BLE001 - a defect of ours on one event must not stop the others
            self._refuse(item, traceback.format_exc(limit=-3))
            return "internal_error"
        if outcome == LATE:
            days = (self.engine.watermark - event.time) / 86_400.0
            self._quarantine(item, Rejection("late", f"{days:.1f} days behind the watermark of its partition"))
        return outcome

    def _refuse(self, item: Item, why: str) -> None:
        event, source, offset = item.event, item.source, item.offset
        log.error("cannot apply event %s of %s at %s@%d: %s", event.name, event.customer_id, source, offset, why)
        self._quarantine(item, Rejection("internal_error", why))

    def _quarantine(self, item: Item, why: Rejection) -> None:
        logical, _, partition = item.source.rpartition("/")
        origin = (int(partition), item.offset)
        routed = self._services.intake.quarantine(why, logical, item.record, time.time(), origin)
        self._routed.setdefault(0, []).append(routed)

    def _on_settled(self) -> None:
        self._services.signals.settled()
        self.engine.durable_until = self._outbox.durable_until
        if self.engine.holds_ready:
            self._wake.set()

    # -- durability ----------------------------------------------------------------------------------

    async def _send(self, turn: Turn, done: list[Batch]) -> None:
        outputs: dict[Place, list[Outgoing]] = {}
        for key in [0, *(id(batch) for batch in done)]:
            for logical, partition, record in self._routed.pop(key, ()):
                outputs.setdefault((logical, partition), []).append(record)
        made, states = turn.records(self.number)
        outputs |= made
        await self._outbox.put(outputs, states, done, turn.clock)
