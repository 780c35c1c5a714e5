"""The monitor on worlds that stand still and on worlds that change."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pytest

from models.drift import PROBABILITY, DriftAlarm, DriftMonitor, InvalidSketch
from models.settings import DriftSettings
from tests.models.drift.worlds import Served, served

NAMES = [f"f{i}" for i in range(10)]


def watch(monitor: DriftMonitor, days: Iterable[Served]) -> list[DriftAlarm]:
    return [alarm for day, matrix, probabilities in days for alarm in monitor.observe(day, matrix, probabilities)]


def false_alarms_per_month(budget: float, seeds: range, **world: float) -> float:
    """Alarms that began, over the months in which one was possible."""
    began = watched = 0
    for seed in seeds:
        monitor = DriftMonitor(DriftSettings(alarms_per_month=budget), NAMES)
        quiet = True
        for day, matrix, probabilities in served(seed, 400, **world):
            monitor.observe(day, matrix, probabilities)
            watched += monitor.ready
            began += quiet and bool(monitor.moved)
            quiet = not monitor.moved
    return began / watched * 30.0


@pytest.mark.parametrize("world", [{}, {"memory": 0.99}, {"mood": 0.05}], ids=["usual", "slow", "moody"])
def test_false_alarms_stay_within_the_budget(world: dict[str, float]) -> None:
    """Half an alarm a month over ten features and the probability, on eight stationary years.

    Customers are much the same from day to day, weeks have a rhythm, and in one world all customers move together.
    The count itself varies: 1.3 is two standard errors of about 45 alarms.
    """
    assert false_alarms_per_month(0.5, range(8), **world) <= 0.5 * 1.3


def test_a_smaller_budget_gives_fewer_alarms() -> None:
    """A tenth of an alarm a month, on six years."""
    assert false_alarms_per_month(0.1, range(6)) <= 0.15


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_shift_is_found(seed: int) -> None:
    """A mean that rises by half a standard deviation is found within a week, dated to two days, and alone."""
    monitor = DriftMonitor(DriftSettings(alarms_per_month=0.1), NAMES)
    alarms = watch(monitor, served(seed, 230, shift_day=215, shift=0.5))
    found = [alarm for alarm in alarms if alarm.day >= 215]

    assert [alarm.feature for alarm in found] == ["f3"]
    assert found[0].day <= 222
    assert abs(found[0].since - 215) <= 2
    assert found[0].shift.psi > found[0].limit
    assert "f3" in monitor.moved


def test_values_that_go_missing_are_found_and_told() -> None:
    """A fifth of a feature's values gone is an alarm whose sentence speaks of what is unknown."""
    monitor = DriftMonitor(DriftSettings(alarms_per_month=0.1), NAMES)
    alarms = watch(monitor, served(3, 225, shift_day=215, nulls=0.3))
    found = [alarm for alarm in alarms if alarm.day >= 215]

    assert [alarm.feature for alarm in found] == ["f4"]
    assert "f4 is unknown for" in found[0].sentence
    assert found[0].shift.null_rate > found[0].shift.null_rate_before + 0.02


def test_probabilities_are_watched_too() -> None:
    """Scores that move while the features stand still are an alarm of their own."""
    monitor = DriftMonitor(DriftSettings(alarms_per_month=0.1), NAMES)
    days = ((d, m, p if d < 215 else np.minimum(p * 1.5, 1.0)) for d, m, p in served(4, 225))

    assert [alarm.feature for alarm in watch(monitor, days) if alarm.day >= 215] == [PROBABILITY]


def test_an_alarm_ends_when_the_new_state_is_the_usual_one() -> None:
    """Within reference and quiet days after the shift nothing is in alarm any more, and it was raised once."""
    monitor = DriftMonitor(DriftSettings(alarms_per_month=0.1), NAMES)
    alarms = watch(monitor, served(1, 262, shift_day=210, shift=1.0))

    assert [alarm.feature for alarm in alarms if alarm.day >= 210] == ["f3"]
    assert monitor.moved == ()


def test_a_restored_monitor_goes_on_as_if_never_stopped() -> None:
    """Alarms and checkpoints of one that is stored as JSON every 20 days are those of one that is not."""
    settings = DriftSettings(alarms_per_month=1.0)
    one = DriftMonitor(settings, NAMES)
    other = DriftMonitor(settings, NAMES)
    for day, matrix, probabilities in served(5, 140, shift_day=120, shift=1.0):
        if day % 20 == 0:
            other = DriftMonitor.restore(json.loads(json.dumps(other.checkpoint())), settings, NAMES)
        assert one.observe(day, matrix, probabilities) == other.observe(day, matrix, probabilities)

    assert one.checkpoint() == other.checkpoint()
    assert one.moved


def test_a_feature_that_was_never_known_survives_json() -> None:
    """Strict JSON has no infinity, and the edges of such a feature are infinite."""
    settings = DriftSettings(settle_days=0, reference_days=1, window_days=1)
    one = DriftMonitor(settings, NAMES)
    matrix = np.ones((50, len(NAMES)), dtype=np.float32)
    matrix[:, 0] = np.nan
    one.observe(1, matrix, np.full(50, 0.5))
    other = DriftMonitor.restore(json.loads(json.dumps(one.checkpoint(), allow_nan=False)), settings, NAMES)

    assert other.checkpoint() == one.checkpoint()
    assert other.observe(2, matrix, np.full(50, 0.5)) == one.observe(2, matrix, np.full(50, 0.5))
    assert other.shifts == one.shifts


def test_checkpoints_of_others_are_refused() -> None:
    """Other features, and data that is no checkpoint."""
    settings = DriftSettings()
    plain = DriftMonitor(settings, NAMES).checkpoint()

    with pytest.raises(InvalidSketch, match="11 features cannot be used"):
        DriftMonitor.restore(plain, settings, NAMES[:3])
    with pytest.raises(InvalidSketch, match="cannot be used"):
        DriftMonitor.restore({"format": "?"}, settings, NAMES)


def test_days_come_in_order_and_of_one_shape() -> None:
    """A day that was seen, and a matrix of other features, are refused; a day with nobody is left out."""
    monitor = DriftMonitor(DriftSettings(), NAMES)
    monitor.observe(10, np.zeros((5, 10)), np.zeros(5))

    with pytest.raises(ValueError, match=r"day 10 .*a day after 10"):
        monitor.observe(10, np.zeros((5, 10)), np.zeros(5))
    with pytest.raises(ValueError, match="allowed: 10 features"):
        monitor.observe(11, np.zeros((5, 9)), np.zeros(5))
    assert monitor.observe(11, np.zeros((0, 10)), np.zeros(0)) == []
