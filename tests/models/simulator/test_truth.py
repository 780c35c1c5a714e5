from __future__ import annotations

import doctest
import json
import math
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from models.simulator import InvalidTruth, SimulatedTruth, SimulatorSettings, TruthRow, UnknownCustomer, simulate
from models.simulator import truth as truth_module
from models.simulator.dynamics import FAILED, UNRESOLVED
from models.simulator.luck import Boost, EvenLuck

DAY_S = 86_400
HORIZON_DAYS = 30.0
LARGE = SimulatorSettings(customers=6000, days=130, seed=11)
SMALL = SimulatorSettings(customers=200, days=60, seed=5)


@cache
def large() -> SimulatedTruth:
    return SimulatedTruth(LARGE)


@cache
def rows() -> tuple[TruthRow, ...]:
    times = [large().start_time + day * DAY_S + second for day, second in ((10, 0), (45, 43_200), (80, 0))]
    return tuple(large().rows(times, HORIZON_DAYS))


def probabilities() -> npt.NDArray[np.float64]:
    return np.array([row.probability for row in rows()])


def outcomes() -> npt.NDArray[np.bool_]:
    return np.array([row.left_at is not None and row.left_at <= row.as_of + HORIZON_DAYS * DAY_S for row in rows()])


def auc(outcome: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]) -> float:
    ranks = np.empty(score.size)
    ranks[np.argsort(score)] = np.arange(1, score.size + 1)
    positives = int(outcome.sum())
    return float((ranks[outcome].sum() - positives * (positives + 1) / 2) / (positives * (score.size - positives)))


def test_the_probabilities_are_calibrated() -> None:
    """In every fifth of the customers as many leave as the truth says, within three standard errors."""
    order = np.argsort(probabilities())

    for part in np.array_split(order, 5):
        expected, happened = probabilities()[part].mean(), outcomes()[part].mean()
        assert happened == pytest.approx(expected, abs=3 * math.sqrt(expected * (1 - expected) / part.size))


def test_the_shop_is_as_hard_as_it_says() -> None:
    """About a tenth leave within 30 days, and the optimum's AUC is what the docstring states."""
    assert outcomes().mean() == pytest.approx(0.10, abs=0.02)
    assert auc(outcomes(), probabilities()) == pytest.approx(0.84, abs=0.02)


@pytest.mark.parametrize("driver", [FAILED, UNRESOLVED])
def test_causes_raise_the_probability_and_the_outcome(driver: int) -> None:
    """Customers with a recent failed payment, or an unresolved complaint, leave much more often than others."""
    truth = large()
    hit = np.array([_state(truth, row)[driver] > 0.5 for row in rows()])

    assert hit.sum() > 100
    assert probabilities()[hit].mean() > 1.7 * probabilities()[~hit].mean()
    assert outcomes()[hit].mean() > 1.5 * outcomes()[~hit].mean()


def test_visits_fade_before_customers_leave() -> None:
    """Those who will leave within two weeks visit less than those who stay."""
    settings = SimulatorSettings(customers=800, days=90, seed=11)
    truth = SimulatedTruth(settings)
    as_of = float(truth.start_time + 70 * DAY_S)
    pages: dict[str, int] = {}
    for record in simulate(settings):
        if as_of - 14 * DAY_S < record.time <= as_of and b'"type":"page"' in record.raw:
            pages[record.key] = pages.get(record.key, 0) + 1
    there = [
        key for key in truth.customer_ids if truth.subscribed(key, as_of - 14 * DAY_S) and truth.subscribed(key, as_of)
    ]
    leaving = [key for key in there if (truth.left_at(key, as_of) or math.inf) <= as_of + 14 * DAY_S]
    staying = sorted(set(there) - set(leaving))

    assert len(leaving) > 15
    assert _mean_visits(pages, leaving) < 0.75 * _mean_visits(pages, staying)


def test_a_shorter_horizon_is_less_likely_and_the_answer_is_repeatable() -> None:
    """The probability grows with the horizon, and the same question has the same answer."""
    truth = SimulatedTruth(SMALL)
    as_of = [truth.start_time + 20.0 * DAY_S] * len(truth.customer_ids)
    short, long = (truth.probabilities(truth.customer_ids, as_of, days) for days in (3.5, 30.0))
    there = ~np.isnan(long)

    assert 50 < there.sum() < len(there)
    assert (short[there] < long[there]).all()
    np.testing.assert_array_equal(truth.probabilities(truth.customer_ids, as_of, 30.0), long)


def test_news_of_the_day_counts_at_once() -> None:
    """A complaint that stays unresolved raises the probability right after the conversation, not before."""
    truth = large()
    day = truth._days[40]
    worse = [
        (int(who), int(second))
        for column, (who, second) in enumerate(zip(day.who, day.second, strict=True))
        if second >= 8 * 3600 and day.state[UNRESOLVED, column] > 0.9
    ]
    ids = [truth.customer_ids[who] for who, _ in worse]
    times = [truth.start_time + 40 * DAY_S + second for _, second in worse]
    before = truth.probabilities(ids, [time - 1 for time in times])
    after = truth.probabilities(ids, times)

    assert len(worse) >= 5
    assert after.mean() > 2 * before.mean()


def test_there_is_no_probability_for_those_who_are_not_there() -> None:
    """NaN before joining, after leaving and outside the days; an unknown customer is an error."""
    truth = SimulatedTruth(SMALL)
    gone = next(key for key in truth.customer_ids if truth.departures(key))
    left_at = truth.left_at(gone)

    assert left_at is not None
    assert truth.subscribed(gone, left_at - 1)
    assert not truth.subscribed(gone, left_at)
    assert math.isnan(truth.probability(gone, left_at))
    assert math.isnan(truth.probability(gone, truth.start_time - 1.0))
    assert truth.left_at(gone, left_at) != left_at
    with pytest.raises(UnknownCustomer, match="no customer 'nobody'"):
        truth.probability("nobody", left_at)


def test_a_written_truth_reads_back_the_same() -> None:
    """Through JSON, the truth answers as before."""
    truth = SimulatedTruth(SMALL)
    copy = SimulatedTruth.from_dict(json.loads(json.dumps(truth.to_dict())))
    as_of = truth.start_time + 30.0 * DAY_S

    assert list(copy.rows([as_of])) == list(truth.rows([as_of]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "format is 9"),
        ({"settings": {"customers": "many"}}, "settings are not valid"),
        ({"settings": {"customers": 0}}, "customers is 0"),
        ({"cancelled": {}}, "other cancellations"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    """A file of another format, or of a world that this program does not make, is an error and no guess."""
    with pytest.raises(InvalidTruth, match=message):
        SimulatedTruth.from_dict(SimulatedTruth(SMALL).to_dict() | change)


def test_the_example_of_the_docstring_runs() -> None:
    """What the documentation shows is what comes out."""
    assert doctest.testmod(truth_module) == doctest.TestResults(failed=0, attempted=2)


def test_boosted_draws_keep_their_distribution() -> None:
    """Weighted by what they carry, boosted uniforms are uniform, and the rare share comes up more often."""
    rng = np.random.default_rng(1)
    weights = np.zeros(200_000, np.float32)
    draws = Boost(0.3, 0.32, 5.0).apply(rng.random(weights.size, dtype=np.float32), weights)
    weights = np.exp(weights)
    rare = (draws >= 0.3) & (draws < 0.32)

    assert rare.mean() == pytest.approx(0.10, abs=0.004)
    assert weights.mean() == pytest.approx(1.0, abs=0.01)
    assert (weights * rare).mean() == pytest.approx(0.02, abs=0.001)
    assert (weights * (draws < 0.25)).mean() == pytest.approx(0.25, abs=0.005)


def test_even_draws_deal_everyone_the_same() -> None:
    """Over its paths and steps each customer gets a rare share as often as its size says, give or take one."""
    customers, paths, steps = 50, 64, 30
    plain = Boost(0.0, 0.5, 1.0)
    luck = EvenLuck(customers, paths, steps, (plain, plain), np.random.default_rng(2))
    draws = np.stack([luck.contacts(customers * paths).reshape(customers, paths) for _ in range(steps)], axis=1)
    hits = (draws < 0.01).sum(axis=(1, 2))

    assert set(hits.tolist()) <= {18, 19, 20, 21}
    assert draws.mean() == pytest.approx(0.5, abs=1e-3)
    assert len({tuple(row) for row in draws[:, 0, :4].tolist()}) == customers


def _state(truth: SimulatedTruth, row: TruthRow) -> npt.NDArray[np.float32]:
    place = truth._column(row.customer_id, row.as_of)
    assert place is not None
    day, column = place
    return truth._days[day].state[:, column]


def _mean_visits(pages: dict[str, int], keys: list[str]) -> float:
    return sum(pages.get(key, 0) for key in keys) / len(keys)
