"""What happens to a raw vector before the weights: transforms, running standardisation, clipping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.features.base import Feature, Transform

Vector = npt.NDArray[np.float64]

#: Standardised values are kept inside this range: one absurd value moves neither the model nor a score far.
CLIP = 5.0


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input of a model, in the order of the vector."""

    name: str
    transform: Transform


class Transforms:
    """`log1p` of the size, with its sign, for the columns that say so; the rest as it is."""

    def __init__(self, features: Sequence[Feature | Column]) -> None:
        self._log1p = np.array([feature.transform == "log1p" for feature in features])

    def apply(self, x: npt.NDArray[Any]) -> Vector:
        """A transformed float64 copy of rows, or of one row; NaN stays NaN."""
        values = np.array(x, dtype=np.float64, order="C")
        logs = np.copysign(np.log1p(np.abs(values)), values)
        return np.where(self._log1p, logs, values)

    def undo(self, values: Vector) -> Vector:
        """The raw row of a transformed one."""
        raw = np.copysign(np.expm1(np.abs(values)), values)
        return np.where(self._log1p, raw, values)


class Scaler:
    """River's `StandardScaler` on whole vectors: running mean and population variance per column (Welford).

    The recurrences are River's, column by column, so both agree but for rounding; a vector costs a third of a dict.
    NaN counts as absent. `squares` are the sums of squared distances from the mean.
    """

    def __init__(self, columns: int) -> None:
        self.counts: Vector = np.zeros(columns)
        self.means: Vector = np.zeros(columns)
        self.squares: Vector = np.zeros(columns)

    def learn(self, x: Vector) -> Vector:
        """Take one transformed vector into account, then return its clipped standard scores.

        A column that never varied, or is not known, scores 0: the average customer.
        """
        known = ~np.isnan(x)
        self.counts += known
        share = 1.0 / np.maximum(self.counts, 1.0)
        before = np.where(known, x, self.means) - self.means
        step = before * share
        self.means += step
        after = before - step
        self.squares += before * after
        z: Vector = after * inverse(np.sqrt(self.squares * share))
        return np.minimum(np.maximum(z, -CLIP), CLIP)

    def deviations(self) -> Vector:
        """The standard deviation per column; 0 for one that never varied."""
        deviations: Vector = np.sqrt(self.squares / np.maximum(self.counts, 1.0))
        return deviations


def inverse(deviations: Vector) -> Vector:
    """1 / deviation, and 0 for a column that never varied."""
    inverses: Vector = 1.0 / np.where(deviations > 0.0, deviations, np.inf)
    return inverses


def standardise(x: Vector, means: Vector, inverses: Vector, clip: float) -> Vector:
    """Clipped standard scores of transformed rows, or of one; NaN stays NaN."""
    return np.minimum(np.maximum((x - means) * inverses, -clip), clip)
