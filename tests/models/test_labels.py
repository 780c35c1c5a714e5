"""When a stored prediction becomes an example, and with which truth."""

from __future__ import annotations

import numpy as np
import pytest

from models.events.types import Event
from models.features.layout import DAY_S, NEVER
from models.labels import ACTS, LEAVES, RETURNS, LabelDefinition, Snapshot
from models.settings import LabelSettings

START = 1_735_689_600.0
CANCELLATION = LabelDefinition(LabelSettings(kind="cancellation", horizon_days=30))
INACTIVITY = LabelDefinition(LabelSettings(kind="inactivity", horizon_days=30, active_within_days=30))


def snapshot(day: float) -> Snapshot:
    return Snapshot(START + day * DAY_S, 0.5, 0.5, 0.5, "rule", "1", "f", b"")


def cancel(day: float) -> Event:
    return Event("Subscription Cancelled", "sub_cancel", "c", START + day * DAY_S)


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
    CANCELLATION.mark(pending, cancel(10).time)

    assert CANCELLATION.truth(pending[0], START + 10 * DAY_S) == 1
    assert CANCELLATION.truth(pending[1], START + 69 * DAY_S) is None
    assert CANCELLATION.truth(pending[1], START + 70 * DAY_S) == 0


@pytest.mark.parametrize("day", [0.0, 30.001])
def test_events_outside_the_horizon_do_not_count(day: float) -> None:
    """An event at the prediction's own time or after its horizon is not its truth."""
    pending = [snapshot(0)]
    CANCELLATION.mark(pending, cancel(day).time)

    assert CANCELLATION.truth(pending[0], START + 31 * DAY_S) == 0


def test_inactivity_is_known_only_at_the_horizon() -> None:
    """Both truths wait for the horizon, so that early examples are not all of one kind."""
    active, silent = snapshot(0), snapshot(20)
    INACTIVITY.mark([active, silent], order(15).time)

    assert INACTIVITY.truth(active, START + 29 * DAY_S) is None
    assert INACTIVITY.truth(active, START + 30 * DAY_S) == 0
    assert INACTIVITY.truth(silent, START + 50 * DAY_S) == 1


def test_order_of_events_does_not_change_the_truth() -> None:
    """A late event marks the prediction that it belongs to."""
    for days in ([5.0, 50.0], [50.0, 5.0]):
        pending = [snapshot(0)]
        for day in days:
            INACTIVITY.mark(pending, order(day).time)

        assert INACTIVITY.truth(pending[0], START + 60 * DAY_S) == 0


def test_cohorts() -> None:
    """Cancellation wants a customer who bought and has not left; inactivity one who was active lately."""
    back = Event("Subscription Started", "sub_start", "c", START + 9 * DAY_S)

    assert not eligible(CANCELLATION, [order(0), cancel(5)], 10)
    assert eligible(CANCELLATION, [order(0), cancel(5), back], 10)
    assert not eligible(CANCELLATION, [], 0)
    assert eligible(INACTIVITY, [order(0)], 30)
    assert not eligible(INACTIVITY, [order(0)], 31)
