"""Curves against the measures that they draw, and against scikit-learn where it is installed."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import evaluation

PAIRS = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0.0, 1.0))), max_size=40
)
Pairs = list[tuple[int, float]]


def arrays(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    return np.array([y for y, _ in pairs], dtype=np.int64), np.array([p for _, p in pairs], dtype=np.float64)


@given(PAIRS)
def test_the_area_below_the_roc_curve_is_auc(pairs: Pairs) -> None:
    """By trapezoids, ties included; the curve ends at (1, 1), and is empty without both classes."""
    labels, scores = arrays(pairs)
    curve = evaluation.roc_curve(labels, scores)
    x, y = curve.false_positive_rate, curve.true_positive_rate
    if not 0 < labels.sum() < len(labels):
        assert len(x) == len(y) == len(curve.threshold) == 0
        return

    assert ((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum() == pytest.approx(evaluation.auc(labels, scores))
    assert (x[0], y[0], x[-1], y[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert [((scores >= t) & (labels == 1)).sum() / labels.sum() for t in curve.threshold] == pytest.approx(y.tolist())


@given(PAIRS)
def test_precision_over_the_steps_of_recall_is_average_precision(pairs: Pairs) -> None:
    """The sum of steps equals the measure."""
    labels, scores = arrays(pairs)
    curve = evaluation.precision_recall_curve(labels, scores)
    if not labels.any():
        assert len(curve.recall) == 0
        return

    found = (np.diff(curve.recall, prepend=0.0) * curve.precision).sum()
    assert found == pytest.approx(evaluation.average_precision(labels, scores))


def test_curves_are_those_of_scikit_learn() -> None:
    """Points of ROC and of precision and recall, on tied scores."""
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    labels, scores = rng.integers(0, 2, 500), np.round(rng.random(500), 2)
    roc = evaluation.roc_curve(labels, scores)
    pr = evaluation.precision_recall_curve(labels, scores)

    x, y, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    assert roc.false_positive_rate == pytest.approx(x)
    assert roc.true_positive_rate == pytest.approx(y)
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    assert pr.precision[::-1] == pytest.approx(precision[:-1])
    assert pr.recall[::-1] == pytest.approx(recall[:-1])


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    """At most as many points as asked for, plus the origin of the ROC curve."""
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 5000), rng.random(5000)
    roc, pr = evaluation.roc_curve(labels, scores, 50), evaluation.precision_recall_curve(labels, scores, 50)

    assert len(roc.threshold) <= 51
    assert len(pr.threshold) <= 50
    assert (roc.true_positive_rate[-1], pr.recall[-1], pr.threshold[-1]) == (1.0, 1.0, scores.min())


@given(PAIRS)
def test_gain_is_recall_and_lift_is_gain_over_share(pairs: Pairs) -> None:
    """At shares that are whole numbers of customers the gain is `recall_at`, the lift `lift_at`."""
    labels, scores = arrays(pairs)
    if not labels.any():
        assert len(evaluation.gain_curve(labels, scores).gain) == 0
        return
    curve = evaluation.gain_curve(labels, scores, len(labels) + 1)
    counts = range(1, len(labels) + 1)

    assert curve.gain[1:] == pytest.approx([evaluation.recall_at(labels, scores, k) for k in counts])
    assert curve.lift[1:] == pytest.approx([evaluation.lift_at(labels, scores, k) for k in counts])
    assert (curve.gain[0], curve.gain[-1]) == (0.0, pytest.approx(1.0))


@given(PAIRS)
def test_the_reliability_table_is_a_partition(pairs: Pairs) -> None:
    """Bins do not overlap, hold every example once, and their gaps sum to the ECE."""
    labels, probabilities = arrays(pairs)
    table = evaluation.reliability(labels, probabilities)

    assert sum(b.count for b in table) == len(pairs)
    assert sum(b.positives for b in table) == labels.sum()
    assert all(a.highest < b.lowest for a, b in pairwise(table))
    assert all(0.0 <= b.low <= b.rate <= b.high <= 1.0 for b in table)
    if pairs:
        gap = sum(b.count * abs(b.probability - b.rate) for b in table) / len(pairs)
        assert gap == pytest.approx(evaluation.ece(labels, probabilities))


def test_a_constant_probability_is_one_bin() -> None:
    """The prior says one thing, and its table has one row."""
    (only,) = evaluation.reliability(np.array([0, 1, 0, 0]), np.full(4, 0.25))

    assert (only.count, only.probability, only.rate) == (4, 0.25, 0.25)
    assert evaluation.reliability(np.zeros(0), np.zeros(0)) == []
    assert math.isnan(evaluation.ece(np.zeros(0), np.zeros(0)))
