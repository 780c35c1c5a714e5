"""Logistic regression: River learns the weights, a few numpy lines serve them.

Learned by plain SGD on standardised columns, no class weights, and served with averaged weights. Measured on Complete
Journey (no basket within 30 days, labels 30 days late), log loss of the emitted probabilities, best rate of each:
averaged SGD .2987, the same with a class weight and its prior correction .2998, SGD .2995, AdaGrad .3001, online
Newton .3005. Averaging is what lets a constant rate follow drift without the noise of the last examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from river import linear_model, optim
from river.utils import VectorDict

from models.churn.forms.linear import LinearForm
from models.churn.forms.prior import INITIAL_PRIOR
from models.churn.scaling import CLIP, Scaler, Transforms, Vector
from models.features.base import Feature
from models.settings import TrainerSettings

_INTERCEPT_SPEED = 4.0
_INITIAL_INTERCEPT = float(np.log(INITIAL_PRIOR / (1.0 - INITIAL_PRIOR)))
#: Weights enter the average in blocks; the average spans about 10,000 examples once there are that many.
_BLOCK_EXAMPLES = 16
_AVERAGE_SHARE = _BLOCK_EXAMPLES / 10_000


class LogisticState(msgspec.Struct, forbid_unknown_fields=True):
    """All of a `LogisticLearner` as plain data, lists in the order of the columns."""

    counts: list[float]
    means: list[float]
    squares: list[float]
    weights: list[float]
    intercept: float
    iterations: int
    blocks: int
    average: list[float]
    average_intercept: float


class LogisticLearner:
    """River's logistic regression fed with standardised vectors, and the average of its weights."""

    def __init__(self, features: Sequence[Feature], settings: TrainerSettings) -> None:
        self._names = [feature.name for feature in features]
        self._transforms = Transforms(features)
        self._scaler = Scaler(len(self._names))
        self._model = linear_model.LogisticRegression(
            optimizer=optim.SGD(settings.learning_rate),
            l2=settings.l2,
            intercept_init=_INITIAL_INTERCEPT,
            intercept_lr=settings.learning_rate * _INTERCEPT_SPEED,
        )
        self._blocks = 0
        self._average: Vector = np.zeros(len(self._names))
        self._average_intercept = _INITIAL_INTERCEPT

    def learn(self, x: npt.NDArray[Any], label: int) -> float:
        """Learn one raw vector; returns the log-odds that the averaged weights gave it before its label was used."""
        z = self._scaler.learn(self._transforms.apply(x))
        logit = float(z @ self._average) + self._average_intercept
        self._model.learn_one(dict(zip(self._names, z.tolist(), strict=True)), bool(label))
        if self._model.optimizer.n_iterations % _BLOCK_EXAMPLES == 0:
            self._take_average()
        return logit

    def form(self) -> LinearForm:
        """What to publish: averaged weights, present scaling."""
        return self._form(self._average, self._average_intercept)

    def present_form(self) -> LinearForm:
        """The weights as River has them now, without averaging."""
        return self._form(self._present(), float(self._model.intercept))

    def typical(self) -> tuple[float | None, ...]:
        """Per column the raw value of its mean transformed value, which scores 0; None where none was known."""
        usual = np.round(self._transforms.undo(self._scaler.means), 4).tolist()
        return tuple(value if count else None for value, count in zip(usual, self._scaler.counts.tolist(), strict=True))

    def state(self) -> LogisticState:
        return LogisticState(
            counts=self._scaler.counts.tolist(),
            means=self._scaler.means.tolist(),
            squares=self._scaler.squares.tolist(),
            weights=self._present().tolist(),
            intercept=float(self._model.intercept),
            iterations=self._model.optimizer.n_iterations,
            blocks=self._blocks,
            average=self._average.tolist(),
            average_intercept=self._average_intercept,
        )

    def load(self, state: LogisticState) -> None:
        """Continue from a state of the same columns; `ValueError` when the sizes differ."""
        columns = len(self._names)
        listed = (state.counts, state.means, state.squares, state.weights, state.average)
        if any(len(numbers) != columns for numbers in listed):
            raise ValueError(f"logistic state of sizes {[len(numbers) for numbers in listed]} for {columns} columns")
        self._scaler.counts, self._scaler.means = np.array(state.counts), np.array(state.means)
        self._scaler.squares = np.array(state.squares)
        # River has no public way to set weights; the tests of `load` would notice a change.
        self._model._weights = VectorDict(dict(zip(self._names, state.weights, strict=True)))
        self._model.intercept = state.intercept
        self._model.optimizer.n_iterations = state.iterations
        self._blocks = state.blocks
        self._average, self._average_intercept = np.array(state.average), state.average_intercept

    def _take_average(self) -> None:
        """Recent blocks weigh more: the share of the newest is 2 / (blocks + 1), until the average is long enough."""
        self._blocks += 1
        share = max(2.0 / (self._blocks + 1), _AVERAGE_SHARE)
        self._average += share * (self._present() - self._average)
        self._average_intercept += share * (float(self._model.intercept) - self._average_intercept)

    def _present(self) -> Vector:
        weights = self._model.weights
        return np.array([weights.get(name, 0.0) for name in self._names])

    def _form(self, weights: Vector, intercept: float) -> LinearForm:
        return LinearForm(
            weights=tuple(weights.tolist()),
            means=tuple(self._scaler.means.tolist()),
            deviations=tuple(self._scaler.deviations().tolist()),
            intercept=intercept,
            clip=CLIP,
        )
