"""What follows from a verdict: acceptance, another try, a smaller request, a dead letter, or silence."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from models.settings import SyncSettings
from streams.destinations.base import Destination
from streams.destinations.contract.messages import Verdict
from streams.sync.backlog import Backlog
from streams.sync.batches import Batch, Batcher
from streams.sync.dead_letters import BuryFailed, DeadLetter
from streams.sync.ledger import Accepted, Attempt, Delivery, Ledger
from streams.sync.pending import Item
from streams.sync.report import Report
from streams.sync.retry import Backoff, Breaker

_LOG = logging.getLogger(__name__)


class Endings:
    """Ends the attempts of one destination. Every step is in the ledger before the next one relies on it."""

    def __init__(
        self,
        destination: Destination[Any],
        settings: SyncSettings,
        ledger: Ledger,
        report: Report,
        backlog: Backlog,
        batcher: Batcher,
        breaker: Breaker,
        backoff: Backoff,
        *,
        bury: Callable[[DeadLetter], Awaitable[None]],
        rng: random.Random,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._destination, self._settings, self._ledger, self._report = destination, settings, ledger, report
        self._backlog, self._batcher, self._breaker, self._backoff = backlog, batcher, breaker, backoff
        self._bury, self._rng, self._monotonic, self._wall = bury, rng, monotonic, wall
        windows = destination.limits.windows
        #: What a vendor that throttles without naming a time is given: its shortest whole window.
        self._throttle_s = min((window.seconds for window in windows), default=None)

    # The steps of an attempt, in order.

    def begin(self, items: Sequence[Item]) -> dict[str, bool | None]:
        """Remember the attempt; returns what earlier ones may have told the destination, by customer."""
        before = {item.customer_id: self._ledger.attempt(item.customer_id) for item in items}
        for item in items:
            item.attempts += 1
            item.first_at = self._wall() if item.first_at is None else item.first_at
        self._ledger.note_attempt(*(self._open(item, _tells_likely(item)) for item in items))
        return {customer: None if attempt is None else attempt.maybe_likely for customer, attempt in before.items()}

    def uncertain(self, items: Sequence[Item], verdict: Verdict, before: dict[str, bool | None] | None) -> None:
        """Rows that were certainly not taken were told nothing this time; `before` is None if it is not certain."""
        if before is None:
            return
        failed = [item for index, item in enumerate(items) if verdict.rows.get(index, verdict).kind != "ok"]
        if failed:
            self._ledger.note_attempt(*(self._open(item, before[item.customer_id]) for item in failed))

    async def conclude(self, batch: Batch, verdict: Verdict, latency_s: float) -> None:
        """Give every row what its verdict, or that of the whole request, asks for."""
        if verdict.kind in {"refused", "too_large"} and len(batch.items) > 1:
            self._halve(batch, verdict)
            return
        self._note_whole(verdict)
        now, retry_s = self._monotonic(), self._retry_after(verdict, batch.items)
        accepted: list[tuple[Item, Verdict]] = []
        lost: list[tuple[Item, str, Verdict]] = []
        for index, item in enumerate(batch.items):
            row = verdict.rows.get(index, verdict)
            if row.kind == "ok":
                accepted.append((item, row))
            elif row.kind in {"refused", "too_large"}:
                lost.append((item, row.kind, row))
            elif row.kind in {"auth", "gone"}:
                self._backlog.give_back(item, now)
            elif self._too_old(item):
                lost.append((item, "gave_up", row))
            else:
                wait_s = retry_s if row is verdict else self._retry_after(row, [item])
                self._backlog.give_back(item, now + wait_s)
        self._accept(accepted, latency_s)
        await asyncio.gather(*(self._give_up(item, reason, row, latency_s) for item, reason, row in lost))

    async def hopeless(self, item: Item, reason: str) -> None:
        """An item that cannot be told at all."""
        kind = "too_large" if "bytes" in reason else "refused"
        await self._give_up(item, kind, Verdict("refused", detail=reason), None)

    # Consequences for the destination as a whole.

    def _note_whole(self, verdict: Verdict) -> None:
        now = self._monotonic()
        if verdict.kind == "gone":
            if self._breaker.disable("gone"):
                _LOG.error("destination disabled by its endpoint until restart", extra=self._fields(verdict))
        elif verdict.kind == "auth":
            if self._breaker.trip(now, "auth"):
                _LOG.error("destination refuses us, deliveries wait", extra=self._fields(verdict))
        elif verdict.kind == "throttle":
            wait_s = self._throttle_s if verdict.retry_after_s is None else verdict.retry_after_s
            self._breaker.pause(now, wait_s)
        elif verdict.kind == "transient":
            if self._breaker.failure(now, "down"):
                _LOG.warning("destination is down, probing", extra=self._fields(verdict))
        else:
            self._close_breaker()
            throttled = [row for row in verdict.rows.values() if row.kind == "throttle"]
            if throttled:
                self._breaker.pause(now, throttled[0].retry_after_s or self._throttle_s)

    def _halve(self, batch: Batch, verdict: Verdict) -> None:
        """One row, or the sum of them, is too much: try again with half as many until the row stands alone."""
        self._close_breaker()
        if verdict.kind == "too_large" and batch.request is not None:
            self._batcher.shrink(len(batch.request.body))
        now, half = self._monotonic(), -(-len(batch.items) // 2)
        for item in batch.items:
            item.most = half
            self._backlog.give_back(item, now)

    def _close_breaker(self) -> None:
        if self._breaker.success():
            _LOG.info("destination is back", extra={"destination": self._destination.name})
            self._backlog.hurry()

    # Consequences for rows.

    def _retry_after(self, verdict: Verdict, items: Sequence[Item]) -> float:
        """One wait for all rows of a failed request, so that they stay together."""
        if verdict.kind != "transient":
            return 0.0
        if verdict.retry_after_s is not None:
            return verdict.retry_after_s
        return self._backoff.delay_s(max(item.attempts for item in items), self._rng)

    def _too_old(self, item: Item) -> bool:
        age_s = self._wall() - (item.first_at or self._wall())
        return age_s >= self._settings.give_up_after_s and not self._backlog.replaced(item)

    def _accept(self, rows: Sequence[tuple[Item, Verdict]], latency_s: float) -> None:
        if not rows:
            return
        self._ledger.note_accepted(*(self._accepted(item) for item, _ in rows))
        self._ledger.log(*(self._line(item, "delivered", row, latency_s) for item, row in rows))
        for item, _ in rows:
            self._backlog.end(item, "delivered")

    def _accepted(self, item: Item) -> Accepted:
        score = item.change.score
        return Accepted(
            score.customer_id, item.payload_hash, _tells_likely(item), score.band, score.score_id, score.revision,
            score.scored_at, self._wall(),
        )  # fmt: skip

    async def _give_up(self, item: Item, reason: str, verdict: Verdict, latency_s: float | None) -> None:
        """Write the dead letter, then settle. Until it is written the slot stays taken: that is back-pressure."""
        failures, letter = 0, self._letter(item, reason, verdict)
        while True:
            try:
                await self._bury(letter)
                break
            except BuryFailed as error:
                failures += 1
                _LOG.warning("dead letter not written, trying again", extra={"reason": str(error)})
                await asyncio.sleep(self._backoff.delay_s(failures, self._rng))
        before = self._ledger.attempt(item.customer_id)
        self._ledger.note_attempt(self._open(item, None if before is None else before.maybe_likely, dead=True))
        self._ledger.log(self._line(item, reason, verdict, latency_s))
        self._backlog.end(item, reason)

    def _letter(self, item: Item, reason: str, verdict: Verdict) -> DeadLetter:
        change = item.change
        return DeadLetter(
            destination=self._destination.name,
            customer_id=change.score.customer_id,
            score_id=change.score.score_id,
            reason=reason,
            detail=verdict.detail,
            status=verdict.status,
            attempts=item.attempts,
            payload=change.payload,
            at=datetime.fromtimestamp(self._wall(), UTC).isoformat(),
        )

    def _open(self, item: Item, maybe_likely: bool | None, *, dead: bool = False) -> Attempt:
        first_at = self._wall() if item.first_at is None else item.first_at
        score_id = item.change.score.score_id
        return Attempt(item.customer_id, score_id, first_at, item.attempts, maybe_likely, dead)

    def _line(self, item: Item, outcome: str, verdict: Verdict, latency_s: float | None) -> Delivery:
        latency_ms = None if latency_s is None else latency_s * 1000.0
        score_id = item.change.score.score_id
        return Delivery(item.customer_id, score_id, outcome, verdict.status, item.attempts, latency_ms, self._wall())

    def _fields(self, verdict: Verdict) -> dict[str, object]:
        name, endpoint = self._destination.name, self._destination.endpoint
        return {"destination": name, "endpoint": endpoint, "status": verdict.status, "detail": verdict.detail}


def _tells_likely(item: Item) -> bool:
    """What the destination believes once it has taken the item. A customer without consent is told to be gone."""
    return item.change.score.likelihood_to_churn and item.change.kind != "exited"
