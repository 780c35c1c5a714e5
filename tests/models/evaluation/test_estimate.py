"""What probabilities say of themselves, against labels drawn with them."""

from __future__ import annotations

import numpy as np
import pytest

from models import evaluation
from models.evaluation import estimate

MEASURES = {
    "auc": evaluation.auc,
    "log_loss": evaluation.log_loss,
    "brier": evaluation.brier,
    "rate": lambda y, p: y.mean(),
    "precision_at_top": lambda y, p: evaluation.precision_at(y, p, 0.1),
    "recall_at_top": lambda y, p: evaluation.recall_at(y, p, 0.1),
    "lift_at_top": lambda y, p: evaluation.lift_at(y, p, 0.1),
}


def probabilities(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.round(1.0 / (1.0 + np.exp(-rng.normal(-1.0, 1.2, count))), 3)


@pytest.mark.parametrize("of", ["themselves", "another"])
def test_calibrated_probabilities_come_out_as_estimated(of: str) -> None:
    """Over 400 drawings the mean of each realised measure is the estimate, and 95 % lie in its interval."""
    rng = np.random.default_rng(1)
    p = probabilities(rng, 1500)
    scores = p if of == "themselves" else np.clip(p + rng.normal(0, 0.15, 1500), 0.01, 0.99)
    told = estimate(np.arange(1500), p, scores)
    drawn = [(rng.random(1500) < p).astype(float) for _ in range(400)]

    for name, measure in MEASURES.items():
        realised = np.array([measure(labels, scores) for labels in drawn])
        inside = ((realised >= told[name].low) & (realised <= told[name].high)).mean()
        assert told[name].value == pytest.approx(realised.mean(), rel=0.01), name
        assert 0.92 <= inside <= 0.98, name


def test_probabilities_that_are_no_longer_right_are_found_out() -> None:
    """Where customers leave half as often again as said, the realised rate and loss lie outside."""
    rng = np.random.default_rng(2)
    p = probabilities(rng, 4000)
    labels = (rng.random(4000) < np.minimum(1.5 * p, 1.0)).astype(float)
    told = estimate(np.arange(4000), p)

    assert labels.mean() > told["rate"].high
    assert evaluation.log_loss(labels, p) > told["log_loss"].high


def test_weekly_rows_of_a_customer_are_as_unsure_as_one() -> None:
    """Repeating every row four times changes neither estimates nor intervals."""
    p = probabilities(np.random.default_rng(3), 500)
    once, four = estimate(np.arange(500), p), estimate(np.repeat(np.arange(500), 4), np.repeat(p, 4))

    for name in MEASURES:
        found, expected = four[name], once[name]
        assert (found.low, found.value, found.high) == pytest.approx(
            (expected.low, expected.value, expected.high), abs=2e-3
        )


def test_without_a_chance_of_both_classes_there_is_no_estimate() -> None:
    """No rows, or a model that is certain that all stay."""
    assert estimate(np.zeros(0, dtype=int), np.zeros(0)) == {}
    assert estimate(np.arange(3), np.zeros(3)) == {}
