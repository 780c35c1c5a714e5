"""The recency rule as it learns: each bin starts from the built-in curve and comes to its own rate.

The curve is worth a few pseudo-examples per bin; pooling adjacent violators keeps the table from ever falling with
silence.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from models.churn.forms.rule import CURVE, EDGES_DAYS

_PSEUDO_EXAMPLES = 10.0
#: After so many further examples one example weighs half.
_KEEP = 0.5 ** (1.0 / 20_000.0)
_REFRESH_EXAMPLES = 32


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
