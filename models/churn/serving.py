"""The published model as every scorer applies it: plain data, numpy, no learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.churn import record as records
from models.churn.calibration import calibrate, logit, sigmoid
from models.churn.logistic import LinearScorer, initial_logistic
from models.churn.prior import INITIAL_PRIOR
from models.churn.record import Column, InvalidModel, ModelRecord
from models.churn.rule import initial_rule, rule_probability
from models.churn.scaling import Transforms
from models.features.base import Feature
from models.records import ModelRef, Reason
from models.settings import LabelSettings

Matrix = npt.NDArray[np.floating[Any]]
Vector = npt.NDArray[np.float64]


class Scored(NamedTuple):
    """Probabilities per row: the one to serve and, beside it, those of the rule and the prior."""

    probability: Vector
    rule: Vector
    prior: Vector
    model: ModelRef


class ServingModel:
    """One immutable published model. Equal bytes give equal scores, row by row, in any batch."""

    def __init__(self, record: ModelRecord) -> None:
        """Take a checked record; use `from_record` for bytes from outside."""
        self.record = record
        self.version, self.source, self.key = record.version, record.source, record.key
        self.feature_version = record.feature_version
        names = [column.name for column in record.columns]
        self._names = names
        self._rule_columns = [names.index(name) for name in record.rule.columns]
        self._linear = LinearScorer(record.logistic, Transforms(record.columns))

    @staticmethod
    def initial(features: Sequence[Feature], feature_version: str, label: LabelSettings) -> ServingModel:
        """The model before any label: the built-in recency rule."""
        columns = tuple(Column(feature.name, feature.transform) for feature in features)
        record = ModelRecord(
            key=records.label_key(label.kind, label.horizon_days),
            source="rule",
            feature_version=feature_version,
            fingerprint=records.fingerprint(columns),
            columns=columns,
            label_kind=label.kind,
            horizon_days=label.horizon_days,
            prior=INITIAL_PRIOR,
            rule=initial_rule([column.name for column in columns], label.kind),
            logistic=initial_logistic(len(columns)),
        )
        return ServingModel(records.seal(record))

    @staticmethod
    def from_record(raw: bytes) -> ServingModel:
        """A model from the bytes on topic `model`; `InvalidModel` unless every check passes. Nothing is executed."""
        return ServingModel(records.decode(raw))

    def to_record(self) -> bytes:
        """The bytes to publish: canonical JSON, equal for equal models."""
        return records.encode(self.record)

    def require(self, features: Sequence[Feature], feature_version: str) -> None:
        """Raise `InvalidModel` unless the model was made for exactly these features."""
        expected = records.fingerprint(features)
        if (self.feature_version, self.record.fingerprint) != (feature_version, expected):
            raise InvalidModel(
                f"model '{self.version}' was learned on feature version '{self.feature_version}' "
                f"({self.record.fingerprint}); allowed here: '{feature_version}' ({expected})"
            )

    def score(self, x: Matrix) -> Scored:
        """Probabilities for the rows of `x` (rows x columns, NaN where unknown).

        Raises
        ------
        ValueError
            When the number of columns is not the model's.
        """
        if x.ndim != 2 or x.shape[1] != len(self._names):
            raise ValueError(
                f"matrix of shape {x.shape} does not fit model '{self.version}' of {len(self._names)} columns"
            )
        rule = rule_probability(self.record.rule, self._rule_columns, x, self.record.prior)
        if self.source == "rule":
            probability = rule
        else:
            probability = sigmoid(calibrate(self.record.calibration, self._linear.logits(x)))
        prior = np.full(len(x), self.record.prior)
        return Scored(probability, rule, prior, ModelRef(name=self.source, version=self.version))

    def reasons(self, x: Matrix, top: int) -> list[tuple[Reason, ...]]:
        """For each row of `x` up to `top` columns that moved its log-odds most against the average customer.

        What raises the risk comes first, the largest first; then what lowers it, the largest first. Columns with no
        effect are left out and equal effects keep the order of the vector.
        """
        if not len(x):
            return []
        if self.source == "rule":
            return self._rule_reasons(x)
        slope = self.record.calibration.slope if self.record.calibration.used else 1.0
        sizes = self._linear.contributions(x) * slope
        # Sorted by the last key first: what raises before what lowers, then by size, then as in the vector.
        order = np.lexsort((-np.abs(sizes), sizes < 0.0), axis=1)[:, : top + int((sizes == 0.0).sum(axis=1).max())]
        moves = np.take_along_axis(sizes, order, axis=1)
        return [
            self._told(
                row, [(column, size) for column, size in zip(columns, effects, strict=True) if size != 0.0][:top]
            )
            for row, columns, effects in zip(x, order.tolist(), moves.tolist(), strict=True)
        ]

    def _told(self, row: Matrix, moved: list[tuple[int, float]]) -> tuple[Reason, ...]:
        return tuple(
            Reason(rank, self._names[column], _known(row[column]), size)
            for rank, (column, size) in enumerate(moved, start=1)
        )

    def _rule_reasons(self, x: Matrix) -> list[tuple[Reason, ...]]:
        """The column that the rule read of each row, with its rate against the prior's log-odds."""
        rule = rule_probability(self.record.rule, self._rule_columns, x, self.record.prior)
        sizes = (logit(rule) - logit(self.record.prior)).tolist()
        silences = np.where(np.isnan(x[:, self._rule_columns]), -np.inf, x[:, self._rule_columns])
        read, longest = np.argmax(silences, axis=1).tolist(), np.max(silences, axis=1).tolist()
        return [
            (Reason(1, self._names[self._rule_columns[column]], round(silence, 4), size),)
            if size and silence >= 0.0
            else ()
            for column, silence, size in zip(read, longest, sizes, strict=True)
        ]


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
