"""What the trainer tells its operator."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import msgspec

from models.churn.learner import PREDICTORS
from streams.telemetry import Telemetry
from streams.trainer.core import TrainerCore
from streams.trainer.group import TrainerGroup

_MEASURES = {
    "auc": "Chance that a customer who left had a higher probability than one who stayed.",
    "log_loss": "Mean log loss in nats.",
    "brier": "Mean squared error of the probability.",
    "ece": "Expected calibration error.",
}


class TrainerSignals:
    """Metrics and status of the trainer role. Probabilities are those really emitted, judged before learning."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._examples = telemetry.counter("examples_total", "Examples learned, by label.", ("label",))
        self._skipped = telemetry.counter("examples_skipped_total", "Examples not learned, by reason.", ("reason",))
        self._waiting = telemetry.gauge("examples_waiting", "Examples read and not learned before their horizon ends.")
        self._published = telemetry.counter("model_published_total", "Models published.")
        self._served = telemetry.gauge(
            "model_served", "1 for what is served now, 0 for all others.", ("label", "model")
        )
        self._moves = telemetry.counter("model_moves_total", "Changes of what is served.", ("label",))
        self._alarms = telemetry.counter("model_alarms_total", "Alarms that labels or losses changed.", ("label",))
        self._loss = telemetry.gauge(
            "model_log_loss", "Log loss of each model, about the last 2,000 examples.", ("label", "model")
        )
        self._evidence = telemetry.gauge(
            "model_evidence", "How far a challenger's test has come; 1 is promotion.", ("label", "model")
        )
        self._offset = telemetry.gauge("model_examples_offset", "Offset of the last example in the published model.")
        self._lag = telemetry.gauge("lag_records", "Records not yet settled.", ("topic", "partition"))
        self._progressive = {
            name: telemetry.gauge(f"progressive_{name}", f"{text} Over all examples.", ("label", "predictor"))
            for name, text in _MEASURES.items()
        }
        self._counted: tuple[Counter[int], Counter[str]] = (Counter(), Counter())
        self._moved: dict[str, int] = {}
        self._raised: dict[str, int] = {}
        self._shown: set[tuple[str, str]] = set()

    def restored(self, group: TrainerGroup) -> None:
        """A group took over: its counters start at 0, its figures where the checkpoints left them."""
        self._counted = (Counter(), Counter())
        self._moved = {core.key: core.steering.versions.moved for core in group.cores}
        self._raised = {core.key: core.learner.alarms.raised for core in group.cores}
        self._show(group)

    def reading(self) -> None:
        """Old examples are being read again."""
        self._telemetry.progress(busy=True)

    def learned(self, group: TrainerGroup) -> None:
        """A chunk was learned."""
        learned, skipped = self._counted
        for label, count in (group.learned - learned).items():
            self._examples.labels(str(label)).inc(count)
        for reason, count in (group.skipped - skipped).items():
            self._skipped.labels(reason).inc(count)
        self._counted = (group.learned, group.skipped)
        self._telemetry.progress(busy=True)

    def published(self, group: TrainerGroup) -> None:
        """The broker has a new model."""
        self._published.inc()
        self._offset.set(group.offset)
        self._show(group)

    def tick(self, lag: dict[Any, int], *, waiting: bool) -> None:
        """Called once a second. While work is `waiting`, only learning counts as progress."""
        for tp, records in lag.items():
            self._lag.labels(tp.topic, tp.partition).set(records)
        if not waiting:
            self._telemetry.progress()

    def _show(self, group: TrainerGroup) -> None:
        self._waiting.set(sum(len(core.waiting) for core in group.cores))
        shown: set[tuple[str, str]] = set()
        for core in group.cores:
            shown |= self._show_models(core)
            metrics = core.learner.metrics()
            for measure, gauge in self._progressive.items():
                for predictor in PREDICTORS:
                    if (value := metrics.get(f"{measure}_{predictor}")) is not None:
                        gauge.labels(core.key, predictor).set(value)
        for gone in self._shown - shown:
            for gauge in (self._served, self._loss, self._evidence):
                gauge.remove(*gone)
        self._shown = shown
        first = group.first
        self._telemetry.status.update(
            examples=first.learner.examples,
            positives=first.learner.positives,
            waiting=len(first.waiting),
            released_early=sum(core.waiting.early for core in group.cores),
            skipped=dict(group.skipped),
            served=first.steering.served,
            metrics=first.learner.metrics(),
            models={core.key: _standing(core) for core in group.cores},
        )

    def _show_models(self, core: TrainerCore) -> set[tuple[str, str]]:
        """The league table of one horizon; returns the labels of its lines."""
        key, moved, pinned = core.key, core.steering.versions.moved, bool(core.steering.versions.pinned)
        self._moves.labels(key).inc(max(0, moved - self._moved.get(key, 0)))
        self._moved[key] = moved
        raised = core.learner.alarms.raised
        self._alarms.labels(key).inc(max(0, raised - self._raised.get(key, 0)))
        self._raised[key] = raised
        table = core.learner.standings()
        for one in table:
            self._served.labels(key, one.name).set(float(one.alias == "champion" and not pinned))
            self._evidence.labels(key, one.name).set(one.evidence)
            self._loss.labels(key, one.name).set(math.nan if one.recent_log_loss is None else one.recent_log_loss)
        return {(key, one.name) for one in table}


def _standing(core: TrainerCore) -> dict[str, Any]:
    """One horizon for the status: what is served, why, the league table, the last moves."""
    learner, versions = core.learner, core.steering.versions
    return {
        "served": core.steering.served,
        "champion": learner.champion,
        "why": learner.contest.why,
        "examples": learner.examples,
        "positives": learner.positives,
        "waiting": len(core.waiting),
        "moves": versions.moved,
        "last_moves": [msgspec.to_builtins(move) for move in versions.moves[-5:]],
        "drift": [msgspec.to_builtins(alarm) for alarm in learner.alarms.last[-5:]],
        "ece": learner.metrics().get("ece_emitted"),
        "models": [msgspec.to_builtins(one) for one in learner.standings()],
    }
