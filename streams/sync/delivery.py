"""The delivery engine of one destination: attempts, verdicts, retries and dead letters.

It knows neither Kafka nor HTTP: scores come in by its `backlog`, requests leave by a function. Everything runs in
one event loop, so there are no locks; the order of the steps of an attempt is the guarantee.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from models.settings import SyncSettings
from streams.destinations.base import Destination, Reply, Request, Unbuildable, Verdict
from streams.sync.backlog import Backlog
from streams.sync.dead_letters import BuryFailed, DeadLetter
from streams.sync.http import ForbiddenAddress, SendFailed
from streams.sync.ledger import Accepted, Attempt, Delivery, Ledger
from streams.sync.pending import Item
from streams.sync.report import Report
from streams.sync.retry import Backoff, Breaker

_LOG = logging.getLogger(__name__)
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
    monotonic, wall
        Clocks in seconds: for waiting, and for what is signed or remembered.
    """

    def __init__(
        self,
        destination: Destination,
        settings: SyncSettings,
        ledger: Ledger,
        report: Report,
        *,
        send: Callable[[Request], Awaitable[Reply]],
        bury: Callable[[DeadLetter], Awaitable[None]],
        rng: random.Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._destination, self._settings, self._ledger, self._report = destination, settings, ledger, report
        self._send, self._bury, self._monotonic, self._wall = send, bury, monotonic, wall
        self._rng = rng or random.Random()
        self._backoff = Backoff(settings.retry_base_s, settings.retry_cap_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = True
        self._wake = asyncio.Event()
        threshold = max(_DOWN_AT_LEAST, _DOWN_ROUNDS * settings.concurrency)
        self.breaker = Breaker(self._backoff, threshold, self._rng)
        self.backlog = Backlog(
            destination,
            ledger,
            report,
            only_likely=settings.only_likely,
            monotonic=monotonic,
            changed=self._wake.set,
        )

    def hold(self) -> None:
        """Start no new attempts: partitions are moving, or records that may replace others are still to be read."""
        self._held = True

    def release(self) -> None:
        self._held = False
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
                while (item := self._next()) is not None:
                    task = group.create_task(self._attempt(item))
                    self._tasks.add(task)
                    task.add_done_callback(self._landed)
                await self._until_due()

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    def _next(self) -> Item | None:
        now, flying = self._monotonic(), self.backlog.flying
        due = self.backlog.next_due()
        if self._held or flying >= self._settings.concurrency or due is None or due > now:
            return None
        return self.backlog.take(now) if self.breaker.allows(now, flying) else None

    async def _until_due(self) -> None:
        """Wait until an attempt may have become possible: by an event, a due time or the end of a pause."""
        due, opens = self.backlog.next_due(), self.breaker.wakes_at()
        delay_s: float | None = None
        if not self._held and due is not None and opens is not None:
            delay_s = max(due, opens) - self._monotonic()
            if delay_s <= 0.0 and self.backlog.flying:
                # No slot is free, or a probe is under way: its end is an event.
                delay_s = None
        try:
            # Not `wait_for`, which before Python 3.12 may lose a cancellation that comes with the event.
            async with asyncio.timeout(None if delay_s is None else max(delay_s, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _attempt(self, item: Item) -> None:
        """One attempt, in this order: remember it, make it, remember how it ended, settle."""
        before = self._ledger.attempt(item.customer_id)
        uncertain = None if before is None else before.maybe_likely
        try:
            request = self._destination.build((item.change,), self._wall())
        except Unbuildable as error:
            await self._give_up(item, "too_large", Verdict("too_large", detail=str(error)), None)
            return
        item.attempts += 1
        item.first_at = self._wall() if item.first_at is None else item.first_at
        self._note(item, item.change.score.likelihood_to_churn)
        started = self._monotonic()
        verdict, certain = await self._exchange(request)
        latency_s = self._monotonic() - started
        self._report.attempted(verdict.kind, latency_s)
        if certain and verdict.kind != "ok":
            # It was told nothing this time; what earlier attempts may have told it stays open.
            self._note(item, uncertain)
        await self._conclude(item, verdict, latency_s)

    async def _exchange(self, request: Request) -> tuple[Verdict, bool]:
        """The verdict on one exchange, and whether it is certain that a failed one had no effect."""
        try:
            reply = await self._send(request)
        except ForbiddenAddress as error:
            return Verdict("auth", detail=str(error.strerror)), True
        except SendFailed as error:
            return Verdict("transient", detail=str(error)), not error.reached
        return self._destination.verdict(reply), reply.status < 500

    async def _conclude(self, item: Item, verdict: Verdict, latency_s: float) -> None:
        now = self._monotonic()
        if verdict.kind == "ok":
            self._accept(item, verdict, latency_s)
        elif verdict.kind in {"refused", "too_large"}:
            self._close_breaker()
            await self._give_up(item, verdict.kind, verdict, latency_s)
        elif verdict.kind == "gone":
            if self.breaker.disable("gone"):
                _LOG.error("destination disabled by its endpoint until restart", extra=self._fields(verdict))
            self.backlog.give_back(item, now)
        elif verdict.kind == "auth":
            if self.breaker.trip(now, "auth"):
                _LOG.error("destination refuses us, deliveries wait", extra=self._fields(verdict))
            self.backlog.give_back(item, now)
        else:
            await self._retry(item, verdict, now, latency_s)

    async def _retry(self, item: Item, verdict: Verdict, now: float, latency_s: float) -> None:
        """Throttled or failed for now: wait, unless the score is past its budget of age."""
        due = now
        if verdict.kind == "throttle":
            self.breaker.pause(now, verdict.retry_after_s)
        else:
            if self.breaker.failure(now, "down"):
                _LOG.warning("destination is down, probing", extra=self._fields(verdict))
            wait_s = verdict.retry_after_s
            due += self._backoff.delay_s(item.attempts, self._rng) if wait_s is None else wait_s
        age_s = self._wall() - (item.first_at or self._wall())
        if age_s >= self._settings.give_up_after_s and not self.backlog.replaced(item):
            await self._give_up(item, "gave_up", verdict, latency_s)
        else:
            self.backlog.give_back(item, due)

    def _accept(self, item: Item, verdict: Verdict, latency_s: float) -> None:
        score = item.change.score
        self._ledger.note_accepted(
            Accepted(
                score.customer_id,
                item.payload_hash,
                score.likelihood_to_churn,
                score.band,
                score.score_id,
                score.revision,
                score.scored_at,
                self._wall(),
            )
        )
        self._close_breaker()
        self._end(item, "delivered", verdict, latency_s)

    async def _give_up(self, item: Item, reason: str, verdict: Verdict, latency_s: float | None) -> None:
        """Write the dead letter, then settle. Until it is written the slot stays taken: that is back-pressure."""
        score, failures = item.change.score, 0
        letter = DeadLetter(
            destination=self._destination.name,
            customer_id=score.customer_id,
            score_id=score.score_id,
            reason=reason,
            detail=verdict.detail,
            status=verdict.status,
            attempts=item.attempts,
            payload=self._destination.payload(score),
            at=datetime.fromtimestamp(self._wall(), UTC).isoformat(),
        )
        while True:
            try:
                await self._bury(letter)
                break
            except BuryFailed as error:
                failures += 1
                _LOG.warning("dead letter not written, trying again", extra={"reason": str(error)})
                await asyncio.sleep(self._backoff.delay_s(failures, self._rng))
        open_attempt = self._ledger.attempt(item.customer_id)
        self._note(item, None if open_attempt is None else open_attempt.maybe_likely, dead=True)
        self._end(item, reason, verdict, latency_s)

    def _note(self, item: Item, maybe_likely: bool | None, *, dead: bool = False) -> None:
        first_at = self._wall() if item.first_at is None else item.first_at
        score_id = item.change.score.score_id
        self._ledger.note_attempt(Attempt(item.customer_id, score_id, first_at, item.attempts, maybe_likely, dead))

    def _end(self, item: Item, outcome: str, verdict: Verdict, latency_s: float | None) -> None:
        latency_ms = None if latency_s is None else latency_s * 1000.0
        score_id, status = item.change.score.score_id, verdict.status
        self._ledger.log(Delivery(item.customer_id, score_id, outcome, status, item.attempts, latency_ms, self._wall()))
        self.backlog.end(item, outcome)

    def _close_breaker(self) -> None:
        if self.breaker.success():
            _LOG.info("destination is back", extra={"destination": self._destination.name})
            self.backlog.hurry()

    def _fields(self, verdict: Verdict) -> dict[str, object]:
        name, endpoint = self._destination.name, self._destination.endpoint
        return {"destination": name, "endpoint": endpoint, "status": verdict.status, "detail": verdict.detail}
