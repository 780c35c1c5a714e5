"""Trees as arrays against trees walked one by one."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from models.churn.forms.trees import UNKNOWN, TreesForm, TreesScorer, trees_faults
from models.churn.scaling import Column

COLUMNS = (Column("a", "identity"), Column("b", "log1p"), Column("c", "identity"))
#: Two trees: one asks for `a`, then `b`; the other for `b` alone.
FORM = TreesForm(
    roots=(0, 5),
    features=(0, 1, 0, 0, 0, 1, 0, 0),
    thresholds=(1.0, 0.5, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0),
    children=(1, 3, 0, 0, 0, 6, 0, 0),
    rates=(0.3, 0.2, 0.5, 0.1, 0.4, 0.25, 0.05, 0.35),
)


def rate(x: list[float]) -> float:
    """FORM as nested questions."""
    b = UNKNOWN if np.isnan(x[1]) else float(np.sign(x[1]) * np.log1p(abs(x[1])))
    a = UNKNOWN if np.isnan(x[0]) else x[0]
    first = (0.1 if b <= 0.5 else 0.4) if a <= 1.0 else 0.5
    return (first + (0.05 if b <= -1.0 else 0.35)) / 2


ROWS = [[0.0, 0.0, 9.0], [1.0, 5.0, 9.0], [1.5, -5.0, 0.0], [np.nan, np.nan, np.nan], [np.nan, 2.0, 0.0]]


def test_a_chunk_goes_down_as_each_row_would() -> None:
    """The log-odds of the mean of the leaves, equal values to the left, unknown values below all others."""
    p = 1.0 / (1.0 + np.exp(-TreesScorer(FORM, COLUMNS).logits(np.array(ROWS))))

    assert p.tolist() == pytest.approx([rate(row) for row in ROWS], abs=1e-12)


def test_contributions_follow_the_paths() -> None:
    """What each split changed, averaged over trees, all stretched by one factor from probability to log-odds."""
    moved = TreesScorer(FORM, COLUMNS).contributions(np.array([[1.0, 5.0, 9.0]]))[0]
    by_a, by_b = (0.2 - 0.3) / 2, ((0.4 - 0.2) + (0.35 - 0.25)) / 2
    end, base = 0.375, 0.275
    factor = (np.log(end / (1 - end)) - np.log(base / (1 - base))) / (end - base)

    assert moved.tolist() == pytest.approx([by_a * factor, by_b * factor, 0.0], abs=1e-12)


def test_moves_that_cancel_out_are_told_all_the_same() -> None:
    """Where the rate ends at the base, the contributions are the opposite moves, and their sum is 0."""
    form = msgspec.structs.replace(FORM, roots=(0,), rates=(0.3, 0.2, 0.5, 0.3, 0.4, 0.25, 0.05, 0.35))
    moved = TreesScorer(form, COLUMNS).contributions(np.array([[1.0, 0.0, 9.0]]))[0]

    assert moved.tolist() == pytest.approx([-0.1 / 0.21, 0.1 / 0.21, 0.0], abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"roots": ()}, "0 trees"),
        ({"rates": (0.5,)}, "lists of lengths"),
        ({"roots": (0, 8)}, "root"),
        ({"roots": (-1, 5)}, "root"),
        ({"children": (1, 1, 0, 0, 0, 6, 0, 0)}, "behind its parent"),
        ({"children": (1, 7, 0, 0, 0, 6, 0, 0)}, "behind its parent"),
        ({"children": (1, -3, 0, 0, 0, 6, 0, 0)}, "behind its parent"),
        ({"features": (3, 1, 0, 0, 0, 1, 0, 0)}, "one of the 3"),
        ({"features": (-1, 1, 0, 0, 0, 1, 0, 0)}, "one of the 3"),
        ({"thresholds": (float("nan"), *FORM.thresholds[1:])}, "thresholds"),
        ({"rates": (1.0, *FORM.rates[1:])}, "rates"),
        ({"rates": (*FORM.rates[:-1], 1.5)}, "rates"),
    ],
)
def test_each_fault_is_named(changes: dict[str, Any], message: str) -> None:
    """Lists that do not fit, cycles, unknown columns and numbers that are none are refused in words."""
    assert list(trees_faults(FORM, 3)) == []
    assert message in " ".join(trees_faults(msgspec.structs.replace(FORM, **changes), 3))


def test_a_path_without_end_is_refused() -> None:
    """The number of splits on a path is bounded, so no record can make scoring slow."""
    depth, children = 250, [1]
    for i in range(1, depth):
        children += [2 * i + 1, 0]
    children += [0, 0]
    size = len(children)
    form = TreesForm((0,), (0,) * size, (0.0,) * size, tuple(children), (0.5,) * size)

    assert "a path of 250 splits" in " ".join(trees_faults(form, 3))
