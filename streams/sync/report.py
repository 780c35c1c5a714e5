"""The figures of one destination: counters, gauges and the status dictionary."""

from __future__ import annotations

from collections import Counter as Tally
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from streams.sync.retry import BreakerState
from streams.telemetry import Telemetry

_BREAKER_VALUES: dict[BreakerState, int] = {"closed": 0, "half_open": 1, "open": 2, "disabled": 3}

#: Reasons of the breaker that no waiting mends.
_NEEDS_A_HUMAN = frozenset({"auth", "gone"})


class Metrics:
    """The metric families of the role, made once and shared by its destinations."""

    def __init__(self, telemetry: Telemetry) -> None:
        destination = ("destination",)
        self.telemetry = telemetry
        self.deliveries: Counter = telemetry.counter(
            "deliveries", "Scores whose way to a destination ended, by outcome.", ("destination", "outcome")
        )
        self.attempts: Counter = telemetry.counter(
            "delivery_attempts", "Requests to a destination, by what the answer meant.", ("destination", "verdict")
        )
        self.skipped: Counter = telemetry.counter(
            "sync_skipped", "Scores that were no news for a destination, by reason.", ("destination", "reason")
        )
        self.seconds: Histogram = telemetry.histogram(
            "delivery_seconds", "Time of one request to a destination.", destination
        )
        self.pending: Gauge = telemetry.gauge("sync_pending", "Customers with an undelivered score.", destination)
        self.oldest: Gauge = telemetry.gauge(
            "sync_oldest_pending_seconds", "How long the longest waiting customer has been waiting.", destination
        )
        self.breaker: Gauge = telemetry.gauge(
            "sync_breaker_state", "0 closed, 1 half open, 2 open, 3 disabled by the endpoint (410).", destination
        )
        self.alarm: Gauge = telemetry.gauge(
            "sync_alarm", "1 while a human must act: credentials refused, endpoint gone, or paused.", destination
        )


class Report:
    """What happened at one destination since the start."""

    def __init__(self, metrics: Metrics, destination: str) -> None:
        self.outcomes: Tally[str] = Tally()
        self.verdicts: Tally[str] = Tally()
        self.skips: Tally[str] = Tally()
        self._metrics = metrics
        self._destination = destination

    def attempted(self, verdict: str, seconds: float) -> None:
        self.verdicts[verdict] += 1
        self._metrics.attempts.labels(self._destination, verdict).inc()
        self._metrics.seconds.labels(self._destination).observe(seconds)

    def settled(self, outcome: str) -> None:
        self.outcomes[outcome] += 1
        self._metrics.deliveries.labels(self._destination, outcome).inc()

    def skipped(self, reason: str) -> None:
        self.skips[reason] += 1
        self._metrics.skipped.labels(self._destination, reason).inc()

    def state(
        self, pending: int, oldest_s: float, breaker: BreakerState, reason: str, paused: str = ""
    ) -> dict[str, Any]:
        """Set the gauges; returns the same as plain figures for the console."""
        alarm = bool(paused) or reason in _NEEDS_A_HUMAN
        self._metrics.alarm.labels(self._destination).set(alarm)
        self._metrics.pending.labels(self._destination).set(pending)
        self._metrics.oldest.labels(self._destination).set(oldest_s)
        self._metrics.breaker.labels(self._destination).set(_BREAKER_VALUES[breaker])
        return {
            "deliveries": dict(self.outcomes),
            "attempts": dict(self.verdicts),
            "skipped": dict(self.skips),
            "pending": pending,
            "oldest_pending_s": round(oldest_s, 3),
            "breaker": breaker,
            "breaker_reason": reason,
            "paused": paused,
            "alarm": alarm,
        }
