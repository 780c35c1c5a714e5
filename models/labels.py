"""What churn means, and when a stored prediction becomes a training example.

Two definitions, chosen by `label.kind`:

- `cancellation`: the customer leaves with one of `label.cancellation_events`. In the cohort are customers
  with any purchase event who have not left (or have come back since). A prediction is positive as soon as
  such an event falls into its horizon, negative when the horizon passes.
- `inactivity`: none of `label.activity_events` happens within the horizon. In the cohort are customers with
  such an event in the last `label.active_within_days`. The truth is known when the horizon passes.

Both are told from a mark on each pending prediction ("an event of the definition fell into the horizon"),
so late and reordered events give the same label as punctual ones.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.features.layout import DAY_S, NEVER, Array
from models.settings import LabelSettings

#: What an event means for the label, as bits.
LEAVES, RETURNS, ACTS, DECIDES = 1, 2, 4, 8
_RETURNING: Final = frozenset({"sub_start", "sub_renew", "order"})
Mask = npt.NDArray[np.bool_]


class Snapshot(msgspec.Struct, array_like=True):
    """A prediction that waits for the truth. `vector` is the served row, packed by `models.rows`."""

    as_of: float
    probability: float
    rule_probability: float
    prior_probability: float
    model_name: str
    model_version: str
    feature_version: str
    vector: bytes
    hit: bool = False


class LabelDefinition:
    """One churn definition: cohort, marks and maturity."""

    def __init__(self, settings: LabelSettings) -> None:
        self.settings = settings
        self.horizon_s = settings.horizon_days * DAY_S
        self._cancels = settings.kind == "cancellation"
        self._leaving = frozenset(settings.cancellation_events)
        self._activity = frozenset(settings.activity_events)
        self.meaning = cache(self._meaning)

    @property
    def key(self) -> str:
        """Name of the definition, for example `inactivity-30d`."""
        return f"{self.settings.kind}-{self.settings.horizon_days:g}d"

    def _meaning(self, name: str, effect: str) -> int:
        """The bits of an event: LEAVES, RETURNS, ACTS, and DECIDES if it can settle a prediction."""
        leaving, active = name in self._leaving, name in self._activity
        bits = LEAVES if leaving else (RETURNS if effect in _RETURNING else 0)
        bits |= ACTS if active else 0
        return bits | (DECIDES if (leaving if self._cancels else active) else 0)

    def mark(self, pending: list[Snapshot], event_time: float) -> bool:
        """Note that a deciding event happened; True if it fell into the horizon of a prediction."""
        hit = False
        for snapshot in pending:
            if snapshot.as_of < event_time <= snapshot.as_of + self.horizon_s:
                hit = snapshot.hit = True
        return hit

    def eligible(self, left_at: Array, back_at: Array, active_at: Array, bought_at: Array, now: float) -> Mask:
        """Which customers are in the cohort as of `now`, from their greatest event times (epoch seconds)."""
        if self._cancels:
            return (bought_at > NEVER) & (left_at <= back_at)
        return np.asarray(now - active_at <= self.settings.active_within_days * DAY_S)

    def known(self, active_at: Array, bought_at: Array) -> Mask:
        """Which customers were ever in the cohort, so that leaving it is worth telling."""
        return np.asarray((bought_at if self._cancels else active_at) > NEVER)

    def truth(self, snapshot: Snapshot, now: float) -> int | None:
        """1 left, 0 stayed, None not known yet at `now`."""
        over = now >= snapshot.as_of + self.horizon_s
        if self._cancels:
            return 1 if snapshot.hit else (0 if over else None)
        if not over:
            return None
        return 0 if snapshot.hit else 1

    def due_at(self, pending: list[Snapshot]) -> float:
        """When the clock next settles one of the predictions; infinite if none waits.

        A prediction that is decided already is due at once.
        """
        if self._cancels and any(snapshot.hit for snapshot in pending):
            return NEVER
        return min((snapshot.as_of for snapshot in pending), default=math.inf) + self.horizon_s
