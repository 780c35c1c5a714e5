"""Platt's map: learned online, used only where it helps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.churn.calibration import Gain, PastMaps, PlattLearner, RecentLoss, calibrate, logit, sigmoid
from models.churn.record import CalibrationForm


def test_logit_and_sigmoid_are_inverse_and_stay_inside() -> None:
    """Probability to log-odds and back is the same; nothing comes out as exactly 0 or 1."""
    p = np.array([1e-9, 0.2, 0.5, 0.999])

    assert sigmoid(logit(p)).tolist() == pytest.approx(p.tolist(), rel=1e-9)
    assert ((sigmoid(np.array([-1e9, 1e9])) > 0) & (sigmoid(np.array([-1e9, 1e9])) < 1)).all()
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()


def test_the_map_finds_a_known_distortion() -> None:
    """Log-odds that are twice too large and shifted are brought back to the truth."""
    rng, platt = np.random.default_rng(3), PlattLearner()
    true = rng.normal(-1.0, 1.0, 60_000)
    for raw, label in zip((2.0 * true + 1.0).tolist(), (rng.random(60_000) < sigmoid(true)).tolist(), strict=True):
        platt.learn(raw, int(label))

    assert platt.slope == pytest.approx(0.5, abs=0.05)
    assert platt.intercept == pytest.approx(-0.5, abs=0.1)


def test_the_map_is_the_identity_until_used() -> None:
    """An unused map changes nothing, a used one is slope and intercept."""
    logits = np.array([-1.0, 2.0])

    assert calibrate(CalibrationForm(0.5, 1.0, used=False), logits).tolist() == [-1.0, 2.0]
    assert calibrate(CalibrationForm(0.5, 1.0, used=True), logits).tolist() == [0.5, 2.0]


def test_extreme_log_odds_cannot_turn_the_order_round() -> None:
    """The slope stays positive and finite, whatever is fed in."""
    platt = PlattLearner()
    for i in range(1000):
        platt.learn(1e9 if i % 2 else -1e9, i % 2 == 0)

    assert 0.0 < platt.slope < math.inf
    assert math.isfinite(platt.intercept)


def lived(seed: int, mean: float, season: float = 0.0) -> Gain:
    """The gain of a map over eight horizons of 30 days, with noise; `season` turns its sign every horizon."""
    rng, gain = np.random.default_rng(seed), Gain()
    for day in range(240):
        moved = season if day // 30 % 2 else -season
        for difference in rng.normal(mean + moved, 0.1, 10).tolist():
            gain.add(day * 86_400.0, difference, 30 * 86_400.0)
    return gain


def test_a_map_has_to_be_surely_better() -> None:
    """A clear gain brings a map into use, a loss does not, nor one that comes and goes with the season."""
    assert lived(1, 0.03).earned(used=False)
    assert not lived(1, -0.03).earned(used=False)
    assert not lived(1, 0.03, season=0.1).earned(used=False)
    assert not lived(1, -0.03).earned(used=True)
    assert not Gain().earned(used=True)


def test_chance_hardly_ever_brings_a_map_into_use() -> None:
    """Of 300 maps that gain nothing at most one in thirty is taken."""
    assert sum(lived(seed, 0.0).earned(used=False) for seed in range(300)) <= 10


def test_a_map_is_remembered_as_it_was() -> None:
    """The map of a time is the newest that was known then: one a day is kept, and none before the first."""
    past = PastMaps()
    for hour in range(0, 24 * 500, 8):
        past.keep(hour * 3600.0, PlattLearner(slope=1.0 + hour))

    assert len(past.maps) == 400
    assert past.at(499 * 86_400.0) == (1.0 + 499 * 24, 0.0)
    assert past.at(498.9 * 86_400.0) == (1.0 + 498 * 24, 0.0)
    assert past.at(99.5 * 86_400.0) is None


def test_recent_loss_is_the_decayed_mean_of_log_losses() -> None:
    """The running mean equals the formula, with weights falling by 1/2000 per example."""
    rng, loss = np.random.default_rng(4), RecentLoss()
    logits, labels = rng.normal(0, 20, 300), rng.integers(0, 2, 300)
    for raw, label in zip(logits.tolist(), labels.tolist(), strict=True):
        loss.add(raw, label)
    weights = (1 - 1 / 2000) ** np.arange(299, -1, -1)
    expected = np.average(np.logaddexp(0.0, np.where(labels == 1, -logits, logits)), weights=weights)

    assert RecentLoss().mean == 0.0
    assert loss.mean == pytest.approx(float(expected), rel=1e-9)
