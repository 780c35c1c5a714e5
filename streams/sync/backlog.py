"""What one destination still has to hear: scores in, the next due item out, records settled at the end.

A customer has at most one item queued, or one under way and one newer behind it. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from models.records import Score
from streams.destinations.base import Change, Destination, fingerprint
from streams.sync.ledger import Ledger
from streams.sync.pending import Item, Offsets, Origin, Pending
from streams.sync.report import Report
from streams.sync.selection import decide


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
        destination: Destination,
        ledger: Ledger,
        report: Report,
        *,
        only_likely: bool,
        monotonic: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.offsets = Offsets()
        self._destination, self._ledger, self._report = destination, ledger, report
        self._only_likely, self._monotonic, self._changed = only_likely, monotonic, changed
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
        # The vector is large, and no destination gets it.
        score = msgspec.structs.replace(score, features={})
        item = Item(Change(score, "updated"), fingerprint(self._destination, score), origin, self._monotonic())
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

    def take(self, now: float) -> Item | None:
        """The item that is due longest. Give it to `give_back` or `end` afterwards."""
        item = self._pending.take_due(now)
        if item is not None:
            self._flying[item.customer_id] = item
        return item

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
        attempt = self._ledger.attempt(item.customer_id)
        accepted = self._ledger.accepted(item.customer_id)
        decision = decide(score, item.payload_hash, accepted, attempt, only_likely=self._only_likely)
        if decision.send is None:
            self.offsets.settle(item.origin)
            self._report.skipped(decision.skip or "unchanged")
            return
        item.change = Change(score, decision.send)
        if attempt is not None and attempt.score_id == score.score_id:
            item.attempts, item.first_at = attempt.attempts, attempt.first_at
        if replaced is not None:
            item.waiting_since, item.due = replaced.waiting_since, replaced.due
            item.attempts = max(item.attempts, replaced.attempts)
        self._pending.put(item)
        self._changed()
