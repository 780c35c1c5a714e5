"""What the trainer tells its operator."""

from __future__ import annotations

from collections import Counter
from typing import Any

from models.churn.learner import PREDICTORS
from streams.telemetry import Telemetry
from streams.trainer.core import TrainerCore

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
        self._served = telemetry.gauge("model_served", "1 for what is served now, 0 for the other.", ("source",))
        self._offset = telemetry.gauge("model_examples_offset", "Offset of the last example in the published model.")
        self._lag = telemetry.gauge("lag_records", "Records not yet settled.", ("topic", "partition"))
        self._progressive = {
            name: telemetry.gauge(f"progressive_{name}", f"{text} Over all examples.", ("predictor",))
            for name, text in _MEASURES.items()
        }
        self._counted: tuple[Counter[int], Counter[str]] = (Counter(), Counter())

    def restored(self, core: TrainerCore) -> None:
        """A core took over: its counters start at 0, its figures where the checkpoint left them."""
        self._counted = (Counter(), Counter())
        self._show(core)

    def reading(self) -> None:
        """Old examples are being read again."""
        self._telemetry.progress(busy=True)

    def learned(self, core: TrainerCore) -> None:
        """A chunk was learned."""
        learned, skipped = self._counted
        for label, count in (core.learned - learned).items():
            self._examples.labels(str(label)).inc(count)
        for reason, count in (core.skipped - skipped).items():
            self._skipped.labels(reason).inc(count)
        self._counted = (core.learned.copy(), core.skipped.copy())
        self._telemetry.progress(busy=True)

    def published(self, core: TrainerCore) -> None:
        """The broker has a new model."""
        self._published.inc()
        self._offset.set(core.offset)
        self._show(core)

    def tick(self, lag: dict[Any, int], *, waiting: bool) -> None:
        """Called once a second. While work is `waiting`, only learning counts as progress."""
        for tp, records in lag.items():
            self._lag.labels(tp.topic, tp.partition).set(records)
        if not waiting:
            self._telemetry.progress()

    def _show(self, core: TrainerCore) -> None:
        learner, metrics = core.learner, core.learner.metrics()
        self._waiting.set(len(core.waiting))
        for source in ("rule", "logistic"):
            self._served.labels(source).set(float(source == learner.champion))
        for measure, gauge in self._progressive.items():
            for predictor in PREDICTORS:
                if (value := metrics.get(f"{measure}_{predictor}")) is not None:
                    gauge.labels(predictor).set(value)
        self._telemetry.status.update(
            examples=learner.examples,
            positives=learner.positives,
            waiting=len(core.waiting),
            released_early=core.waiting.early,
            skipped=dict(core.skipped),
            served=learner.champion,
            metrics=metrics,
        )
