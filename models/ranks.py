"""Where a probability stands among those last emitted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BINS = 1000
Values = npt.NDArray[np.float64]


class Ranks:
    """Counts of the emitted probabilities of one partition, in steps of a thousandth. NaN stands for none."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS + 1, dtype=np.int64)

    def fill(self, probabilities: Values) -> None:
        """Count these alone."""
        self._counts = self._count(probabilities)

    def move(self, old: Values, new: Values) -> None:
        """The emitted probabilities of some customers changed."""
        self._counts += self._count(new) - self._count(old)

    def percentiles(self, probabilities: Values) -> Values:
        """For each, the share in percent of the counted probabilities that are not greater; 100 if none is counted."""
        below = np.cumsum(self._counts)
        if not below[-1]:
            return np.full(len(probabilities), 100.0)
        shares = 100.0 * below[(probabilities * _BINS).astype(np.int64)] / below[-1]
        return np.asarray(np.round(shares, 2), dtype=np.float64)

    @staticmethod
    def _count(probabilities: Values) -> npt.NDArray[np.int64]:
        known = probabilities[~np.isnan(probabilities)]
        return np.bincount((known * _BINS).astype(np.int64), minlength=_BINS + 1)
