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
from river import linear_model, optim
from river.utils import VectorDict

from models.churn.candidates.base import CandidateSpec, Row
from models.churn.candidates.block import Block, BlockState
from models.churn.forms.base import Vector
from models.churn.forms.linear import LinearForm
from models.churn.forms.prior import INITIAL_PRIOR
from models.churn.scaling import CLIP, Scaler, Transforms
from models.features.base import Feature
from models.settings import TrainerSettings

_INTERCEPT_SPEED = 4.0
_INITIAL_INTERCEPT = float(np.log(INITIAL_PRIOR / (1.0 - INITIAL_PRIOR)))
#: Examples are learned, and weights enter the average, in blocks; the average spans about 10,000 examples once there
#: are that many.
_BLOCK_EXAMPLES = 16
_AVERAGE_SHARE = _BLOCK_EXAMPLES / 10_000


class LogisticState(msgspec.Struct, forbid_unknown_fields=True):
    """All of a `Logistic` as plain data, lists in the order of the columns."""

    counts: list[float]
    means: list[float]
    squares: list[float]
    weights: list[float]
    intercept: float
    iterations: int
    blocks: int
    average: list[float]
    average_intercept: float
    pending: BlockState


class Logistic:
    """River's logistic regression fed with standardised vectors, and the average of its weights."""

    def __init__(self, features: Sequence[Feature], label_kind: str, settings: TrainerSettings, seed: int = 0) -> None:
        """It is the same for all label kinds, and for all seeds: nothing is drawn."""
        del label_kind, seed
        self._columns = range(len(features))
        self._transforms = Transforms(features)
        self._scaler = Scaler(len(features))
        self._model = linear_model.LogisticRegression(
            optimizer=optim.SGD(settings.learning_rate),
            l2=settings.l2,
            intercept_init=_INITIAL_INTERCEPT,
            intercept_lr=settings.learning_rate * _INTERCEPT_SPEED,
        )
        self._block = Block(_BLOCK_EXAMPLES, len(features))
        self._blocks = 0
        self._average: Vector = np.zeros(len(features))
        self._average_intercept = _INITIAL_INTERCEPT

    def learn(self, x: Row, label: int) -> None:
        """Wait for a block; then one step of SGD per example, the scaling meeting each vector first."""
        if not self._block.add(x, label):
            return
        z = self._scaler.learn(self._transforms.apply(self._block.rows))
        for row, left in zip(z, (self._block.labels == 1.0).tolist(), strict=True):
            moving = row.nonzero()[0]  # a score of 0 moves no weight, so it need not be told
            self._model.learn_one(dict(zip(moving.tolist(), row[moving].tolist(), strict=True)), left)
        self._take_average()
        self._block.clear()

    def logit(self, x: Row) -> float:
        """By the averaged weights; examples of a block that is not full yet have no part in them."""
        z = self._scaler.scores(self._transforms.apply(x))
        return float(z @ self._average) + self._average_intercept

    def form(self) -> LinearForm:
        """Averaged weights, present scaling."""
        return self._form(self._average, self._average_intercept)

    def present_form(self) -> LinearForm:
        """The weights as River has them now, without averaging."""
        return self._form(self._present(), float(self._model.intercept))

    def state(self) -> dict[str, Any]:
        scaler = self._scaler
        return {
            "counts": scaler.counts.tolist(),
            "means": scaler.means.tolist(),
            "squares": scaler.squares.tolist(),
            "weights": self._present().tolist(),
            "intercept": float(self._model.intercept),
            "iterations": self._model.optimizer.n_iterations,
            "blocks": self._blocks,
            "average": self._average.tolist(),
            "average_intercept": self._average_intercept,
            "pending": msgspec.to_builtins(self._block.state()),
        }

    def load(self, state: dict[str, Any]) -> None:
        found = msgspec.convert(state, LogisticState)
        columns = len(self._columns)
        listed = (found.counts, found.means, found.squares, found.weights, found.average)
        if any(len(numbers) != columns for numbers in listed):
            raise ValueError(f"logistic state of sizes {[len(numbers) for numbers in listed]} for {columns} columns")
        self._block.load(found.pending)
        self._scaler.counts, self._scaler.means = np.array(found.counts), np.array(found.means)
        self._scaler.squares = np.array(found.squares)
        # River has no public way to set weights; the tests of `load` would notice a change.
        self._model._weights = VectorDict(dict(zip(self._columns, found.weights, strict=True)))
        self._model.intercept = found.intercept
        self._model.optimizer.n_iterations = found.iterations
        self._blocks = found.blocks
        self._average, self._average_intercept = np.array(found.average), found.average_intercept

    def _take_average(self) -> None:
        """Recent blocks weigh more: the share of the newest is 2 / (blocks + 1), until the average is long enough."""
        self._blocks += 1
        share = max(2.0 / (self._blocks + 1), _AVERAGE_SHARE)
        self._average += share * (self._present() - self._average)
        self._average_intercept += share * (float(self._model.intercept) - self._average_intercept)

    def _present(self) -> Vector:
        weights = self._model.weights
        return np.array([weights.get(column, 0.0) for column in self._columns])

    def _form(self, weights: Vector, intercept: float) -> LinearForm:
        return LinearForm(
            weights=tuple(weights.tolist()),
            means=tuple(self._scaler.means.tolist()),
            deviations=tuple(self._scaler.deviations().tolist()),
            intercept=intercept,
            clip=CLIP,
        )


CANDIDATE = CandidateSpec("logistic", "logistic regression by averaged SGD on standardised columns", True, Logistic)
