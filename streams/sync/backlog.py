"""What one destination still has to hear: scores in, the next due item out, records settled at the end.

A customer has at most one item queued, or one under way and one newer behind it. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from models.records import Score
from streams.destinations.base import Destination
from streams.destinations.contract.consent import allows
from streams.sync.ledger import Ledger
from streams.sync.pending import Item, Offsets, Origin, Pending
from streams.sync.report import Report
from streams.sync.selection import SkipReason, decide


class Backlog:
    """The queue of one destination.

    Parameters
    ----------
    only_likely
        Whether the destination hears only of customers who are likely to churn, and of their recovery.
    changed
        Called when an item was queued.
    """

    def __init__(
        self,
        destination: Destination[Any],
        ledger: Ledger,
        report: Report,
        *,
        only_likely: bool,
        monotonic: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.offsets = Offsets()
        self._destination, self._ledger, self._report = destination, ledger, report
        self._only_likely, self._mode = only_likely, destination.options.mode
        self._monotonic, self._changed = monotonic, changed
        self._pending = Pending()
        self._flying: dict[str, Item] = {}
        self._newer: dict[str, Item] = {}

    def __len__(self) -> int:
        """Records held in memory."""
        return len(self._pending) + len(self._flying) + len(self._newer)

    @property
    def flying(self) -> int:
        """Items under way."""
        return len(self._flying)

    def oldest_s(self) -> float:
        """How long the longest waiting customer has been waiting, in seconds."""
        since = [item.waiting_since for items in (self._pending, self._flying.values()) for item in items]
        return max(0.0, self._monotonic() - min(since)) if since else 0.0

    # Records in.

    def offer(self, score: Score, origin: Origin) -> None:
        """Take over a score; its record is settled now if it is no news, else when its delivery has ended.

        A newer score replaces an undelivered older one. Scores of a customer must be offered in their order.
        """
        self.offsets.read(origin)
        change = self._destination.change(score)
        item = Item(change, self._destination.fingerprint(change), origin, self._monotonic())
        item.allowed = allows(
            score, (self._destination.name, self._destination.kind), self._destination.options.consent
        )
        if item.customer_id in self._flying:
            # Whether this one is news is known only once the one under way has been answered.
            replaced = self._newer.get(item.customer_id)
            self._newer[item.customer_id] = item
        else:
            replaced = self._pending.remove(item.customer_id)
            self._decide(item, replaced)
        if replaced is not None:
            self._settle(replaced, "superseded")

    def pass_over(self, origin: Origin, reason: str) -> None:
        """Settle a record that holds nothing to deliver."""
        self.offsets.read(origin)
        self.offsets.settle(origin)
        self._report.skipped(reason)

    def forget(self, customer_id: str, origin: Origin) -> None:
        """Erase a customer whose score was deleted, with what waits for delivery."""
        for waiting in (self._pending.remove(customer_id), self._newer.pop(customer_id, None)):
            if waiting is not None:
                self._settle(waiting, "forgotten")
        if customer_id in self._flying:
            self._flying[customer_id].erased = True
        self._ledger.forget(customer_id)
        self.pass_over(origin, "deleted")

    def drop(self, partitions: Collection[tuple[str, int]]) -> None:
        """Let go of partitions that another consumer reads from now on, unsettled records included."""
        for item in list(self._pending):
            if item.origin[:2] in partitions:
                self._pending.remove(item.customer_id)
        self._newer = {key: item for key, item in self._newer.items() if item.origin[:2] not in partitions}
        self.offsets.drop(partitions)

    # Items out.

    def next_due(self) -> float | None:
        """Monotonic time at which the next item is due, None if nothing is queued."""
        return self._pending.next_due()

    def due_count(self, now: float, enough: int) -> int:
        """How many items are due, counted up to `enough`."""
        return self._pending.due_count(now, enough)

    def take(self, now: float, rows: int = 1) -> list[Item]:
        """Up to `rows` items that may go together, those that are due longest. `give_back` or `end` each afterwards."""
        taken: list[Item] = []
        later: list[Item] = []
        ids: set[str] = set()
        while len(taken) < rows and (item := self._pending.take_due(now)) is not None:
            if item.most <= len(taken) or item.change.id in ids:
                # It goes with fewer others, or another customer of this request has the same id there.
                later.append(item)
                if item.most <= len(taken):
                    break
                continue
            rows = min(rows, item.most)
            ids.add(item.change.id)
            taken.append(item)
        for item in later:
            self._pending.put(item)
        self._flying |= {item.customer_id: item for item in taken}
        return taken

    def put_back(self, items: Iterable[Item]) -> None:
        """Queue items again that were taken and not tried."""
        for item in items:
            self.give_back(item, item.due)

    def hurry(self) -> None:
        """Make everything due: the destination is back."""
        self._pending.hurry(self._monotonic())
        self._changed()

    def replaced(self, item: Item) -> bool:
        """Whether a newer score waits behind an item under way."""
        return item.customer_id in self._newer

    def give_back(self, item: Item, due: float) -> None:
        """An attempt settled nothing: queue the item again, or the newer one in its place."""
        if item.erased:
            self.end(item, "forgotten")
            return
        del self._flying[item.customer_id]
        item.due = due
        newer = self._newer.pop(item.customer_id, None)
        if newer is None:
            self._pending.put(item)
            self._changed()
            return
        self._decide(newer, item)
        self._settle(item, "superseded")

    def end(self, item: Item, outcome: str) -> None:
        """The item's way is over: settle its record, and look at the newer one behind it."""
        del self._flying[item.customer_id]
        self._settle(item, outcome)
        if item.erased:
            self._ledger.forget(item.customer_id)
        newer = self._newer.pop(item.customer_id, None)
        if newer is not None:
            self._decide(newer, None)

    def _settle(self, item: Item, outcome: str) -> None:
        self.offsets.settle(item.origin)
        self._report.settled(outcome)

    def _decide(self, item: Item, replaced: Item | None) -> None:
        """Queue the item if it is news, settle it if not. It takes over the waiting of the one that it replaces."""
        score = item.change.score
        if not item.change.id:
            self._skip(item, "no_id")
            return
        attempt = self._ledger.attempt(item.customer_id)
        accepted = self._ledger.accepted(item.customer_id)
        decision = decide(
            score, item.payload_hash, accepted, attempt, only_likely=self._only_likely, mode=self._mode,
            allowed=item.allowed,
        )  # fmt: skip
        if decision.send is None:
            self._skip(item, decision.skip or "unchanged")
            return
        item.change = msgspec.structs.replace(item.change, kind=decision.send)
        if attempt is not None and attempt.score_id == score.score_id:
            item.attempts, item.first_at = attempt.attempts, attempt.first_at
        if replaced is not None:
            item.waiting_since, item.due = replaced.waiting_since, replaced.due
            item.attempts, item.most = max(item.attempts, replaced.attempts), replaced.most
        self._pending.put(item)
        self._changed()

    def _skip(self, item: Item, reason: SkipReason) -> None:
        self.offsets.settle(item.origin)
        self._report.skipped(reason)
