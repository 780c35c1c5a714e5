"""What became of customers, from the events alone: the outcome of any customer at any time.

The engine keeps and settles one prediction per customer and week. A backtest makes one per day, so their outcomes are
looked up here by the same definition, for whole matrices of predictions. The tests compare the two.
"""

from __future__ import annotations

from array import array
from typing import Final

import numpy as np
import numpy.typing as npt

from models.features.layout import DAY_S, Array, Integers
from models.settings import LabelSettings

#: What became of a prediction: the names of the codes of `Truth.outcomes`.
OUTCOMES: Final = ("unknown", "stayed", "left", "left_involuntary", "left_in_gap")
UNKNOWN, STAYED, LEFT, LEFT_INVOLUNTARY, LEFT_IN_GAP = range(len(OUTCOMES))
Codes = npt.NDArray[np.int8]


class Marks:
    """When something happened to customers, who are numbered from 0. In any order; 12 bytes each while they come in."""

    def __init__(self) -> None:
        self._customers, self._times = array("i"), array("d")
        self._index: tuple[Array, Integers] | None = None

    def __len__(self) -> int:
        return len(self._times)

    def add(self, customer: int, time: float) -> None:
        """It happened to a customer (epoch seconds)."""
        self._index = None
        self._customers.append(customer)
        self._times.append(time)

    def forget(self, before: float) -> None:
        """Forget what happened before a time (epoch seconds)."""
        times = np.array(self._times)
        kept = times >= before
        if not kept.all():
            self._index = None
            self._customers = array("i", np.array(self._customers, dtype=np.int32)[kept].tobytes())
            self._times = array("d", times[kept].tobytes())

    def next_after(self, customers: Integers, moments: Array) -> Array:
        """The first time after each moment that it happened to each customer; infinite if it did not."""
        if not len(self):
            return np.full(len(customers), np.inf)
        times, keys = self._sorted()
        # Places in the order of all times are whole numbers, so that comparing is exact whatever the customer's number.
        wanted = customers.astype(np.int64) * (len(times) + 1) + np.searchsorted(times, moments, side="right")
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        owner, place = np.divmod(keys[at], len(times) + 1)
        return np.where((keys[at] >= wanted) & (owner == customers), times[place], np.inf)

    def _sorted(self) -> tuple[Array, Integers]:
        if self._index is None:
            times = np.array(self._times, dtype=np.float64)
            order = np.argsort(times, kind="stable")
            owners = np.array(self._customers, dtype=np.int64)[order]
            self._index = times[order], np.sort(owners * (len(times) + 1) + np.arange(len(times)))
        return self._index


class Truth:
    """Takes the events that decide outcomes, then answers for any prediction."""

    def __init__(self, label: LabelSettings) -> None:
        self._cancels = label.kind == "cancellation"
        self._gap_s = label.gap_days * DAY_S
        self._involuntary = label.involuntary == "churn"
        self._deciding, self._unwilling = Marks(), Marks()

    def __len__(self) -> int:
        return len(self._deciding) + len(self._unwilling)

    def add(self, customer: int, time: float, *, unwilling: bool = False) -> None:
        """An activity, or a leave that the customer wanted or not, at a time in epoch seconds."""
        (self._unwilling if unwilling else self._deciding).add(customer, time)

    def forget(self, before: float) -> None:
        """Forget what happened before a time (epoch seconds)."""
        self._deciding.forget(before)
        self._unwilling.forget(before)

    def outcomes(self, customers: Integers, as_of: Array, horizon_days: float, known_until: float) -> Codes:
        """What became of predictions made at `as_of` (epoch seconds), as far as events up to `known_until` tell.

        The window of a prediction made at t is (t + gap, t + gap + horizon]. Where it ends after `known_until` the
        answer is unknown, whatever has happened: else those to whom something happened would be known first.
        """
        begin = as_of + self._gap_s
        end = begin + horizon_days * DAY_S
        happened = self._deciding.next_after(customers, begin) <= end
        if not self._cancels:
            found = np.where(happened, STAYED, LEFT)
        else:
            unwilling = self._unwilling.next_after(customers, begin) <= end
            found = np.where(happened, LEFT, np.where(unwilling, LEFT_INVOLUNTARY, STAYED))
            if self._gap_s:
                for marks in (self._deciding, self._unwilling):
                    found[marks.next_after(customers, as_of) <= begin] = LEFT_IN_GAP
        found[end > known_until] = UNKNOWN
        return found.astype(np.int8)

    def labels(self, outcomes: Codes) -> Codes:
        """1 for left, 0 for stayed, -1 where there is no label."""
        return np.array([-1, 0, 1, 1 if self._involuntary else -1, -1], dtype=np.int8)[outcomes]
