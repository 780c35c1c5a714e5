"""The bound of what events can show: less than the truth, but honest."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from models.evaluation import auc, log_loss
from models.simulator import SimulatedTruth, SimulatorSettings, TruthRow
from models.simulator.dynamics import FAILED, UNRESOLVED
from models.simulator.world import World

DAY_S = 86_400
HORIZON_DAYS = 30.0
SHOP = SimulatorSettings(customers=2000, days=110, seed=11)
Doubles = npt.NDArray[np.float64]


@cache
def truth() -> SimulatedTruth:
    return SimulatedTruth(SHOP)


@cache
def rows() -> tuple[TruthRow, ...]:
    times = [truth().start_time + day * DAY_S + second for day, second in ((5, 0), (40, 43_200), (79, 86_000))]
    return tuple(truth().rows(times, HORIZON_DAYS))


@cache
def seen() -> Doubles:
    return truth().observable([row.customer_id for row in rows()], [row.as_of for row in rows()], HORIZON_DAYS)


def outcomes() -> Doubles:
    return np.array([row.left_at is not None and row.left_at <= row.as_of + 30 * DAY_S for row in rows()], dtype=float)


def test_what_events_show_is_less_than_the_truth_and_more_than_nothing() -> None:
    """The filter's probabilities rank leavers well, but worse than knowing the hidden state; so says the log loss."""
    known = np.array([row.probability for row in rows()])
    prior = np.full(len(known), outcomes().mean())

    assert 0.76 < auc(outcomes(), seen()) < auc(outcomes(), known) - 0.02
    assert log_loss(outcomes(), known) < log_loss(outcomes(), seen()) < 0.9 * log_loss(outcomes(), prior)


def test_what_events_show_is_calibrated() -> None:
    """In every fifth of the customers as many leave as the filter says, within three standard errors."""
    for part in np.array_split(np.argsort(seen()), 5):
        expected, happened = seen()[part].mean(), outcomes()[part].mean()
        assert happened == pytest.approx(expected, abs=3 * math.sqrt(expected * (1 - expected) / part.size))


@pytest.mark.parametrize(("driver", "stage"), [(FAILED, 0), (UNRESOLVED, 1)])
def test_news_of_the_day_is_heard_at_once(driver: int, stage: int) -> None:
    """A failed payment and an unresolved complaint count from the second on which they were told."""
    world = next(day for day in World(SHOP).days() if day.number == 60)
    news = world.snapshots[stage]
    hit = np.flatnonzero(news.state[driver] - world.state[driver, news.who] > 0.9)
    ids = [truth().customer_ids[who] for who in news.who[hit]]
    told = [float(truth().start_time + 60 * DAY_S + second) for second in news.second[hit]]
    before, after = np.split(truth().observable(ids * 2, [at - 1.0 for at in told] + told), 2)

    assert len(ids) >= 4
    assert np.mean(after) > 1.5 * np.mean(before)


def test_the_same_question_has_the_same_answer_and_strangers_have_none() -> None:
    """The filter is seeded; who is not subscribed has no probability."""
    small = SimulatedTruth(SimulatorSettings(customers=150, days=40, seed=5))
    as_of = [small.start_time + 20.0 * DAY_S] * len(small.customer_ids)
    told = small.observable(small.customer_ids, as_of)

    np.testing.assert_array_equal(told, small.observable(small.customer_ids, as_of))
    np.testing.assert_array_equal(np.isnan(told), np.isnan(small.probabilities(small.customer_ids, as_of)))
    assert not len(small.observable([], []))
