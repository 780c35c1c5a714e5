"""The recency rule: how likely a customer is to leave, from the longer of the present silence and the usual gap.

One table over log-spaced bins of days. Each bin starts from a built-in rising curve worth a few pseudo-examples
and learns its own rate; pooling adjacent violators keeps the table from ever falling with silence. It needs no
training to be useful, and it is the reference that a learned model has to beat.

Why both: on a fixed horizon a customer who comes every 40 days is at risk even the day after a visit, which the
silence alone misses, and so does its ratio to the usual gap. Complete Journey, no basket within 30 days, mid-November
2017: AUC .69 for the ratio, .83 for the silence, .87 for the longer of silence and gap.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.churn.record import RuleForm

#: Columns in days whose largest known value the rule reads, per label kind.
SILENCE: dict[str, tuple[str, ...]] = {
    "inactivity": ("days_since_order", "order_cadence_days"),
    "cancellation": ("days_since_activity", "activity_cadence_days"),
}
EDGES_DAYS = (0.5, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0, 13.0, 18.0, 25.0, 36.0, 50.0, 72.0, 100.0)
_LOWEST, _HIGHEST = 0.03, 0.70
_PSEUDO_EXAMPLES = 10.0
#: After so many further examples one example weighs half.
_KEEP = 0.5 ** (1.0 / 20_000.0)
_REFRESH_EXAMPLES = 32


def _straight_line(bins: int) -> tuple[float, ...]:
    low, high = (math.log(rate / (1.0 - rate)) for rate in (_LOWEST, _HIGHEST))
    return tuple(1.0 / (1.0 + math.exp(-(low + (high - low) * i / (bins - 1)))) for i in range(bins))


#: The built-in rate per bin: a straight line in log-odds.
CURVE = _straight_line(len(EDGES_DAYS) + 1)


def initial_rule(names: Sequence[str], kind: str) -> RuleForm:
    """The built-in table of a label kind, over those of its columns that exist."""
    columns = tuple(name for name in SILENCE[kind] if name in names)
    return RuleForm(columns=columns, edges=EDGES_DAYS, rates=CURVE)


def silence_days(x: npt.NDArray[Any], columns: Sequence[int]) -> npt.NDArray[np.float64]:
    """The largest known value of the rule's columns per row; NaN where none is known."""
    silence: npt.NDArray[np.float64] = np.full(len(x), np.nan)
    for column in columns:
        silence = np.fmax(silence, x[:, column])
    return silence


def rule_probability(
    form: RuleForm, columns: Sequence[int], x: npt.NDArray[Any], prior: float
) -> npt.NDArray[np.float64]:
    """The rule's probability per row of `x`; the prior where no silence is known."""
    silence = silence_days(x, columns)
    bins = np.searchsorted(np.array(form.edges), silence, side="right")  # NaN sorts last, and is replaced below
    return np.where(np.isnan(silence), prior, np.array(form.rates)[bins])


class RuleLearner(msgspec.Struct, forbid_unknown_fields=True):
    """Decayed counts per bin and the table made of them, which is renewed every 32 examples."""

    positives: list[float]
    totals: list[float]
    rates: list[float]
    waiting: int = 0

    @staticmethod
    def fresh() -> RuleLearner:
        """Nothing learned: the built-in curve."""
        bins = len(EDGES_DAYS) + 1
        return RuleLearner(positives=[0.0] * bins, totals=[0.0] * bins, rates=list(CURVE))

    def probability(self, silence: float, prior: float) -> float:
        """What the present table says of a silence in days (NaN: the prior)."""
        return prior if silence != silence else self.rates[bisect_right(EDGES_DAYS, silence)]

    def learn(self, silence: float, label: int) -> None:
        """Count one example; one without a known silence teaches nothing."""
        if silence != silence:
            return
        at = bisect_right(EDGES_DAYS, silence)
        self.positives[at] = self.positives[at] * _KEEP + label
        self.totals[at] = self.totals[at] * _KEEP + 1.0
        self.waiting += 1
        if self.waiting >= _REFRESH_EXAMPLES:
            self.waiting = 0
            self.rates = self._table()

    def _table(self) -> list[float]:
        weights = [total + _PSEUDO_EXAMPLES for total in self.totals]
        believed = zip(self.positives, CURVE, weights, strict=True)
        rates = [(positives + rate * _PSEUDO_EXAMPLES) / weight for positives, rate, weight in believed]
        return pool_adjacent_violators(rates, weights)


def pool_adjacent_violators(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The never falling sequence nearest to `values` in weighted squares (isotonic regression)."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        block = (value, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            (left, left_weight, left_size), (right, right_weight, right_size) = blocks.pop(), block
            total = left_weight + right_weight
            block = ((left * left_weight + right * right_weight) / total, total, left_size + right_size)
        blocks.append(block)
    return [value for value, _, size in blocks for _ in range(size)]
