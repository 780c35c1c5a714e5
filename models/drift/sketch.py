"""What a feature matrix looked like over a period, per feature: rows, nulls, mean, variance and a histogram.

Sketches of the same edges add up: chunks to a day, partitions to a table, days to a week. Not all rows have to be kept
for it, and the order of adding makes no difference (but for the rounding of mean and variance).
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class InvalidSketch(ValueError):  # noqa: N818 - reads as the fact that it states
    """Plain data that is no sketch, or not one of these edges; the message says why."""


class SketchState(msgspec.Struct, forbid_unknown_fields=True):
    """A sketch as plain data; one number per feature, and one list per feature in `histogram`."""

    rows: int
    means: list[float]
    squares: list[float]
    histogram: list[list[int]]


def learn_edges(sample: Array, bins: int = 10) -> npt.NDArray[np.float32]:
    """Quantiles that cut each feature of `sample` (rows x features, NaN unknown) into `bins` bins of equal mass.

    The answer has shape (bins - 1, features). Where a value is so frequent that quantiles coincide, the bins between
    them stay empty. A feature without any known value gets edges at infinity.
    """
    shares = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    edges = np.full((bins - 1, sample.shape[1]), np.inf, dtype=np.float32)
    for column in range(sample.shape[1]):
        known = sample[:, column][~np.isnan(sample[:, column])]
        if len(known):
            edges[:, column] = np.quantile(known, shares, method="lower")
    return edges


class Sketch:
    """Summary of the rows added so far. `edges` (bins - 1, features) are shared, not copied.

    `histogram` has shape (bins + 1, features): one row per bin, by rising value, and the nulls last. A value belongs to
    the bin whose upper edge is the first that is not below it.
    """

    def __init__(self, edges: npt.NDArray[np.float32]) -> None:
        self.edges = edges
        features = edges.shape[1]
        self.rows = 0
        self.means: Floats = np.zeros(features)
        self.squares: Floats = np.zeros(features)
        self.histogram: Counts = np.zeros((len(edges) + 2, features), dtype=np.int64)

    @property
    def nulls(self) -> Counts:
        """Rows in which each feature was not known."""
        return np.asarray(self.histogram[-1])

    @property
    def deviations(self) -> Floats:
        """Standard deviation of each feature; NaN without a known value."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sqrt(self.squares / (self.rows - self.nulls)))

    def update(self, matrix: Array) -> None:
        """Add rows x features; NaN is unknown, all else must be finite."""
        known = ~np.isnan(matrix)
        counts = np.count_nonzero(known, axis=0)
        above = [counts, *(np.count_nonzero(matrix > edge, axis=0) for edge in self.edges), np.zeros_like(counts)]
        added = np.vstack([-np.diff(np.array(above), axis=0), len(matrix) - counts])
        values = np.where(known, matrix, 0.0).astype(np.float64)
        means = values.sum(axis=0) / np.maximum(counts, 1)
        values -= means
        values *= known
        self._add(len(matrix), counts, means, np.einsum("ij,ij->j", values, values), added)

    def merge(self, other: Sketch) -> None:
        """Add what another sketch of the same edges has seen."""
        self._add(other.rows, other.rows - other.nulls, other.means, other.squares, other.histogram)

    def to_plain(self) -> SketchState:
        """All but the edges, as plain data."""
        return SketchState(self.rows, self.means.tolist(), self.squares.tolist(), self.histogram.T.tolist())

    @classmethod
    def from_plain(cls, state: SketchState, edges: npt.NDArray[np.float32]) -> Sketch:
        """Inverse of `to_plain`. Raises InvalidSketch."""
        sketch = cls(edges)
        shapes = [len(state.means), len(state.squares), len(state.histogram), *map(len, state.histogram)]
        features, bins = edges.shape[1], len(edges) + 2
        if shapes != [features] * 3 + [bins] * features or state.rows < 0:
            raise InvalidSketch(f"sketch of {shapes[2]} features cannot be used (allowed: {features}, of {bins} bins)")
        sketch.rows = state.rows
        sketch.means, sketch.squares = np.array(state.means), np.array(state.squares)
        sketch.histogram = np.array(state.histogram, dtype=np.int64).T.reshape(bins, features)
        return sketch

    def _add(self, rows: int, counts: Counts, means: Floats, squares: Floats, histogram: Counts) -> None:
        """Chan, Golub and LeVeque (1983), The American Statistician 37(3), for mean and squares."""
        own = self.rows - self.nulls
        together = np.maximum(own + counts, 1)
        apart = means - self.means
        self.squares = self.squares + squares + np.square(apart) * own * counts / together
        self.means = self.means + apart * counts / together
        self.rows += rows
        self.histogram = self.histogram + histogram
