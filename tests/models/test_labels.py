"""When a stored prediction becomes an example, and with which truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.events.types import Event
from models.features.layout import DAY_S, NEVER
from models.labels import ACTS, LEAVES, OUTCOMES, RETURNS, Forecast, LabelDefinition, Snapshot
from models.settings import LabelSettings

START = 1_735_689_600.0
CANCELLATION = LabelDefinition(LabelSettings(kind="cancellation", horizon_days=30))
GAP = LabelDefinition(LabelSettings(kind="cancellation", horizon_days=30, gap_days=7))
INACTIVITY = LabelDefinition(LabelSettings(kind="inactivity", horizon_days=30, active_within_days=30))


def snapshot(day: float, horizons: int = 1) -> Snapshot:
    return Snapshot(START + day * DAY_S, "f", b"", [Forecast(0.5, 0.5, 0.5, {}, "rule", "1") for _ in range(horizons)])


def told(label: LabelDefinition, one: Snapshot, day: float, number: int = 0) -> str:
    """What is known on a day of a prediction's horizon."""
    return OUTCOMES[label.outcome(one, number, START + day * DAY_S)]


def mark(label: LabelDefinition, pending: list[Snapshot], *events: Event) -> bool:
    """Whether the last of the events changed what is known."""
    changed = False
    for event in events:
        changed = label.mark(pending, event.time, label.meaning(event.name, event.effect, event.cause))
    return changed


def cancel(day: float, cause: str | None = None) -> Event:
    return Event("Subscription Cancelled", "sub_cancel", "c", START + day * DAY_S, cause=cause)


def order(day: float) -> Event:
    return Event("Order Completed", "order", "c", START + day * DAY_S)


def eligible(label: LabelDefinition, events: list[Event], day: float) -> bool:
    """Whether a customer with these events is in the cohort."""
    left = back = active = NEVER
    for event in events:
        bits = label.meaning(event.name, event.effect)
        left = max(left, event.time) if bits & LEAVES else left
        back = max(back, event.time) if bits & RETURNS else back
        active = max(active, event.time) if bits & ACTS else active
    marks = [np.array([mark]) for mark in (left, back, active, back)]
    return bool(label.eligible(*marks, now=START + day * DAY_S)[0])


def test_cancellation_is_positive_at_once_and_negative_only_at_the_horizon() -> None:
    """A cancel event settles the predictions whose horizon it falls into; the clock settles the others."""
    pending = [snapshot(0), snapshot(40)]
    mark(CANCELLATION, pending, cancel(10))

    assert told(CANCELLATION, pending[0], 10) == "left"
    assert told(CANCELLATION, pending[1], 69) == "unknown"
    assert told(CANCELLATION, pending[1], 70) == "stayed"


@pytest.mark.parametrize("day", [0.0, 30.001])
def test_events_outside_the_horizon_do_not_count(day: float) -> None:
    """An event at the prediction's own time or after its horizon is not its truth."""
    pending = [snapshot(0)]
    mark(CANCELLATION, pending, cancel(day))

    assert told(CANCELLATION, pending[0], 31) == "stayed"


def test_inactivity_is_known_only_at_the_horizon() -> None:
    """Both truths wait for the horizon, so that early examples are not all of one kind."""
    active, silent = snapshot(0), snapshot(20)
    mark(INACTIVITY, [active, silent], order(15))

    assert told(INACTIVITY, active, 29) == "unknown"
    assert told(INACTIVITY, active, 30) == "stayed"
    assert told(INACTIVITY, silent, 50) == "left"


def test_order_of_events_does_not_change_the_truth() -> None:
    """A late event marks the prediction that it belongs to."""
    for days in ([5.0, 50.0], [50.0, 5.0]):
        pending = [snapshot(0)]
        mark(INACTIVITY, pending, *map(order, days))

        assert told(INACTIVITY, pending[0], 60) == "stayed"


@pytest.mark.parametrize(
    ("day", "outcome"), [(7.0, "left_in_gap"), (7.001, "left"), (37.0, "left"), (37.001, "stayed")]
)
def test_a_horizon_begins_behind_the_gap(day: float, outcome: str) -> None:
    """With a gap of 7 days a leave counts from day 7 to 37; one in the gap leaves nothing to learn."""
    pending = [snapshot(0)]
    mark(GAP, pending, cancel(day))

    assert told(GAP, pending[0], 40) == outcome
    assert GAP.label_of(OUTCOMES.index("left_in_gap")) is None


def test_activity_in_the_gap_does_not_save_a_silent_customer() -> None:
    """Inactivity asks about the horizon alone."""
    label = LabelDefinition(LabelSettings(kind="inactivity", gap_days=7))
    pending = [snapshot(0)]
    mark(label, pending, order(3))

    assert told(label, pending[0], 36.9) == "unknown"
    assert told(label, pending[0], 37) == "left"


def test_who_leaves_unwillingly_is_told_apart() -> None:
    """A cancellation for failed payments is no churn to learn from, unless the settings say so."""
    pending = [snapshot(0)]
    mark(CANCELLATION, pending, cancel(3, "Payment failed"))
    outcome = CANCELLATION.outcome(pending[0], 0, START + 3 * DAY_S)
    counted = LabelDefinition(LabelSettings(involuntary="churn"))

    assert OUTCOMES[outcome] == "left_involuntary"
    assert CANCELLATION.label_of(outcome) is None
    assert counted.label_of(outcome) == 1
    mark(CANCELLATION, pending, cancel(4, "too expensive"))
    assert told(CANCELLATION, pending[0], 4) == "left"


def test_who_comes_back_has_left_all_the_same() -> None:
    """A return behind the leave, in whichever order both arrive, is told as reactivation and stays a positive."""
    back = Event("Subscription Started", "sub_start", "c", START + 9 * DAY_S)
    for events in ([cancel(5), back], [back, cancel(5)]):
        pending = [snapshot(0)]
        mark(CANCELLATION, pending, *events)

        assert told(CANCELLATION, pending[0], 10) == "reactivated"
    assert CANCELLATION.label_of(OUTCOMES.index("reactivated")) == 1
    pending = [snapshot(0)]
    mark(CANCELLATION, pending, back, cancel(12))
    assert told(CANCELLATION, pending[0], 12) == "left"


def test_several_horizons_are_told_apart() -> None:
    """One prediction has a truth per horizon, each at its own time; the one that is served comes first."""
    label = LabelDefinition(LabelSettings(horizon_days=30, other_horizons_days=(7, 90)))
    pending = [snapshot(0, horizons=3)]
    mark(label, pending, cancel(20))

    assert label.horizons == (30, 7, 90)
    assert [told(label, pending[0], 20, number) for number in range(3)] == ["left", "stayed", "left"]
    assert label.due_at([snapshot(0, horizons=3)]) == START + 7 * DAY_S


def test_a_late_event_makes_a_told_prediction_due_again() -> None:
    """What was told otherwise is due at once; what was told right is not due at all."""
    for label, first, event in (
        (CANCELLATION, "stayed", cancel(10)), (INACTIVITY, "left", order(10)),
    ):  # fmt: skip
        pending = [snapshot(0)]
        pending[0].forecasts[0].told = OUTCOMES.index(first)
        assert label.due_at(pending) == math.inf

        assert mark(label, pending, event)
        assert label.due_at(pending) == NEVER
        assert not mark(label, pending, event)


def test_cohorts() -> None:
    """Cancellation wants a customer who bought and has not left; inactivity one who was active lately."""
    back = Event("Subscription Started", "sub_start", "c", START + 9 * DAY_S)

    assert not eligible(CANCELLATION, [order(0), cancel(5)], 10)
    assert eligible(CANCELLATION, [order(0), cancel(5), back], 10)
    assert not eligible(CANCELLATION, [], 0)
    assert eligible(INACTIVITY, [order(0)], 30)
    assert not eligible(INACTIVITY, [order(0)], 31)
