"""Customers whose features wander slowly, as those of real ones do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Served = tuple[int, np.ndarray, np.ndarray]


def served(
    seed: int,
    days: int,
    *,
    customers: int = 300,
    features: int = 10,
    memory: float = 0.97,
    mood: float = 0.0,
    shift_day: int | None = None,
    shift: float = 0.0,
    nulls: float = 0.0,
) -> Iterator[Served]:
    """Day by day the features and probabilities of the customers seen.

    Features of a customer keep `memory` of themselves from day to day; one customer in a hundred is replaced daily;
    every other feature follows the week; `mood` moves all customers together. From `shift_day` on, feature 3 is
    `shift` higher, and a share of `nulls` of feature 4 is missing.
    """
    rng = np.random.default_rng(seed)
    state, common = rng.normal(size=(customers, features)), np.zeros(features)
    for day in range(days):
        state = memory * state + np.sqrt(1.0 - memory**2) * rng.normal(size=state.shape)
        new = rng.random(customers) < 0.01
        state[new] = rng.normal(size=(new.sum(), features))
        common = 0.95 * common + mood * rng.normal(size=features)
        matrix = state + common + 0.3 * np.cos(2.0 * np.pi * day / 7.0) * (np.arange(features) % 2)
        matrix[rng.random(matrix.shape) < 0.05] = np.nan
        if shift_day is not None and day >= shift_day:
            matrix[:, 3] += shift
            matrix[rng.random(customers) < nulls, 4] = np.nan
        seen = matrix[rng.random(customers) < 0.8].astype(np.float32)
        yield day, seen, 1.0 / (1.0 + np.exp(1.0 - np.nan_to_num(seen[:, 0])))
