"""How far a period is from another: the population stability index, and what moved.

The index is the symmetric Kullback-Leibler divergence (Jeffreys, 1946) of two histograms. Being unknown is a bin like
any other, so values that go missing count as well.
"""

from __future__ import annotations

import msgspec
import numpy as np

from models.drift.sketch import Array, Floats, Sketch

#: Added to each bin, so that an empty one does not make the index infinite (Jeffreys' prior).
_PRIOR = 0.5


class Shift(msgspec.Struct, frozen=True):
    """One feature before and after. Means and the standard deviation before are None where nothing was known."""

    psi: float
    null_rate_before: float
    null_rate: float
    mean_before: float | None
    mean: float | None
    deviation_before: float | None

    @property
    def deviations(self) -> float:
        """How many standard deviations (of before) the mean moved; 0 where that cannot be said."""
        if self.mean is None or self.mean_before is None or not self.deviation_before:
            return 0.0
        return (self.mean - self.mean_before) / self.deviation_before


def psi(before: Array, after: Array) -> Floats:
    """Index per feature of two histograms (bins x features). About below .1 nobody cares, above .25 most do.

    By chance alone it is about (bins - 1) * (1 / n + 1 / m) for n and m independent rows, and much more for rows of the
    same customers day after day.
    """
    p = (before + _PRIOR) / (before.sum(axis=0) + _PRIOR * len(before))
    q = (after + _PRIOR) / (after.sum(axis=0) + _PRIOR * len(after))
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=0), dtype=np.float64)


def shifts(before: Sketch, after: Sketch) -> list[Shift]:
    """Every feature of two sketches of the same edges, in their order."""
    found = psi(before.histogram, after.histogram)
    return [
        Shift(
            psi=float(found[i]),
            null_rate_before=_rate(before, i),
            null_rate=_rate(after, i),
            mean_before=_known(before, before.means, i),
            mean=_known(after, after.means, i),
            deviation_before=_known(before, before.deviations, i),
        )
        for i in range(len(found))
    ]


def _rate(sketch: Sketch, feature: int) -> float:
    return float(sketch.nulls[feature]) / sketch.rows if sketch.rows else 0.0


def _known(sketch: Sketch, values: Floats, feature: int) -> float | None:
    return float(values[feature]) if sketch.nulls[feature] < sketch.rows else None
