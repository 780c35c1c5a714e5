"""What happens to a raw vector before the weights: transforms, running standardisation, clipping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.churn.record import Column
from models.features.base import Feature

Vector = npt.NDArray[np.float64]

#: Standardised values are kept inside this range: one absurd value moves neither the model nor a score far.
CLIP = 5.0


class Transforms:
    """`log1p` of the size, with its sign, for the columns that say so; the rest as it is."""

    def __init__(self, features: Sequence[Feature | Column]) -> None:
        self._log1p = np.array([feature.transform == "log1p" for feature in features])

    def apply(self, x: npt.NDArray[Any]) -> Vector:
        """A transformed float64 copy of rows, or of one row; NaN stays NaN."""
        values = np.array(x, dtype=np.float64, order="C")
        logs = np.copysign(np.log1p(np.abs(values)), values)
        return np.where(self._log1p, logs, values)


class Scaler:
    """River's `StandardScaler` on whole vectors: running mean and population variance per column (Welford).

    The formulas are River's, column by column, so both give the same numbers; a vector costs a tenth of a dict. NaN
    counts as absent.
    """

    def __init__(self, columns: int) -> None:
        self.counts: Vector = np.zeros(columns)
        self.means: Vector = np.zeros(columns)
        self.variances: Vector = np.zeros(columns)

    def learn(self, x: Vector, known: npt.NDArray[np.bool_]) -> None:
        """Take one transformed vector into account; `known` tells which columns are not NaN."""
        self.counts += known
        counts = np.maximum(self.counts, 1.0)
        before = np.where(known, x - self.means, 0.0)
        self.means += before / counts
        after = x - self.means
        self.variances += np.where(known, (before * after - self.variances) / counts, 0.0)

    def standardise(self, x: Vector) -> Vector:
        """Clipped standard scores; 0 for a column that never varied, NaN where not known."""
        return standardise(x, self.means, inverse(np.sqrt(self.variances)), CLIP)


def inverse(deviations: Vector) -> Vector:
    """1 / deviation, and 0 for a column that never varied."""
    return np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations > 0.0)


def standardise(x: Vector, means: Vector, inverses: Vector, clip: float) -> Vector:
    """Clipped standard scores of transformed rows, or of one; NaN stays NaN."""
    return np.minimum(np.maximum((x - means) * inverses, -clip), clip)
