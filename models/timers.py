"""When the clock must look at a customer again, at no cost per event."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

_BUCKET_S = 3600.0


class Timers:
    """Customers by the hour in which they are due. A date that has moved on is noticed when its old hour comes."""

    def __init__(self) -> None:
        self._buckets: defaultdict[int, set[str]] = defaultdict(set)

    def plan(self, customer_id: str, due_at: float) -> None:
        """Look at the customer once the clock reaches `due_at` (epoch seconds); infinite means never."""
        if math.isfinite(due_at):
            self._buckets[math.ceil(due_at / _BUCKET_S)].add(customer_id)

    def waiting(self, now: float) -> bool:
        """Whether anybody's hour has come."""
        return any(bucket * _BUCKET_S <= now for bucket in self._buckets)

    def take(self, now: float, limit: int, is_due: Callable[[str], bool]) -> set[str]:
        """Up to `limit` customers whose hour has come and who are still due; asks `is_due` for each."""
        due: set[str] = set()
        for bucket in [bucket for bucket in self._buckets if bucket * _BUCKET_S <= now]:
            waiting = self._buckets[bucket]
            while waiting and len(due) < limit:
                customer_id = waiting.pop()
                # An event may have moved the date on since this timer was set; it has a later timer then.
                if is_due(customer_id):
                    due.add(customer_id)
            if waiting:
                break
            del self._buckets[bucket]
        return due
