"""What churn means, and when the truth about a stored prediction is known.

Two definitions, chosen by `label.kind`:

- `cancellation`: the customer leaves with one of `label.cancellation_events`. In the cohort are customers
  with any purchase event who have not left (or have come back since). A prediction is positive as soon as
  such an event falls into its horizon, negative when the horizon passes.
- `inactivity`: none of `label.activity_events` happens within the horizon. In the cohort are customers with
  such an event in the last `label.active_within_days`. The truth is known when the horizon passes.

The horizon begins `label.gap_days` after the prediction: the time that is needed to act on it. Who leaves in the gap
could not have been kept, so such a prediction is void. So is, unless `label.involuntary` says otherwise, that of a
customer who leaves because payments failed.

Truth is told from marks on each kept prediction ("an event of the definition fell into this horizon"), so late and
reordered events give the same label as punctual ones, and can revise one that was told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.features.layout import DAY_S, NEVER, Array
from models.records import Outcome
from models.settings import LabelSettings

#: What an event means for the label, as bits.
LEAVES, RETURNS, ACTS, DECIDES, UNWILLING = 1, 2, 4, 8, 16
_RETURNING: Final = frozenset({"sub_start", "sub_renew", "order"})
Mask = npt.NDArray[np.bool_]

#: What became of a prediction, by code: its place in this list.
OUTCOMES: Final[tuple[Outcome, ...]] = (
    "unknown", "stayed", "left", "left_involuntary", "left_in_gap", "reactivated",
)  # fmt: skip
UNKNOWN, STAYED, LEFT, LEFT_INVOLUNTARY, LEFT_IN_GAP, REACTIVATED = range(len(OUTCOMES))

# What fell into a horizon, as bits: a leave or an activity, and a leave that the customer did not want.
_HIT, _HIT_UNWILLING = 1, 2


class Forecast(msgspec.Struct, array_like=True):
    """What was said of one horizon, what fell into it since (bits), and which outcome was told (code, 0 for none)."""

    probability: float
    rule_probability: float
    prior_probability: float
    own: dict[str, float]
    model_name: str
    model_version: str
    hits: int = 0
    told: int = UNKNOWN


class Snapshot(msgspec.Struct, array_like=True):
    """A prediction that waits for the truth, one forecast per horizon of the definition.

    `vector` is the served row, packed by `models.rows`; empty once every outcome was told. `left_at` is the latest
    leave seen since, `back_at` the latest return behind it, epoch seconds.
    """

    as_of: float
    feature_version: str
    vector: bytes
    forecasts: list[Forecast]
    in_gap: bool = False
    left_at: float = NEVER
    back_at: float = NEVER


class LabelDefinition:
    """One churn definition: cohort, marks and maturity. `horizons` are in days, the one that is served first."""

    def __init__(self, settings: LabelSettings) -> None:
        self.settings = settings
        self.horizons = horizons_of(settings)
        self._gap_s = settings.gap_days * DAY_S
        self._spans_s = [days * DAY_S for days in self.horizons]
        self._cancels = settings.kind == "cancellation"
        self._leaving = frozenset(settings.cancellation_events)
        self._activity = frozenset(settings.activity_events)
        self._unwilling = frozenset(map(normal_cause, settings.involuntary_causes))
        # Names and causes come from outside, so what is remembered of them is bounded.
        self.meaning = lru_cache(4096)(self._meaning)

    def _meaning(self, name: str, effect: str, cause: str | None = None) -> int:
        """The bits of an event: LEAVES, UNWILLING, RETURNS, ACTS, and DECIDES if it can settle a prediction."""
        leaving, active = name in self._leaving, name in self._activity
        bits = LEAVES if leaving else (RETURNS if effect in _RETURNING else 0)
        bits |= ACTS if active else 0
        bits |= UNWILLING if leaving and cause is not None and normal_cause(cause) in self._unwilling else 0
        return bits | (DECIDES if (leaving if self._cancels else active) else 0)

    def revises(self, bits: int, left_at: float) -> bool:
        """Whether an event can change the outcome of a prediction of a customer who last left at `left_at`."""
        return bool(bits & DECIDES) or (self._cancels and bool(bits & RETURNS) and left_at > NEVER)

    def mark(self, pending: Iterable[Snapshot], event_time: float, bits: int) -> bool:
        """Note an event that decides or revises; True if it changed what is known of a prediction."""
        changed = False
        for snapshot in pending:
            since = event_time - snapshot.as_of
            if 0.0 < since <= self._gap_s + max(self._spans_s):
                changed |= self._mark_one(snapshot, since, event_time, bits)
        return changed

    def _mark_one(self, snapshot: Snapshot, since: float, event_time: float, bits: int) -> bool:
        changed = False
        if self._cancels:
            if not bits & LEAVES:
                changed = event_time > snapshot.back_at
                snapshot.back_at = max(snapshot.back_at, event_time)
                return changed
            changed = event_time > snapshot.left_at or (since <= self._gap_s and not snapshot.in_gap)
            snapshot.left_at = max(snapshot.left_at, event_time)
            snapshot.in_gap |= since <= self._gap_s
        hit = _HIT_UNWILLING if bits & UNWILLING else _HIT
        for forecast, span in zip(snapshot.forecasts, self._spans_s, strict=False):
            if self._gap_s < since <= self._gap_s + span and not forecast.hits & hit:
                forecast.hits |= hit
                changed = True
        return changed

    def eligible(self, left_at: Array, back_at: Array, active_at: Array, bought_at: Array, now: float) -> Mask:
        """Which customers are in the cohort as of `now`, from their greatest event times (epoch seconds)."""
        if self._cancels:
            return (bought_at > NEVER) & (left_at <= back_at)
        return np.asarray(now - active_at <= self.settings.active_within_days * DAY_S)

    def known(self, active_at: Array, bought_at: Array) -> Mask:
        """Which customers were ever in the cohort, so that leaving it is worth telling."""
        return np.asarray((bought_at if self._cancels else active_at) > NEVER)

    def outcome(self, snapshot: Snapshot, number: int, now: float) -> int:
        """The code of what became of a prediction within its horizon `number`, as far as it is known at `now`."""
        hits, over = snapshot.forecasts[number].hits, now >= self.ends_at(snapshot, number)
        if not self._cancels:
            return (STAYED if hits else LEFT) if over else UNKNOWN
        if snapshot.in_gap:
            return LEFT_IN_GAP
        if hits & _HIT:
            return REACTIVATED if snapshot.back_at > snapshot.left_at else LEFT
        if hits & _HIT_UNWILLING:
            return LEFT_INVOLUNTARY
        return STAYED if over else UNKNOWN

    def label_of(self, outcome: int) -> int | None:
        """1 left, 0 stayed, None where there is nothing to learn."""
        if outcome == LEFT_INVOLUNTARY:
            return 1 if self.settings.involuntary == "churn" else None
        return {STAYED: 0, LEFT: 1, REACTIVATED: 1}.get(outcome)

    def ends_at(self, snapshot: Snapshot, number: int) -> float:
        """When the horizon `number` of a prediction is over, epoch seconds."""
        return snapshot.as_of + self._gap_s + self._spans_s[number]

    def forgotten_at(self, snapshot: Snapshot) -> float:
        """Until when late events can revise what was told of a prediction, epoch seconds."""
        return snapshot.as_of + self._gap_s + max(self._spans_s) + self.settings.revise_within_days * DAY_S

    def due_at(self, pending: Iterable[Snapshot]) -> float:
        """When the clock next has something to tell of the predictions; infinite if nothing.

        What is decided already, or was told otherwise, is due at once.
        """
        due = math.inf
        for snapshot in pending:
            for number, forecast in enumerate(snapshot.forecasts):
                # The truth as of the prediction's own time is what marks alone decide, or what was told before.
                decided = self.outcome(snapshot, number, NEVER) if self._cancels else UNKNOWN
                if decided not in (UNKNOWN, forecast.told):
                    return NEVER
                if forecast.told == UNKNOWN:
                    due = min(due, self.ends_at(snapshot, number))
                elif not self._cancels and self.outcome(snapshot, number, math.inf) != forecast.told:
                    return NEVER
        return due


def horizons_of(settings: LabelSettings) -> tuple[float, ...]:
    """The horizons in days, the one that is served first, none twice."""
    return tuple(dict.fromkeys((settings.horizon_days, *settings.other_horizons_days)))


def is_open(snapshot: Snapshot) -> bool:
    """Whether the outcome of some horizon was not told yet."""
    return any(forecast.told == UNKNOWN for forecast in snapshot.forecasts)


def normal_cause(cause: str) -> str:
    """The spelling in which causes are compared."""
    return cause.strip().lower().replace(" ", "_").replace("-", "_")
