"""Metrics of the model's quality and of drift, set whenever an analysis found something."""

from __future__ import annotations

from collections.abc import Iterable

from streams.telemetry import Telemetry
from streams.warehouse.findings import Bin, Drift, Findings, Metric

_MEASURES = {
    "auc": "Chance that a customer who left had a higher probability than one who stayed.",
    "average_precision": "Area below the curve of precision and recall.",
    "log_loss": "Mean log loss in nats.",
    "brier": "Mean squared error of the probability.",
    "ece": "Expected calibration error.",
    "lift_at_top": "Rate of leavers in the riskiest tenth over that of all.",
    "profit": "Money per customer when those worth it are contacted.",
}
_WHO = ("horizon_days", "window", "cohort", "predictor")
_BIN = ("horizon_days", "bin")
#: The window whose reliability is shown.
_BIN_WINDOW_DAYS = 90.0


class QualityGauges:
    """Gauges hold the newest figures only; the history is in DuckDB."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._measures = {
            name: telemetry.gauge(f"quality_{name}", f"{text} Over predictions whose horizon ended.", _WHO)
            for name, text in _MEASURES.items()
        }
        self._estimates = {
            "auc": telemetry.gauge("quality_estimated_auc", "AUC expected of predictions made in the window.", _WHO),
            "log_loss": telemetry.gauge("quality_estimated_log_loss", "Log loss expected of them.", _WHO),
            "profit": telemetry.gauge("quality_estimated_profit", "Money per customer expected of them.", _WHO),
        }
        self._labels = telemetry.gauge("quality_labels", "Labels that the measures rest on.", _WHO)
        self._bins = {
            "probability": telemetry.gauge(
                "reliability_probability", "Mean emitted probability of a bin, 90 days.", _BIN
            ),
            "rate": telemetry.gauge("reliability_rate", "Share of leavers of a bin, 90 days.", _BIN),
            "predictions": telemetry.gauge("reliability_labels", "Labels of a bin, 90 days.", _BIN),
        }
        self._psi = telemetry.gauge("drift_psi", "Population stability index, by feature as served.", ("feature",))
        self._moved = telemetry.gauge("drift_moved", "1 while a feature is in alarm, else 0.", ("feature",))
        self._alarms = telemetry.counter("drift_alarms", "Drift alarms raised, by feature.", ("feature",))
        self._seconds = telemetry.gauge("warehouse_analysis_seconds", "Time of the last analysis of a snapshot.")
        self._failures = telemetry.gauge("warehouse_analysis_failures", "Analyses that failed.")

    def analysed(self, seconds: float, failures: int) -> None:
        """How the last analysis went."""
        self._seconds.set(seconds)
        self._failures.set(failures)

    def show(self, findings: Findings) -> None:
        """The newest of what was found, and all alarms."""
        if findings.metrics:
            newest = max(metric.as_of for metric in findings.metrics)
            self._show_metrics([metric for metric in findings.metrics if metric.as_of == newest])
            self._show_bins([one for one in findings.bins if one.as_of == newest])
        if findings.drift:
            day = max(row.day for row in findings.drift)
            self._show_drift([row for row in findings.drift if row.day == day])
        for alarm in findings.alarms:
            self._alarms.labels(alarm.feature).inc()

    def _show_metrics(self, metrics: Iterable[Metric]) -> None:
        for gauge in (*self._measures.values(), *self._estimates.values(), self._labels):
            gauge.clear()
        for metric in metrics:
            window = "all" if metric.window_days is None else f"{metric.window_days:g}d"
            who = (f"{metric.horizon_days:g}", window, metric.cohort, metric.predictor)
            if metric.reference is not None:
                continue
            if metric.kind == "realised":
                self._labels.labels(*who).set(metric.predictions)
            gauges = self._measures if metric.kind == "realised" else self._estimates
            if metric.measure in gauges and metric.value is not None:
                gauges[metric.measure].labels(*who).set(metric.value)

    def _show_bins(self, bins: Iterable[Bin]) -> None:
        for gauge in self._bins.values():
            gauge.clear()
        for one in bins:
            if one.window_days == _BIN_WINDOW_DAYS:
                for name, gauge in self._bins.items():
                    gauge.labels(f"{one.horizon_days:g}", str(one.bin)).set(getattr(one, name))

    def _show_drift(self, rows: Iterable[Drift]) -> None:
        for row in rows:
            self._moved.labels(row.feature).set(row.moved)
            if row.psi is not None:
                self._psi.labels(row.feature).set(row.psi)
