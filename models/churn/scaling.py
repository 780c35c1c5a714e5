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
    """River's `StandardScaler` on whole vectors: running mean and population variance per column (Welford).

    The recurrences are River's, column by column, so both agree but for rounding; a vector costs a third of a dict.
    NaN counts as absent. `squares` are the sums of squared distances from the mean.
    """

    def __init__(self, columns: int) -> None:
        self.counts: Vector = np.zeros(columns)
        self.means: Vector = np.zeros(columns)
        self.squares: Vector = np.zeros(columns)
        # Whole arrays: numpy takes half as long for them as for a plain number.
        self._ones, self._tiny = np.ones(columns), np.full(columns, 1e-150)
        self._lowest, self._highest = np.full(columns, -CLIP), np.full(columns, CLIP)

    def learn(self, x: Vector) -> Vector:
        """Take one transformed vector into account, then return its clipped standard scores.

        A column that never varied, or is not known, scores 0: the average customer.
        """
        unknown = np.isnan(x)
        self.counts += ~unknown
        share = np.maximum(self.counts, self._ones)
        before = x - self.means
        np.copyto(before, 0.0, where=unknown)
        step = before / share
        self.means += step
        z = before - step
        before *= z
        self.squares += before
        # Where nothing varied the distance is 0 too, and 0 / tiny is the 0 that is wanted.
        z /= np.maximum(np.sqrt(self.squares / share), self._tiny)
        clipped: Vector = np.minimum(np.maximum(z, self._lowest), self._highest)
        return clipped

    def learn_block(self, x: Vector) -> None:
        """Take a block of transformed rows into account: the same as one by one, but for rounding (Chan et al. [^1]).

        [^1]: Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances (1979).
        """
        known = ~np.isnan(x)
        counts = known.sum(axis=0, dtype=np.float64)
        means = np.where(known, x, 0.0).sum(axis=0) / np.maximum(counts, self._ones)
        squares = np.square(np.where(known, x - means, 0.0)).sum(axis=0)
        apart = means - self.means
        share = counts / np.maximum(self.counts + counts, self._ones)
        self.squares += squares + np.square(apart) * self.counts * share
        self.means += apart * share
        self.counts += counts

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
