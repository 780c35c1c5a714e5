"""The recency rule: how likely a customer is to leave, from how long the silence is compared to the usual one.

A table per silence feature with log-spaced bins. Each bin starts from a built-in rising curve worth a few
pseudo-examples and learns its own rate; pooling adjacent violators keeps the published table from ever falling
with silence. It needs no training to be useful, and it is the reference that a learned model has to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.churn.record import RuleForm

#: Silence features per label kind, the best first: silence in own order (or activity) gaps, else in days.
SILENCE: dict[str, tuple[str, ...]] = {
    "inactivity": ("order_silence_ratio", "days_since_order"),
    "cancellation": ("activity_silence_ratio", "days_since_activity"),
}

_RATIO_EDGES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.3, 16.0)
_DAY_EDGES = (0.5, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0, 13.0, 18.0, 25.0, 36.0, 50.0, 72.0, 100.0)
_START = (0.05, 0.60)
_REFRESH_EXAMPLES = 32


def initial_rule(names: Sequence[str], kind: str) -> RuleForm:
    """The built-in table for a label kind over those silence features that are columns."""
    features = tuple(name for name in SILENCE[kind] if name in names)
    edges = tuple(_RATIO_EDGES if name.endswith("_ratio") else _DAY_EDGES for name in features)
    return RuleForm(features=features, edges=edges, rates=tuple(_curve(len(row) + 1) for row in edges))


def _curve(bins: int) -> tuple[float, ...]:
    """A straight line in log-odds from the smallest to the largest built-in rate."""
    low, high = (np.log(p / (1.0 - p)) for p in _START)
    return tuple((1.0 / (1.0 + np.exp(-np.linspace(low, high, bins)))).tolist())


def rule_probability(
    form: RuleForm, columns: Sequence[int], x: npt.NDArray[np.floating[Any]], prior: float
) -> npt.NDArray[np.float64]:
    """The rule's probability per row of `x`; the prior where no silence feature is known."""
    probability = np.full(len(x), prior)
    known = np.zeros(len(x), dtype=np.bool_)
    for column, edges, rates in zip(columns, form.edges, form.rates, strict=True):
        value = x[:, column].astype(np.float64)
        take = ~known & ~np.isnan(value)
        probability[take] = np.asarray(rates)[np.searchsorted(np.asarray(edges), value[take], side="right")]
        known |= take
    return probability
