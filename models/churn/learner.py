"""The learner: takes matured examples in order, tests, learns, and hands out what to serve.

Deterministic: the same examples in the same order give the same model, and a learner that was stored and restored
goes on exactly as one that was never interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from models.churn import record as records
from models.churn.calibration import PlattLearner, RecentLoss
from models.churn.forms.prior import PriorForm
from models.churn.forms.rule import EDGES_DAYS, RuleForm, initial_rule
from models.churn.logistic import LogisticLearner, LogisticState
from models.churn.prior import Prior
from models.churn.record import InvalidModel, ModelRecord
from models.churn.rule import RuleLearner
from models.churn.scaling import Column
from models.churn.serving import ServingModel
from models.evaluation import ProgressiveMetrics
from models.features.base import Feature
from models.records import Example
from models.settings import LabelSettings, TrainerSettings

PREDICTORS = ("emitted", "rule", "prior")
_FORMAT = 2
#: A model in use is replaced by the rule only when it is clearly worse, so that noise does not make them alternate.
_PATIENCE_NATS = 0.005
_CALIBRATION_GAIN_NATS = 0.0005


class LearnerState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A learner's checkpoint: everything it knows, as plain data."""

    format: int = _FORMAT
    key: str
    feature_version: str
    fingerprint: str
    examples: int = 0
    positives: int = 0
    champion: Literal["rule", "logistic"] = "rule"
    prior: Prior
    rule: RuleLearner
    calibration: PlattLearner
    losses: dict[str, RecentLoss]
    metrics: dict[str, ProgressiveMetrics]
    logistic: LogisticState


class Learner:
    """Prior, rule and logistic regression side by side; serves the best that has earned it."""

    def __init__(
        self, features: Sequence[Feature], feature_version: str, label: LabelSettings, trainer: TrainerSettings
    ) -> None:
        self._columns = tuple(Column(feature.name, feature.transform) for feature in features)
        self._label, self._settings = label, trainer
        self._logistic = LogisticLearner(features, trainer)
        names = [feature.name for feature in features]
        self._rule_columns = initial_rule(names, label.kind).columns
        self._silence = [names.index(name) for name in self._rule_columns]
        self._state = LearnerState(
            key=records.label_key(label.kind, label.horizon_days),
            feature_version=feature_version,
            fingerprint=records.fingerprint(features),
            prior=Prior(),
            rule=RuleLearner.fresh(),
            calibration=PlattLearner(),
            losses={name: RecentLoss() for name in ("rule", "logistic", "calibrated")},
            metrics={name: ProgressiveMetrics() for name in PREDICTORS},
            logistic=self._logistic.state(),
        )

    @property
    def examples(self) -> int:
        """How many examples were learned."""
        return self._state.examples

    @property
    def positives(self) -> int:
        """How many of them were of customers who left."""
        return self._state.positives

    @property
    def champion(self) -> Literal["rule", "logistic"]:
        """What is served now."""
        return self._state.champion

    def learn(self, example: Example) -> None:
        """Test on the emitted probabilities, then learn.

        Examples must come at the rates at which they happen; see `models.churn.waiting`.

        Raises
        ------
        ValueError
            When the example was made for other features. Nothing is learned from it then.
        """
        if example.feature_version != self._state.feature_version or len(example.features) != len(self._columns):
            raise ValueError(
                f"example '{example.example_id}' has {len(example.features)} features of version "
                f"'{example.feature_version}' (allowed: {len(self._columns)} of '{self._state.feature_version}')"
            )
        state, label = self._state, example.label
        state.metrics["emitted"].add(label, example.probability)
        state.metrics["rule"].add(label, example.rule_probability)
        state.metrics["prior"].add(label, example.prior_probability)
        self._learn_rule(example)
        x = np.array(example.features, dtype=np.float32)  # as served; None becomes NaN
        self._learn_logistic(self._logistic.learn(x, label), label)
        state.prior.learn(label)
        state.examples += 1
        state.positives += label
        state.champion = self._earned()

    def serving(self, offset: int) -> ServingModel:
        """The model to publish. `offset` is that of the last example read."""
        state, prior = self._state, self._state.prior.probability
        record = ModelRecord(
            key=state.key,
            champion=state.champion,
            feature_version=state.feature_version,
            fingerprint=state.fingerprint,
            columns=self._columns,
            label_kind=self._label.kind,
            horizon_days=self._label.horizon_days,
            offset=offset,
            examples=state.examples,
            positives=state.positives,
            forms={
                "prior": PriorForm(rate=prior),
                "rule": RuleForm(self._rule_columns, EDGES_DAYS, tuple(state.rule.rates), unknown=prior),
                "logistic": self._logistic.form(),
            },
            calibrations={"logistic": state.calibration.form()},
            typical=self._logistic.typical(),
            metrics=self.metrics(),
        )
        return ServingModel(records.seal(record))

    def metrics(self) -> dict[str, float]:
        """Progressive figures over all examples: `count`, `positives`, then `auc_emitted`, `log_loss_rule` and so on.

        Figures that are not defined yet are left out.
        """
        found: dict[str, float] = {"count": self._state.examples, "positives": self._state.positives}
        for name in PREDICTORS:
            summary = self._state.metrics[name].summary()
            found |= {f"{k}_{name}": v for k, v in summary.items() if k not in ("count", "positives")}
        return found

    def checkpoint(self) -> dict[str, Any]:
        """All that was learned as plain data, ready for JSON."""
        self._state.logistic = self._logistic.state()
        plain: dict[str, Any] = msgspec.to_builtins(self._state)
        return plain

    @classmethod
    def restore(
        cls,
        plain: Mapping[str, Any],
        features: Sequence[Feature],
        feature_version: str,
        label: LabelSettings,
        trainer: TrainerSettings,
    ) -> Learner:
        """A learner that goes on where `checkpoint` was taken.

        Raises
        ------
        InvalidModel
            When the checkpoint is malformed, holds a number that is not finite, or is of another label or of other
            features.
        """
        learner = cls(features, feature_version, label, trainer)
        try:
            state = msgspec.convert(plain, LearnerState)
            _check(plain, state, learner._state)
            learner._logistic.load(state.logistic)
        except (msgspec.ValidationError, ValueError) as error:
            raise InvalidModel(f"checkpoint cannot be used: {error}") from error
        learner._state = state
        return learner

    def _learn_rule(self, example: Example) -> None:
        state = self._state
        silence = _largest([example.features[column] for column in self._silence])
        probability = state.rule.probability(silence, state.prior.probability)
        state.losses["rule"].add(math.log(probability / (1.0 - probability)), example.label)
        state.rule.learn(silence, example.label)

    def _learn_logistic(self, raw: float, label: int) -> None:
        """Compare the log-odds from before the label with and without the calibration, then teach the latter."""
        losses, calibration = self._state.losses, self._state.calibration
        losses["logistic"].add(raw, label)
        losses["calibrated"].add(calibration.slope * raw + calibration.intercept, label)
        calibration.learn(raw, label)
        gain = losses["logistic"].mean - losses["calibrated"].mean
        calibration.used = self._enough() and gain > (0.0 if calibration.used else _CALIBRATION_GAIN_NATS)

    def _earned(self) -> Literal["rule", "logistic"]:
        losses = self._state.losses
        own = losses["calibrated" if self._state.calibration.used else "logistic"].mean
        patience = _PATIENCE_NATS if self._state.champion == "logistic" else 0.0
        return "logistic" if self._enough() and own <= losses["rule"].mean + patience else "rule"

    def _enough(self) -> bool:
        state, settings = self._state, self._settings
        rarer = min(state.positives, state.examples - state.positives)
        return state.examples >= settings.min_labels and rarer >= settings.min_positives


def _largest(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return max(known) if known else math.nan


def _check(plain: Mapping[str, Any], state: LearnerState, expected: LearnerState) -> None:
    """Raise `ValueError` for a state of another label or other features, of wrong sizes or with numbers not finite."""
    for name in ("format", "key", "feature_version", "fingerprint"):
        found, allowed = getattr(state, name), getattr(expected, name)
        if found != allowed:
            raise ValueError(f"{name} '{found}' is not the one in use here ('{allowed}')")
    for name in ("losses", "metrics"):
        if getattr(state, name).keys() != getattr(expected, name).keys():
            raise ValueError(f"{name} must be {sorted(getattr(expected, name))}")
    if _shape(msgspec.to_builtins(state.rule)) != _shape(msgspec.to_builtins(expected.rule)):
        raise ValueError("rule has another number of bins")
    if _shape(msgspec.to_builtins(state.metrics)) != _shape(msgspec.to_builtins(expected.metrics)):
        raise ValueError("metrics have another number of bins")
    if not _finite(plain):
        raise ValueError("it holds a number that is not finite")


def _shape(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _shape(value) for key, value in plain.items()}
    return len(plain) if isinstance(plain, list | tuple) else None


def _finite(plain: Any) -> bool:
    if isinstance(plain, Mapping):
        return all(map(_finite, plain.values()))
    if isinstance(plain, list | tuple):
        return all(map(_finite, plain))
    return not isinstance(plain, float) or math.isfinite(plain)
