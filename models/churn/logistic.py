"""Logistic regression: River learns it, a few numpy lines serve it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.churn.record import Column, LinearForm
from models.features.base import Feature

#: Standardised values are kept inside this range: one absurd value moves neither the model nor a score far.
CLIP = 5.0


def initial_logistic(columns: int) -> LinearForm:
    """A model that knows nothing: every weight 0."""
    zeros = (0.0,) * columns
    return LinearForm(weights=zeros, means=zeros, deviations=zeros, intercept=0.0, clip=CLIP)


class Transforms:
    """What happens to a raw vector before scaling: `log1p` of the size, with its sign, for columns that say so."""

    def __init__(self, features: Sequence[Feature | Column]) -> None:
        self._log1p = np.array([i for i, feature in enumerate(features) if feature.transform == "log1p"], dtype=np.intp)

    def apply(self, x: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """A transformed float64 copy of rows, or of one row; NaN stays NaN."""
        values = np.array(x, dtype=np.float64, order="C")
        chosen = values[..., self._log1p]
        values[..., self._log1p] = np.copysign(np.log1p(np.abs(chosen)), chosen)
        return values


class LinearScorer:
    """A `LinearForm` ready to be applied to matrices."""

    def __init__(self, form: LinearForm, transforms: Transforms) -> None:
        self._transforms = transforms
        self._weights = np.array(form.weights)
        self._means = np.array(form.means)
        deviations = np.array(form.deviations)
        self._inverse = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations > 0.0)
        self._intercept, self._clip = form.intercept, form.clip

    def contributions(self, x: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Log-odds that each column adds against the average customer; 0 where the value is not known."""
        z = (self._transforms.apply(x) - self._means) * self._inverse
        np.clip(z, -self._clip, self._clip, out=z)
        moved: npt.NDArray[np.float64] = np.where(np.isnan(z), 0.0, z) * self._weights
        return moved

    def logits(self, x: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Log-odds per row. Summed row by row, so a row's result does not depend on its neighbours."""
        logits: npt.NDArray[np.float64] = self.contributions(x).sum(axis=1) + self._intercept
        return logits
