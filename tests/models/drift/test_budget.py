"""The limit against what it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.drift import limit


@pytest.mark.parametrize("budget", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("blocks", [4, 12, 40])
@pytest.mark.parametrize("tail", ["normal", "lognormal"])
def test_false_alarms_stay_within_the_budget(budget: float, blocks: int, tail: str) -> None:
    """However the largest movements are distributed, the next week exceeds the limit as often as allowed, or less.

    A tenth over it is let by where the tail beyond the few weeks seen is as heavy as the one assumed.
    """
    rng = np.random.default_rng(1)
    weeks = np.abs(rng.standard_normal((20_000, blocks + 1)))
    weeks = np.exp(weeks) if tail == "lognormal" else weeks
    rate = np.mean([past[-1] > limit(past[:-1], budget, 7.0) for past in weeks]) * 30.0 / 7.0

    assert rate <= 1.1 * budget + 0.03


def test_the_limit_is_not_needlessly_high() -> None:
    """With half a year of weeks, a budget of one alarm a month is used to at least two thirds."""
    weeks = np.random.default_rng(2).exponential(size=(20_000, 27))
    rate = np.mean([past[-1] > limit(past[:-1], 1.0, 7.0) for past in weeks]) * 30.0 / 7.0

    assert rate > 2.0 / 3.0


def test_nothing_is_said_before_three_weeks() -> None:
    """The limit is infinite, and falls as weeks are seen."""
    assert limit(np.ones(2), 0.5, 7.0) == math.inf
    assert limit(np.ones(3), 0.5, 7.0) > limit(np.ones(6), 0.5, 7.0) > limit(np.ones(20), 0.5, 7.0) == 1.0
