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

import msgspec

from models.events.types import Event
from models.features.summary import DAY_S, NEVER
from models.settings import LabelSettings


class LabelState(msgspec.Struct, array_like=True):
    """Per customer: greatest event times that decide about the cohort (epoch seconds)."""

    left_at: float = NEVER
    back_at: float = NEVER
    active_at: float = NEVER
    bought_at: float = NEVER


class Snapshot(msgspec.Struct, array_like=True):
    """A prediction that waits for the truth. `vector` is the served row, little-endian float32."""

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

    @property
    def key(self) -> str:
        """Name of the definition, for example `inactivity-30d`."""
        return f"{self.settings.kind}-{self.settings.horizon_days:g}d"

    def observe(self, state: LabelState, pending: list[Snapshot], event: Event) -> bool:
        """Note an event; True if it can settle or end a prediction."""
        name, time = event.name, event.time
        leaving, active = name in self._leaving, name in self._activity
        if leaving:
            state.left_at = max(state.left_at, time)
        elif event.effect in ("sub_start", "sub_renew", "order"):
            state.back_at = max(state.back_at, time)
            state.bought_at = max(state.bought_at, time)
        if active:
            state.active_at = max(state.active_at, time)
        if not (leaving if self._cancels else active):
            return False
        for snapshot in pending:
            if snapshot.as_of < time <= snapshot.as_of + self.horizon_s:
                snapshot.hit = True
        return True

    def eligible(self, state: LabelState, now: float) -> bool:
        """Whether the customer is in the cohort as of `now`."""
        if self._cancels:
            return state.bought_at > NEVER and state.left_at <= state.back_at
        return now - state.active_at <= self.settings.active_within_days * DAY_S

    def known(self, state: LabelState) -> bool:
        """Whether the customer was ever in the cohort, so that leaving it is worth telling."""
        return (state.bought_at if self._cancels else state.active_at) > NEVER

    def truth(self, snapshot: Snapshot, now: float) -> int | None:
        """1 left, 0 stayed, None not known yet at `now`."""
        over = now >= snapshot.as_of + self.horizon_s
        if self._cancels:
            return 1 if snapshot.hit else (0 if over else None)
        if not over:
            return None
        return 0 if snapshot.hit else 1

    def due_at(self, pending: list[Snapshot]) -> float:
        """When the clock next settles one of the predictions; infinite if none waits."""
        return min((snapshot.as_of for snapshot in pending), default=math.inf) + self.horizon_s
