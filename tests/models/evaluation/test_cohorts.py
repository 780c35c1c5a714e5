"""Declared cohorts: what can be said, what cannot, and whom it means."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation import parse_cohorts

FEATURES = ("tenure_days", "orders_90d")


def test_a_cohort_is_everybody_of_whom_all_parts_are_true() -> None:
    """Parts are joined by `and`; what is not known is neither below nor above nor different."""
    (cohort,) = parse_cohorts(["new: tenure_days < 90 and orders_90d != 0"], FEATURES)
    columns = {"tenure_days": np.array([10.0, 10.0, 90.0, np.nan]), "orders_90d": np.array([1.0, 0.0, 1.0, 1.0])}

    assert cohort.mask(columns).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("condition", "members"),
    [
        ("orders_90d < 2", [1.0]), ("orders_90d <= 2", [1.0, 2.0]), ("orders_90d > 2", [3.0]),
        ("orders_90d >= 2", [2.0, 3.0]), ("orders_90d = 2", [2.0]), ("orders_90d != 2", [1.0, 3.0]),
        ("orders_90d is known", [1.0, 2.0, 3.0]), ("orders_90d > -1e3", [1.0, 2.0, 3.0]),
    ],
)  # fmt: skip
def test_every_comparison_means_what_it_says(condition: str, members: list[float]) -> None:
    """Each operator chooses its values."""
    column = np.array([1.0, 2.0, 3.0, np.nan])
    (cohort,) = parse_cohorts([f"c: {condition}"], FEATURES)

    assert column[cohort.mask({"orders_90d": column})].tolist() == members


def test_the_unknown_can_be_asked_for() -> None:
    """`is unknown` chooses exactly what has no value."""
    (cohort,) = parse_cohorts(["c: orders_90d is unknown"], FEATURES)

    assert cohort.mask({"orders_90d": np.array([1.0, np.nan])}).tolist() == [False, True]


@pytest.mark.parametrize(
    "text",
    [
        "", "new", "new:", "new: tenure_days", "new: tenure_days < ", "new: tenure_days < x", "new: 1 < tenure_days",
        "New: tenure_days < 1", "new: tenure_days < 1 or orders_90d > 1", "new: nothing < 1", "all: tenure_days < 1",
        "new: tenure_days < 1; DROP TABLE scores", 'new: "tenure_days" < 1', "new: tenure_days < 1 and", "new: a is b",
    ],
)  # fmt: skip
def test_what_is_no_cohort_is_refused(text: str) -> None:
    """Nothing but the grammar is taken, and the fault is told with what is allowed."""
    with pytest.raises(ValueError, match="allowed"):
        parse_cohorts([text], FEATURES)


def test_a_name_is_given_once() -> None:
    """Two cohorts of one name cannot be told apart."""
    with pytest.raises(ValueError, match="'a'"):
        parse_cohorts(["a: tenure_days < 1", "a: tenure_days > 1"], FEATURES)
