"""The published model as every scorer applies it: plain data, numpy, no learning."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np

from models.churn import record as records
from models.churn.calibration import calibrate, sigmoid
from models.churn.forms import PRIOR, RULE, scorers
from models.churn.forms.base import Matrix, Scorer, Vector
from models.churn.forms.prior import INITIAL_PRIOR, PriorForm
from models.churn.forms.rule import RuleForm, RuleScorer, initial_rule
from models.churn.reasons import Explainer
from models.churn.record import InvalidModel, ModelRecord
from models.churn.scaling import Column
from models.features.base import Feature
from models.records import ModelRef, Reason
from models.settings import LabelSettings


class Scored(NamedTuple):
    """Probabilities per row: the one to serve and, beside it, those of the rule and the prior."""

    probability: Vector
    rule: Vector
    prior: Vector
    model: ModelRef


class ServingModel:
    """One immutable published model. Equal bytes give equal scores, row by row, in any batch.

    `learned` are the names of the forms besides rule and prior, in order.
    """

    def __init__(self, record: ModelRecord) -> None:
        """Take a checked record; use `from_record` for bytes from outside."""
        self.record = record
        self.version, self.champion, self.key = record.version, record.champion, record.key
        self.feature_version, self.horizon_days = record.feature_version, record.horizon_days
        self.learned = tuple(sorted(name for name in record.forms if name not in (RULE, PRIOR)))
        self._names = [column.name for column in record.columns]
        self._rule = RuleScorer(cast("RuleForm", record.forms[RULE]), self._names)
        self._prior = cast("PriorForm", record.forms[PRIOR])

    @staticmethod
    def initial(
        features: Sequence[Feature], feature_version: str, label: LabelSettings, horizon_days: float | None = None
    ) -> ServingModel:
        """The model before any label: the built-in recency rule. The horizon is the label's own if none is given."""
        columns = tuple(Column(feature.name, feature.transform) for feature in features)
        horizon = label.horizon_days if horizon_days is None else horizon_days
        record = ModelRecord(
            key=records.label_key(label.kind, horizon, label.gap_days),
            champion=RULE,
            feature_version=feature_version,
            fingerprint=records.fingerprint(columns),
            columns=columns,
            label_kind=label.kind,
            horizon_days=horizon,
            gap_days=label.gap_days,
            forms={
                PRIOR: PriorForm(rate=INITIAL_PRIOR),
                RULE: initial_rule([column.name for column in columns], label.kind),
            },
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
        self._check(x)
        rule = self._rule.probabilities(x)
        probability = rule
        if self.champion != RULE:
            probability = sigmoid(self._calibrated(self._scorers[self.champion].logits(x)))
        prior = np.full(len(x), self._prior.rate)
        return Scored(probability, rule, prior, ModelRef(name=self.champion, version=self.version))

    def own(self, x: Matrix) -> dict[str, Vector]:
        """What each learned form says of the rows of `x`, before calibration. Raises ValueError as `score` does."""
        self._check(x)
        return {name: sigmoid(self._scorers[name].logits(x)) for name in self.learned}

    def reasons(self, x: Matrix, top: int) -> list[tuple[Reason, ...]]:
        """For each row of `x` up to `top` columns that moved its log-odds most, as `Explainer.reasons` orders them."""
        return self._explainer.reasons(x, self.contributions(x), top)

    @cached_property
    def base(self) -> float:
        """The champion's log-odds of the average customer, calibrated."""
        return float(self._calibrated(np.array([self._scorers[self.champion].base]))[0])

    def contributions(self, x: Matrix) -> Vector:
        """Calibrated log-odds that each column adds to `base` (rows x columns). They add up to the row's log-odds."""
        scorer = self._scorers[self.champion]
        moved = scorer.contributions(x)
        if self.champion not in self.record.calibrations:
            return moved
        form = self.record.calibrations[self.champion]
        scaled: Vector = moved * (form.slope if form.used else 1.0)
        return scaled

    @cached_property
    def _scorers(self) -> dict[str, Scorer]:
        return scorers(self.record.forms, self.record.columns)

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self._names, self.record.typical, self.record.label_kind)

    def _calibrated(self, logits: Vector) -> Vector:
        form = self.record.calibrations.get(self.champion)
        return logits if form is None else calibrate(form, logits)

    def _check(self, x: Matrix) -> None:
        if x.ndim != 2 or x.shape[1] != len(self._names):
            raise ValueError(
                f"matrix of shape {x.shape} does not fit model '{self.version}' of {len(self._names)} columns"
            )
