"""The delivery engine of one destination: when a request may go, what it holds, how it ended.

It knows neither Kafka nor HTTP: scores come in by its `backlog`, requests leave by a function. Everything runs in
one event loop, so there are no locks; the order of the steps of an attempt is the guarantee.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from models.settings import SyncSettings
from streams.destinations.base import Destination
from streams.destinations.contract.messages import Reply, Request, Verdict
from streams.sync.backlog import Backlog
from streams.sync.batches import Batch, Batcher
from streams.sync.dead_letters import DeadLetter
from streams.sync.endings import Endings
from streams.sync.http import ForbiddenAddress, SendFailed
from streams.sync.ledger import Ledger
from streams.sync.rates import Budget, Hint, hint_of
from streams.sync.report import Report
from streams.sync.retry import Backoff, Breaker

#: A destination counts as down after so many failures in a row: two full rounds of the allowed concurrency.
_DOWN_ROUNDS = 2
_DOWN_AT_LEAST = 10


class Engine:
    """Delivers the newest score of each customer, in bounded parallel, at least once, under a stable id.

    Parameters
    ----------
    send
        One exchange. Raises SendFailed or ForbiddenAddress.
    bury
        Writes a dead letter and returns once it is safe. Raises BuryFailed.
    budget
        What the credential may still send; shared by the destinations that use the same one.
    monotonic, wall
        Clocks in seconds: for waiting, and for what is signed or remembered.
    """

    def __init__(
        self,
        destination: Destination[Any],
        settings: SyncSettings,
        ledger: Ledger,
        report: Report,
        *,
        send: Callable[[Request], Awaitable[Reply]],
        bury: Callable[[DeadLetter], Awaitable[None]],
        budget: Budget | None = None,
        rng: random.Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._destination, self._settings, self._ledger, self._report = destination, settings, ledger, report
        self._send, self._monotonic, self._wall = send, monotonic, wall
        rng = rng or random.Random()
        self._concurrency = min(settings.concurrency, destination.limits.concurrency)
        self._budget = budget or Budget(destination.limits.windows, destination.limits.concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._held, self._paused = True, False
        self._wake = asyncio.Event()
        self._budget.listen(self._wake.set)
        backoff = Backoff(settings.retry_base_s, settings.retry_cap_s)
        self.breaker = Breaker(backoff, max(_DOWN_AT_LEAST, _DOWN_ROUNDS * self._concurrency), rng)
        self.backlog = Backlog(
            destination,
            ledger,
            report,
            only_likely=settings.only_likely,
            monotonic=monotonic,
            changed=self._wake.set,
        )
        self._batcher = Batcher(destination, self.backlog)
        self._endings = Endings(
            destination, settings, ledger, report, self.backlog, self._batcher, self.breaker, backoff,
            bury=bury, rng=rng, monotonic=monotonic, wall=wall,
        )  # fmt: skip

    def hold(self) -> None:
        """Start no new attempts: partitions are moving, or records that may replace others are still to be read."""
        self._held = True

    def release(self) -> None:
        self._held = False
        self._wake.set()

    def pause(self, *, paused: bool) -> None:
        """Stop or go on sending, as the operator wants."""
        self._paused = paused
        self._wake.set()

    async def quiesce(self, timeout_s: float) -> bool:
        """Wait for the attempts under way, at most `timeout_s`; True if none is left."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        return not self._tasks

    async def run(self) -> None:
        """Start attempts as they become due, until cancelled. Attempts under way are then cancelled too.

        Raises
        ------
        ExceptionGroup
            Of whatever an attempt could not cope with, such as a ledger that cannot be written.
        """
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                while (batch := self._next()) is not None:
                    task = group.create_task(self._attempt(batch))
                    self._tasks.add(task)
                    task.add_done_callback(self._landed)
                await self._until_due()

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    def _next(self) -> Batch | None:
        now, at_work = self._monotonic(), len(self._tasks)
        if self._held or self._paused or at_work >= self._concurrency:
            return None
        for opens in (self._batcher.ready_at(now), self._budget.opens_at(now)):
            if opens is None or opens > now:
                return None
        batch = self._batcher.take(now, self._wall()) if self.breaker.allows(now, at_work) else None
        if batch is not None and batch.request is not None:
            # Counted here and not in its task, which runs only after others may have been started.
            self._budget.start()
        return batch

    async def _until_due(self) -> None:
        """Wait until an attempt may have become possible: by an event, a due time or the end of a pause."""
        now = self._monotonic()
        times = (self._batcher.ready_at(now), self.breaker.wakes_at(), self._budget.opens_at(now))
        delay_s: float | None = None
        if not self._held and not self._paused and None not in times:
            delay_s = max(time for time in times if time is not None) - now
            if delay_s <= 0.0 and self._tasks:
                # No slot is free, or a probe is under way: its end is an event.
                delay_s = None
        try:
            # Not `wait_for`, which before Python 3.12 may lose a cancellation that comes with the event.
            async with asyncio.timeout(None if delay_s is None else max(delay_s, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _attempt(self, batch: Batch) -> None:
        """One attempt, in this order: remember it, make it, remember how it ended, settle."""
        if batch.request is None:
            await self._bury_hopeless(batch)
            return
        uncertain = self._endings.begin(batch.items)
        started, reply = self._monotonic(), None
        try:
            verdict, certain, reply = await self._exchange(batch.request, batch)
        finally:
            now = self._monotonic()
            self._budget.end(now, None if reply is None else hint_of(reply.headers, reply.received_at))
        if verdict.kind == "throttle" and verdict.retry_after_s is not None:
            self._budget.learn(Hint(0, verdict.retry_after_s), now)
        self._report.attempted(verdict.kind, now - started)
        self._endings.uncertain(batch.items, verdict, uncertain if certain else None)
        await self._endings.conclude(batch, verdict, now - started)
        await self._bury_hopeless(batch)

    async def _bury_hopeless(self, batch: Batch) -> None:
        for item, reason in batch.hopeless:
            await self._endings.hopeless(item, reason)

    async def _exchange(self, request: Request, batch: Batch) -> tuple[Verdict, bool, Reply | None]:
        """The verdict on one exchange, whether it is certain that a failed one had no effect, and the answer."""
        try:
            reply = await self._send(request)
        except ForbiddenAddress as error:
            return Verdict("auth", detail=str(error.strerror)), True, None
        except SendFailed as error:
            return Verdict("transient", detail=str(error)), not error.reached, None
        return self._destination.verdict(reply, batch.changes), reply.status < 500, reply
