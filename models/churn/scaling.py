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
        self._identity = np.array([feature.transform == "identity" for feature in features], dtype=bool)

    def apply(self, x: npt.NDArray[Any]) -> Vector:
        """A transformed float64 copy of rows, or of one row; NaN stays NaN."""
        values = np.array(x, dtype=np.float64, order="C")
        logs = np.abs(values)
        np.log1p(logs, out=logs)
        np.copysign(logs, values, out=logs)
        np.copyto(logs, values, where=self._identity)
        return logs

    def undo(self, values: Vector) -> Vector:
        """The raw row of a transformed one."""
        raw = np.copysign(np.expm1(np.abs(values)), values)
        return np.where(self._identity, values, raw)


class Means:
    """Running means of transformed vectors, column by column; NaN counts as absent."""

    def __init__(self, columns: int) -> None:
        self.counts: Vector = np.zeros(columns)
        self.means: Vector = np.zeros(columns)
        self._ones = np.ones(columns)

    def learn(self, x: Vector) -> None:
        """Take one transformed vector into account."""
        unknown = np.isnan(x)
        self.counts += ~unknown
        step = x - self.means
        step /= np.maximum(self.counts, self._ones)
        np.copyto(step, 0.0, where=unknown)
        self.means += step


class Scaler:
    """River's `StandardScaler` on blocks of vectors: running mean and population variance per column (Welford).

    What comes out is River's, row by row and column by column, but for rounding; a row of a block costs a tenth of a
    dict. NaN counts as absent. `squares` are the sums of squared distances from the mean.
    """

    def __init__(self, columns: int) -> None:
        self.counts: Vector = np.zeros(columns)
        self.means: Vector = np.zeros(columns)
        self.squares: Vector = np.zeros(columns)

    def learn(self, x: Vector) -> Vector:
        """Take transformed rows into account one after the other; each row's clipped standard scores after its turn.

        A column that never varied, or is not known, scores 0: the average customer.
        """
        known = ~np.isnan(x)
        # Distances are taken from the mean before the block, or the first value, so that one value alone stays exact.
        first = x[np.argmax(known, axis=0), np.arange(x.shape[1])]
        origin = np.where(self.counts > 0.0, self.means, np.where(np.isnan(first), 0.0, first))
        counts = self.counts + np.cumsum(known, axis=0)
        apart = np.where(known, x - origin, 0.0)
        drift = np.cumsum(apart, axis=0)
        drift /= np.maximum(counts, 1.0)
        z = np.where(known, apart - drift, 0.0)
        apart[1:] -= drift[:-1]
        apart *= z
        squares = self.squares + np.cumsum(apart, axis=0)
        self.counts, self.means, self.squares = counts[-1].copy(), origin + drift[-1], squares[-1].copy()
        # Where nothing varied the distance is 0 too, and 0 / tiny is the 0 that is wanted.
        z /= np.maximum(np.sqrt(squares / np.maximum(counts, 1.0)), 1e-150)
        return np.clip(z, -CLIP, CLIP, out=z)

    def scores(self, x: Vector) -> Vector:
        """Clipped standard scores of transformed rows, or of one, by the present scaling; 0 where not known."""
        z = standardise(x, self.means, inverse(self.deviations()), CLIP)
        np.copyto(z, 0.0, where=np.isnan(z))
        return z

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
    z = x - means
    z *= inverses
    np.maximum(z, -clip, out=z)
    return np.minimum(z, clip, out=z)
