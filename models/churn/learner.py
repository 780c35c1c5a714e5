"""The learner: takes matured examples in order, tests, lets every candidate learn, and hands out what to serve.

All candidates and the rule learn from the same examples; the league decides which of them is the champion, and the
published model holds the forms of all, so that workers record what each would have said.

Deterministic: the same examples and commands in the same order give the same model, and a learner that was stored and
restored goes on exactly as one that was never interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from models.churn import record as records
from models.churn.alarms import Alarm, Alarms
from models.churn.contest import Contest, ContestState
from models.churn.forms import PRIOR, RULE, Form
from models.churn.forms.prior import PriorForm
from models.churn.forms.rule import EDGES_DAYS, RuleForm, initial_rule
from models.churn.league import Standing, in_sample
from models.churn.prior import Prior
from models.churn.record import InvalidModel, ModelRecord
from models.churn.rule import RuleLearner
from models.churn.scaling import Column, Means, Transforms
from models.churn.serving import ServingModel
from models.churn.waiting import due_at
from models.evaluation import ProgressiveMetrics
from models.features.base import Feature
from models.records import Example
from models.settings import DriftSettings, LabelSettings, TrainerSettings

PREDICTORS = ("emitted", "rule", "prior")
FORMAT = 9
#: So long a challenger that was begun anew is left in peace by further alarms.
_GRACE_EXAMPLES = 2_000


class LearnerState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A learner's checkpoint: everything it knows, as plain data. `counts` and `means` are per column, transformed."""

    format: int = FORMAT
    key: str
    feature_version: str
    fingerprint: str
    examples: int = 0
    positives: int = 0
    prior: Prior
    rule: RuleLearner
    counts: list[float]
    means: list[float]
    metrics: dict[str, ProgressiveMetrics]
    contest: ContestState
    alarms: Alarms


class Learner:
    """Prior, rule and all candidates side by side; serves the one that has earned it."""

    def __init__(
        self, features: Sequence[Feature], feature_version: str, label: LabelSettings, trainer: TrainerSettings,
        horizon_days: float | None = None, drift: DriftSettings | None = None,
    ) -> None:  # fmt: skip
        """A learner of one horizon of the label, its first one if none is given.

        Raises
        ------
        ValueError
            When `trainer.candidates` names a model that does not exist.
        """
        self._label, self._settings = label, trainer
        self.horizon_days = label.horizon_days if horizon_days is None else horizon_days
        self._columns = tuple(Column(feature.name, feature.transform) for feature in features)
        names = [feature.name for feature in features]
        self._rule_columns = initial_rule(names, label.kind).columns
        self._silence = [names.index(name) for name in self._rule_columns]
        self._transforms, self._means = Transforms(features), Means(len(names))
        self.contest = Contest(features, label.kind, trainer)
        self._state = LearnerState(
            key=records.label_key(label.kind, self.horizon_days, label.gap_days),
            feature_version=feature_version,
            fingerprint=records.fingerprint(features),
            prior=Prior(),
            rule=RuleLearner.fresh(),
            counts=[],
            means=[],
            metrics={name: ProgressiveMetrics() for name in PREDICTORS},
            contest=self.contest.state(),
            alarms=Alarms.of(
                (drift or DriftSettings()).alarms_per_month, max(1.0, self.horizon_days / label.snapshot_every_days)
            ),
        )

    @property
    def key(self) -> str:
        """The label key of what is learned."""
        return self._state.key

    @property
    def feature_version(self) -> str:
        """The version of the features that it learns from."""
        return self._state.feature_version

    @property
    def examples(self) -> int:
        """How many examples were learned."""
        return self._state.examples

    @property
    def positives(self) -> int:
        """How many of them were of customers who left."""
        return self._state.positives

    @property
    def champion(self) -> str:
        """What is served now: `rule`, or the name of a candidate."""
        return self.contest.champion

    def learn(self, example: Example) -> None:
        """Test on the recorded probabilities, let all learn, then see who has earned to be served.

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
        x = np.array(example.features, dtype=np.float32)  # as served; None becomes NaN
        silence = _largest([example.features[column] for column in self._silence])
        rule_now = state.rule.probability(silence, state.prior.probability)
        losses = self.contest.judge(example, x, rule_now, state.prior.probability, enough=self._enough())
        alarm = state.alarms.watch(due_at(example), label, losses[self.champion].known)
        if in_sample(example.customer_id, example.as_of, self.horizon_days, self._label.snapshot_every_days):
            self.contest.compare(losses)
        self.contest.learn(x, label)
        self._means.learn(self._transforms.apply(x))
        state.rule.learn(silence, label)
        state.prior.learn(label)
        state.examples += 1
        state.positives += label
        before = self.champion
        if self._enough():
            self.contest.decide()
        if self.champion != before:
            state.alarms.new_champion()
        if alarm is not None:
            self._alarmed(alarm)

    def serving(self, offset: int, champion: str | None = None) -> ServingModel:
        """The model to publish. `offset` is that of the last record read. `champion`: another one than the league's."""
        state, prior = self._state, self._state.prior.probability
        contenders = self.contest.contenders
        forms: dict[str, Form] = {
            PRIOR: PriorForm(rate=prior),
            RULE: RuleForm(self._rule_columns, EDGES_DAYS, tuple(state.rule.rates), unknown=prior),
        }
        record = ModelRecord(
            key=state.key,
            champion=champion or self.champion,
            move=self.contest.why,
            feature_version=state.feature_version,
            fingerprint=state.fingerprint,
            columns=self._columns,
            label_kind=self._label.kind,
            horizon_days=self.horizon_days,
            gap_days=self._label.gap_days,
            offset=offset,
            examples=state.examples,
            positives=state.positives,
            forms=forms | {name: one.form() for name, one in contenders.items()},
            calibrations={name: one.facts.calibration.form() for name, one in contenders.items()},
            typical=self._typical(),
            metrics=self.metrics(),
        )
        return ServingModel(records.seal(record))

    def metrics(self) -> dict[str, float]:
        """Progressive figures over all examples: `count`, `positives`, then `auc_emitted`, `log_loss_rule` and so on.

        Of candidates they are those of the predictions that they are judged by. Undefined ones are left out.
        """
        found: dict[str, float] = {"count": self._state.examples, "positives": self._state.positives}
        judged = self._state.metrics | {name: one.facts.metrics for name, one in self.contest.contenders.items()}
        for name, metrics in judged.items():
            found |= {f"{k}_{name}": v for k, v in metrics.summary().items() if k not in ("count", "positives")}
        return found

    def standings(self) -> list[Standing]:
        """The league table: the champion first, then by recent log loss."""
        return self.contest.standings(self.examples)

    def checkpoint(self) -> dict[str, Any]:
        """All that was learned as plain data, ready for JSON."""
        state = self._state
        state.contest = self.contest.state()
        state.counts, state.means = self._means.counts.tolist(), self._means.means.tolist()
        plain: dict[str, Any] = msgspec.to_builtins(state)
        return plain

    @classmethod
    def restore(
        cls, plain: Mapping[str, Any], features: Sequence[Feature], feature_version: str, label: LabelSettings,
        trainer: TrainerSettings, horizon_days: float | None = None, drift: DriftSettings | None = None,
    ) -> Learner:  # fmt: skip
        """A learner that goes on where `checkpoint` was taken.

        Raises
        ------
        InvalidModel
            When the checkpoint is malformed, holds a number that is not finite, or is of another label or of other
            features.
        """
        learner = cls(features, feature_version, label, trainer, horizon_days, drift)
        try:
            state = msgspec.convert(plain, LearnerState)
            _check(plain, state, learner._state, len(features))
            learner.contest.load(state.contest, state.examples)
        except (msgspec.ValidationError, ValueError, KeyError, TypeError) as error:
            raise InvalidModel(f"checkpoint cannot be used: {error}") from error
        learner._means.counts, learner._means.means = np.array(state.counts), np.array(state.means)
        learner._state = state
        return learner

    @property
    def alarms(self) -> Alarms:
        """Drift of the examples."""
        return self._state.alarms

    def _alarmed(self, alarm: Alarm) -> None:
        """Let a challenger begin that knows nothing of what was before, unless one has just begun, or none may."""
        just = any(0 < self.examples - one.facts.begun < _GRACE_EXAMPLES for one in self.contest.fresh)
        can = self._settings.max_fresh and self.contest.contenders and self._enough() and not just
        name = self.contest.begin_fresh(self.examples) if can else ""
        self._state.alarms.note(msgspec.structs.replace(alarm, challenger=name))

    def _enough(self) -> bool:
        state, settings = self._state, self._settings
        rarer = min(state.positives, state.examples - state.positives)
        return state.examples >= settings.min_labels and rarer >= settings.min_positives

    def _typical(self) -> tuple[float | None, ...]:
        """Per column the raw value of its mean transformed value; None where none was known."""
        usual = np.round(self._transforms.undo(self._means.means), 4).tolist()
        return tuple(value if count else None for value, count in zip(usual, self._means.counts.tolist(), strict=True))


def _largest(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return max(known) if known else math.nan


def _check(plain: Mapping[str, Any], state: LearnerState, expected: LearnerState, columns: int) -> None:
    """Raise `ValueError` for a state of another label or other features, of wrong sizes or with numbers not finite."""
    for name in ("format", "key", "feature_version", "fingerprint"):
        found, allowed = getattr(state, name), getattr(expected, name)
        if found != allowed:
            raise ValueError(f"{name} '{found}' is not the one in use here ('{allowed}')")
    if state.metrics.keys() != expected.metrics.keys():
        raise ValueError(f"metrics must be {sorted(expected.metrics)}")
    if _shape(msgspec.to_builtins(state.rule)) != _shape(msgspec.to_builtins(expected.rule)):
        raise ValueError("rule has another number of bins")
    bins = _shape(msgspec.to_builtins(ProgressiveMetrics()))
    judged = [*state.metrics.values(), *(contender.metrics for contender in state.contest.contenders.values())]
    if any(_shape(msgspec.to_builtins(metrics)) != bins for metrics in judged):
        raise ValueError("metrics have another number of bins")
    if {len(state.counts), len(state.means)} != {columns}:
        raise ValueError(f"{len(state.counts)} counts and {len(state.means)} means for {columns} columns")
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
