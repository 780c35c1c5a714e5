"""A planted leak of each kind is found, and clean data give no finding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audit import (
    after_leaving,
    differing_features,
    early_learning,
    known_too_late,
    overlap,
    single_features,
)

DAY = 86_400.0
NAN = float("nan")
NAMES = ["recency", "orders", "tone"]


def good(seed: int = 1, rows: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Strong but honest features, some unknown, and labels, some unknown."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, 3)).astype(np.float32)
    labels = (rng.random(rows) < 1.0 / (1.0 + np.exp(2.0 - 3.0 * matrix[:, 0]))).astype(float)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    labels[rng.random(rows) < 0.1] = np.nan
    return matrix, labels


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_feature_that_knows_the_label_is_found(sign: float) -> None:
    """The label with a little noise, in either direction, and nothing else."""
    matrix, labels = good()
    matrix[:, 1] = sign * np.nan_to_num(labels) + np.random.default_rng(2).normal(0.0, 0.2, len(labels))
    (found,) = single_features(NAMES, matrix, labels)

    assert (found.kind, found.subject, found.severity) == ("single_feature", "orders", "fault")
    assert found.size > 0.98
    assert "orders alone" in found.sentence


@pytest.mark.parametrize("filled_for", [0.0, 1.0])
def test_a_feature_that_only_one_side_has_is_found(filled_for: float) -> None:
    """Its values say nothing, that it is known says all."""
    matrix, labels = good()
    matrix[:, 2] = np.where(labels == filled_for, np.random.default_rng(3).normal(size=len(labels)), np.nan)

    assert [finding.subject for finding in single_features(NAMES, matrix, labels)] == ["tone"]


@pytest.mark.parametrize("seed", range(5))
def test_honest_features_give_no_finding(seed: int) -> None:
    """One of them has an AUC of about .9."""
    assert single_features(NAMES, *good(seed)) == []


def test_a_handful_of_leavers_proves_nothing() -> None:
    """Ten leavers may be told apart by chance; without any label there is nothing to see."""
    labels = np.array([1.0] * 10 + [0.0] * 500)

    assert single_features(["x"], labels[:, None], labels) == []
    assert single_features(["x"], np.zeros((5, 1)), np.full(5, NAN)) == []


def test_rows_that_use_what_was_known_later_are_found() -> None:
    """A tenth of the rows know something of two days later."""
    as_of = np.arange(100) * DAY
    known_at = as_of - 5.0
    known_at[::10] += 2 * DAY
    (found,) = known_too_late(as_of, known_at)

    assert (found.kind, found.size, found.severity) == ("known_too_late", 0.1, "fault")
    assert "up to 2.0 days later" in found.sentence
    assert known_too_late(as_of, as_of) == []
    assert known_too_late(as_of, np.full(100, NAN)) == []


def test_features_served_otherwise_than_known_then_are_found() -> None:
    """A value that differs, one that was unknown, in their features; rounding to float32 is no difference."""
    matrix, _ = good()
    exact = np.nan_to_num(matrix.astype(np.float64)) * (1.0 + 1e-8)
    served = exact.astype(np.float32)
    assert differing_features(NAMES, served, exact) == []

    served[:200, 1] += 1.0
    served[:20, 2] = np.nan
    found = differing_features(NAMES, served, exact)
    assert [(f.subject, round(f.size, 3)) for f in found] == [("orders", 0.1), ("tone", 0.01)]
    with pytest.raises(ValueError, match="equal shapes"):
        differing_features(NAMES, served, exact[:5])
    assert differing_features(NAMES, served[:0], exact[:0]) == []


def test_customers_who_go_on_after_leaving_are_found() -> None:
    """A tenth of leavers with events a week later is a warning, a single score a fault."""
    left_at = np.where(np.arange(200) % 2 == 0, 100 * DAY, NAN)
    last_at = np.full(200, 99 * DAY)
    assert after_leaving(left_at, last_at, "events") == after_leaving(left_at, last_at, "scores") == []

    last_at[:20] = 107 * DAY
    (event,) = after_leaving(left_at, last_at, "events")
    (score,) = after_leaving(left_at, np.where(np.arange(200) < 2, last_at, NAN), "scores")
    assert (event.size, event.severity, score.size, score.severity) == (0.1, "warning", 0.01, "fault")
    assert after_leaving(np.full(3, NAN), np.zeros(3), "scores") == []


def test_examples_learned_before_their_horizon_ended_are_found() -> None:
    """Stayers cannot be known: a fault. Leavers can, but come too often: a warning."""
    label = np.array([0.0] * 8 + [1.0] * 2)
    due_at = np.full(10, 30 * DAY)
    assert early_learning(label, due_at, due_at) == []

    learned_at = due_at.copy()
    learned_at[[0, 1, 8]] = 20 * DAY
    found = early_learning(label, due_at, learned_at)
    assert [(f.subject, f.size, f.severity) for f in found] == [("stayers", 0.25, "fault"), ("leavers", 0.5, "warning")]


def test_predictions_inside_a_learned_horizon_are_found() -> None:
    """Customer 1's label up to day 30 was learned on day 10, so its prediction of day 20 knew it."""
    customer, due_at = np.array([1, 2]), np.array([30.0, 30.0]) * DAY
    test_customer, test_as_of = np.array([1, 1, 2, 1]), np.array([20.0, 30.0, 20.0, 9.0]) * DAY

    (found,) = overlap(customer, np.array([10.0, 30.0]) * DAY, due_at, test_customer, test_as_of)
    assert (found.kind, found.size, found.severity) == ("overlap", 0.25, "fault")
    assert overlap(customer, due_at, due_at, test_customer, test_as_of) == []
    assert overlap(customer[:0], due_at[:0], due_at[:0], test_customer[:0], test_as_of[:0]) == []


ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 9)), max_size=12)


@given(ROWS, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=12))
def test_overlap_is_that_of_comparing_all_pairs(train: list[tuple[int, int, int]], test: list[tuple[int, int]]) -> None:
    """The share of predictions for which some training row of the customer was learned before and ends after."""
    expected = np.mean([any(c == who and learned <= at < due for c, learned, due in train) for who, at in test])
    columns = np.array(train, dtype=float).reshape(-1, 3).T
    who, at = np.array(test, dtype=float).T
    found = overlap(*columns, who, at)

    assert (found[0].size if found else 0.0) == pytest.approx(expected)
