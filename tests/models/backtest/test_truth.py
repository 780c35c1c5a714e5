from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.backtest.truth import LEFT, LEFT_IN_GAP, OUTCOMES, STAYED, UNKNOWN, Truth
from models.settings import LabelSettings

DAY = 86_400.0
happenings = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60)), max_size=40)


def outcome(kind, events, customer, as_of, horizon, known_until):
    """The definition, word by word, in days."""
    if as_of + horizon > known_until:
        return "unknown"
    happened = any(who == customer and as_of < at <= as_of + horizon for who, at in events)
    return "left" if happened == (kind == "cancellation") else "stayed"


@pytest.mark.parametrize("kind", ["inactivity", "cancellation"])
@given(events=happenings, known_until=st.integers(0, 70))
def test_outcomes_are_those_of_the_definition(kind, events, known_until):
    """Whatever happened to whom, every customer and day gets the outcome that a search by hand finds."""
    truth = Truth(LabelSettings(kind=kind))
    for customer, day in events:
        truth.add(customer, day * DAY)
    asked = [(customer, day) for customer in range(5) for day in range(0, 60, 7)]
    customers, days = (np.array(column) for column in zip(*asked, strict=True))

    found = truth.outcomes(customers, days * DAY, 20.0, known_until * DAY)

    expected = [outcome(kind, events, customer, day, 20, known_until) for customer, day in asked]
    assert [OUTCOMES[code] for code in found] == expected


def test_borders_are_compared_exactly():
    """The window begins after its first moment and ends with its last, to the last bit of the time."""
    at = 1.5e9 + 0.123456
    truth = Truth(LabelSettings(kind="inactivity"))
    truth.add(7, at)
    moments = np.array([at, np.nextafter(at, 0), at - 30 * DAY, np.nextafter(at - 30 * DAY, 0)])

    found = truth.outcomes(np.full(4, 7), moments, 30.0, 2e9)

    assert found.tolist() == [LEFT, STAYED, STAYED, LEFT]


def test_nothing_is_known_of_a_horizon_that_the_data_does_not_cover():
    """Activity within an unfinished horizon does not make it known: those who stayed would be known first."""
    truth = Truth(LabelSettings(kind="inactivity"))
    truth.add(0, 5 * DAY)

    assert truth.outcomes(np.array([0]), np.array([0.0]), 30.0, 29 * DAY).tolist() == [UNKNOWN]


def test_a_leave_in_the_gap_has_no_label():
    """Who leaves before the horizon begins could not be kept: neither 1 nor 0."""
    truth = Truth(LabelSettings(kind="cancellation", gap_days=7.0))
    for customer, day in ((0, 3), (1, 10), (2, 38)):
        truth.add(customer, day * DAY)

    found = truth.outcomes(np.arange(3), np.zeros(3), 30.0, 90 * DAY)

    assert found.tolist() == [LEFT_IN_GAP, LEFT, STAYED]
    assert truth.labels(found).tolist() == [-1, 1, 0]


@pytest.mark.parametrize(("involuntary", "label"), [("exclude", -1), ("churn", 1)])
def test_leaving_without_wanting_to_is_labelled_as_the_settings_say(involuntary, label):
    """A failed payment that ends a subscription is no label, or churn like any other."""
    truth = Truth(LabelSettings(kind="cancellation", involuntary=involuntary))
    truth.add(0, DAY, unwilling=True)

    found = truth.outcomes(np.array([0]), np.array([0.0]), 30.0, 90 * DAY)

    assert (OUTCOMES[found[0]], truth.labels(found).tolist()) == ("left_involuntary", [label])
