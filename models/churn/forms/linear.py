"""Logistic regression as numbers: weights on clipped standard scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from models.churn.forms.base import LARGEST, Matrix, Vector, number_faults, sane
from models.churn.scaling import Column, Transforms, inverse, standardise


class LinearForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="linear"):
    """Logit = intercept + sum of weight * z, z = (t(x) - mean) / deviation, within +-clip, 0 where x is not known."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    intercept: float
    clip: float


class LinearScorer:
    """A `LinearForm` ready to be applied to matrices. The average customer has the mean in every column."""

    def __init__(self, form: LinearForm, columns: Sequence[Column]) -> None:
        weights, inverses = np.array(form.weights), inverse(np.array(form.deviations))
        # Columns that cannot move anything, such as those that never varied, are not computed.
        self._used = np.flatnonzero((weights != 0.0) & (inverses != 0.0))
        self._transforms = Transforms([columns[at] for at in self._used.tolist()])
        self._weights, self._inverses = weights[self._used], inverses[self._used]
        self._means = np.array(form.means)[self._used]
        self._clip = form.clip
        self.base = form.intercept

    def contributions(self, x: Matrix) -> Vector:
        """Weight times standard score; 0 where the value is not known."""
        moved = np.zeros(x.shape)
        moved[:, self._used] = self._moved(x)
        return moved

    def logits(self, x: Matrix) -> Vector:
        """Log-odds per row. Summed row by row, so a row's result does not depend on its neighbours."""
        logits: Vector = self._moved(x).sum(axis=1) + self.base
        return logits

    def _moved(self, x: Matrix) -> Vector:
        z = standardise(self._transforms.apply(x[:, self._used]), self._means, self._inverses, self._clip)
        np.copyto(z, 0.0, where=np.isnan(z))
        z *= self._weights
        return z


def linear_faults(form: LinearForm, columns: int) -> Iterator[str]:
    """Every reason not to use the form with so many columns."""
    lists = (("weights", form.weights), ("means", form.means), ("deviations", form.deviations))
    yield from number_faults(lists, columns)
    if any(deviation != 0.0 and deviation < 1.0 / LARGEST for deviation in form.deviations):
        yield "deviations hold a negative number or one too small to divide by (allowed: 0, or 1e-100 up)"
    if not (sane(form.intercept) and sane(form.clip) and form.clip > 0):
        yield f"intercept {form.intercept} and clip {form.clip} must be finite, clip above 0"
