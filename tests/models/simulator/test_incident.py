"""Planted incidents: what they change, from when on, and that they change nothing else."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest

from models.evaluation import auc
from models.simulator import (
    INCIDENTS,
    Incident,
    InvalidSimulatorSettings,
    SimulatedEvent,
    SimulatedTruth,
    SimulatorSettings,
    simulate,
)

DAY_S = 86_400
START, DAYS = 40, 20


@cache
def told(kind: str = "") -> tuple[SimulatedEvent, ...]:
    return tuple(simulate(shop(kind)))


def shop(kind: str, **changes: int) -> SimulatorSettings:
    size = {"customers": 1200, "days": 70, "seed": 3} | changes
    incident = Incident.parse(f"{kind}:{START}:{DAYS}") if kind else None
    return SimulatorSettings(**size, late_rate=0.0, transcripts=False, incident=incident)


def counts(kind: str, pattern: bytes, days: range = range(START, START + DAYS)) -> int:
    begin = shop("").start_time
    return sum(pattern in one.raw and int((one.time - begin) // DAY_S) in days for one in told(kind))


@pytest.mark.parametrize("kind", INCIDENTS)
def test_until_the_incident_the_events_are_the_same_bytes(kind: str) -> None:
    """What lies before the first day of an incident is as without one."""
    begin = shop("").start_time + START * DAY_S
    before, changed = ([one for one in told(which) if one.time < begin] for which in ("", kind))

    assert len(before) > 1000
    assert before == changed
    assert told("") != told(kind)


def test_payments_fail_four_times_as_often_while_it_lasts() -> None:
    """`payments`: failures multiply during the incident and only then."""
    assert counts("payments", b'"Payment Failed"') > 2.5 * counts("", b'"Payment Failed"')
    after = range(START + DAYS, 70)
    assert counts("payments", b'"Payment Failed"', after) < 1.5 * counts("", b'"Payment Failed"', after)


def test_an_outage_leaves_complaints_unresolved_and_customers_leave() -> None:
    """`outage`: several times as many unresolved conversations, and more cancellations."""
    assert counts("outage", b'"resolved":false') > 2.5 * counts("", b'"resolved":false')
    assert counts("outage", b'"Subscription Cancelled"') > 1.5 * counts("", b'"Subscription Cancelled"')


def test_other_causes_change_who_leaves_but_hardly_how_many() -> None:
    """`causes`: about as many leave, but now those of the dearest plan."""

    def dear(kind: str) -> float:
        during = range(START, START + DAYS)
        begin = shop("").start_time
        left = Counter(
            b'"plan":"family"' in one.raw
            for one in told(kind)
            if b'"Subscription Cancelled"' in one.raw and int((one.time - begin) // DAY_S) in during
        )
        return left[True] / left.total()

    ratio = counts("causes", b'"Subscription Cancelled"') / counts("", b'"Subscription Cancelled"')
    assert 0.6 < ratio < 1.7
    assert dear("") < 0.5 < 0.65 < dear("causes")


def test_the_truth_knows_of_the_incident() -> None:
    """Probabilities follow the causes that hold in the horizon, in the truth and in what events show."""
    truth = SimulatedTruth(shop("causes"))
    rows = list(truth.rows([truth.start_time + (START + 4.0) * DAY_S], 14.0))
    left = np.array([row.left_at is not None and row.left_at <= row.as_of + 14 * DAY_S for row in rows])
    seen = truth.observable([row.customer_id for row in rows], [row.as_of for row in rows], 14.0)
    unaware = SimulatedTruth(shop("")).probabilities(
        [row.customer_id for row in rows], [row.as_of - 5 * DAY_S for row in rows], 14.0
    )
    known = np.array([row.probability for row in rows])

    assert known.mean() == pytest.approx(left.mean(), abs=0.02)
    assert auc(left, seen) > 0.72
    both = ~np.isnan(unaware)
    assert auc(left[both], known[both]) > auc(left[both], unaware[both]) + 0.05


@pytest.mark.parametrize("text", ["", "flood:1:2", "outage", "outage:1", "outage:-1:2", "outage:1:2:3", "outage:x:2"])
def test_an_incident_that_cannot_be_is_refused(text: str) -> None:
    """The message names what is allowed."""
    with pytest.raises(InvalidSimulatorSettings, match="allowed: KIND:DAY:DAYS such as payments:60:14"):
        Incident.parse(text)
    with pytest.raises(InvalidSimulatorSettings, match="incident begins on day 80, allowed: 0 to 69"):
        SimulatorSettings(days=70, incident=Incident("outage", 80, 5)).check()
