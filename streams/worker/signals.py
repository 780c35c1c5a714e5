"""What the worker tells its operator, counted once per turn."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque

from models.engine import Engine, Flush
from models.features.layout import NEVER
from streams.telemetry import Telemetry
from streams.worker.intake import Intake

_RATE_WINDOW_S = 10.0


class WorkerSignals:
    """Metrics and status of the worker role."""

    def __init__(self, telemetry: Telemetry, intake: Intake) -> None:
        self._telemetry = telemetry
        self._intake = intake
        self._events = telemetry.counter("events_total", "Records read, by topic.", ("topic",))
        self._applied = telemetry.counter("events_applied_total", "Events by what became of them.", ("outcome",))
        self._quarantined = telemetry.counter("quarantined_total", "Records refused, by reason.", ("reason",))
        self._rerouted = telemetry.counter("rerouted_total", "Events sent to their customer's own partition.")
        self._scores = telemetry.counter("scores_total", "Scores emitted, by band.", ("band",))
        self._matured = telemetry.counter("examples_matured_total", "Predictions whose truth became known.", ("label",))
        self._states = telemetry.counter("changelog_records_total", "Customer states written to the changelog.")
        self._customers = telemetry.gauge("customers", "Customers in memory, by partition.", ("partition",))
        self._foreign = telemetry.counter(
            "foreign_records_total", "Records of evicted workers that were written over.", ("topic",)
        )
        self._snapshots = telemetry.counter("local_snapshots_total", "Local snapshots of a partition.", ("outcome",))
        self._evicted = telemetry.counter("evicted_total", "Customers that left memory for the disk.")
        self._watermark = telemetry.gauge(
            "event_watermark_seconds", "Greatest event time, by partition.", ("partition",)
        )
        self._freshness = telemetry.gauge("freshness_seconds", "Age of the newest event applied.")
        self._lag = telemetry.gauge("lag_records", "Records not yet settled.", ("topic", "partition"))
        self._turns = telemetry.histogram("batch_seconds", "Time to process one batch, without the broker's part.")
        self._known: dict[str, Counter[str]] = {"counts": Counter(), "rejections": Counter()}
        self._totals: Counter[str] = Counter()
        self._recent: deque[tuple[float, int]] = deque()
        self._marks: dict[int, tuple[int, float]] = {}
        self._restoring: dict[int, tuple[int, int]] = {}

    def turn(
        self, partition: int, outcomes: dict[str, int], flushes: list[Flush], engine: Engine, seconds: float
    ) -> None:
        """Count one turn of one partition."""
        self._turns.observe(seconds)
        for outcome, count in outcomes.items():
            self._applied.labels(outcome).inc(count)
        self.flushed(flushes)
        self._customers.labels(partition).set(len(engine))
        self._marks[partition] = (len(engine), engine.watermark)
        if engine.watermark > NEVER:
            self._watermark.labels(partition).set(engine.watermark)

    def flushed(self, flushes: list[Flush]) -> None:
        """Count what some flushes brought forth."""
        for band, count in Counter(score.band for flush in flushes for score in flush.scores).items():
            self._scores.labels(band).inc(count)
            self._totals["scores"] += count
        for label, count in Counter(example.label for flush in flushes for example in flush.examples).items():
            self._matured.labels(str(label)).inc(count)
            self._totals["examples"] += count
        self._states.inc(sum(len(flush.states) for flush in flushes))

    def settled(self) -> None:
        """Something became durable."""
        self._telemetry.progress(busy=True)

    def restoring(self, partition: int, done: int, total: int) -> None:
        """A partition's state is being read: so many of about so many records."""
        self._restoring[partition] = (done, total)
        self._tell_restoring()

    def restored(self, partition: int) -> None:
        """A partition's state is complete."""
        self._restoring.pop(partition, None)
        self._tell_restoring()

    def _tell_restoring(self) -> None:
        told = {
            str(number): f"{done:,} of about {total:,} records" for number, (done, total) in self._restoring.items()
        }
        self._telemetry.status["restoring"] = told
        self._telemetry.not_ready = ", ".join(f"restoring partition {number}: {text}" for number, text in told.items())
        self._telemetry.progress(busy=True)

    def foreign(self, topic: str, count: int) -> None:
        """Records of an evicted worker were found on one of our topics."""
        self._foreign.labels(topic).inc(count)

    def snapshot(self, outcome: str) -> None:
        """A local snapshot was written, or failed; was used at a start, or refused."""
        self._snapshots.labels(outcome).inc()

    def evicted(self, count: int) -> None:
        """Idle customers left memory."""
        self._evicted.inc(count)

    def forget(self, partition: int) -> None:
        """A partition was taken away."""
        if self._restoring.pop(partition, None) is not None:
            self._tell_restoring()
        if self._marks.pop(partition, None) is not None:
            self._customers.remove(partition)
            with contextlib.suppress(KeyError):
                self._watermark.remove(partition)

    def tick(self, lag: dict[tuple[str, int], int], *, joined: bool) -> None:
        """Publish counters that others keep, lag by (logical topic, partition) and the status; called once a second.

        A worker that has not joined its group yet, unlike one that got no partition, is not ready.
        """
        self._count_intake()
        self._lag.clear()
        for (topic, partition), records in lag.items():
            self._lag.labels(topic, partition).set(records)
        if joined and not any(lag.values()) and not self._restoring:
            self._telemetry.progress()
        watermark = max((mark for _, mark in self._marks.values()), default=NEVER)
        if watermark > NEVER:
            self._freshness.set(max(0.0, time.time() - watermark))
        self._telemetry.status.update(
            events=self._totals["events"],
            events_per_s=round(self._rate(), 1),
            customers=sum(count for count, _ in self._marks.values()),
            lag={f"{topic}/{partition}": records for (topic, partition), records in sorted(lag.items())},
            quarantine=dict(self._intake.rejections),
            scores=self._totals["scores"],
            examples=self._totals["examples"],
            watermark=watermark if watermark > NEVER else None,
        )

    def _count_intake(self) -> None:
        for name, count in (self._intake.counts - self._known["counts"]).items():
            if name == "rerouted_out":
                self._rerouted.inc(count)
            else:
                self._events.labels(name).inc(count)
                self._totals["events"] += count if name != "rerouted" else 0
        for reason, count in (self._intake.rejections - self._known["rejections"]).items():
            self._quarantined.labels(reason).inc(count)
        self._known = {"counts": self._intake.counts.copy(), "rejections": self._intake.rejections.copy()}

    def _rate(self) -> float:
        now = time.monotonic()
        self._recent.append((now, self._totals["events"]))
        while now - self._recent[0][0] > _RATE_WINDOW_S:
            self._recent.popleft()
        (first_at, first), (last_at, last) = self._recent[0], self._recent[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else 0.0
