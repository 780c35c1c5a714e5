"""Where a probability stands among those last emitted."""

from __future__ import annotations

import math

import numpy as np

_BINS = 1000


class Ranks:
    """Counts of the emitted probabilities of one partition, in steps of a thousandth."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS + 1, dtype=np.int64)

    def move(self, old: float, new: float) -> None:
        """A customer's emitted probability changed; NaN stands for none."""
        if not math.isnan(old):
            self._counts[int(old * _BINS)] -= 1
        if not math.isnan(new):
            self._counts[int(new * _BINS)] += 1

    def percentile(self, probability: float) -> float:
        """Share in percent of the counted probabilities that are not greater; 100 if none is counted."""
        total = int(self._counts.sum())
        if not total:
            return 100.0
        return round(100.0 * int(self._counts[: int(probability * _BINS) + 1].sum()) / total, 2)
