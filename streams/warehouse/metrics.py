"""The warehouse's metrics and its figures for the console."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from streams.telemetry import Telemetry
from streams.warehouse.intake import Refused
from streams.warehouse.snapshot import Snapshot
from streams.warehouse.writer import Applied, Partition


class Metrics:
    """Counts in place, once per batch."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._status = telemetry.status
        self._refused: Counter[str] = Counter()
        self._published_at = math.nan
        self._rows = telemetry.counter("warehouse_rows", "Rows added to the live file.", ("table",))
        self._quarantined = telemetry.counter("warehouse_quarantined", "Records sent to quarantine.", ("reason",))
        self.batch_seconds = telemetry.histogram("warehouse_batch_seconds", "Time of one transaction.")
        self.beginnings = telemetry.counter(
            "warehouse_beginnings",
            "Partitions by where reading began: new, resumed, expired, recreated.",
            ("topic", "verdict"),
        )
        self._lag = telemetry.gauge("warehouse_lag_records", "Records not applied yet.", ("topic", "partition"))
        self._snapshots = telemetry.counter("warehouse_published", "Snapshots published.")
        self.publish_failures = telemetry.counter("warehouse_publish_failures", "Snapshots that could not be written.")
        self._snapshot_bytes = telemetry.gauge("warehouse_snapshot_bytes", "Size of the newest snapshot.")
        age = telemetry.gauge("warehouse_snapshot_age_seconds", "Age of the newest snapshot; NaN before the first.")
        age.set_function(lambda: time.time() - self._published_at)
        self._status |= {"rows": 0, "tables": {}, "snapshot": None, "snapshot_at": None, "lag": {}, "quarantine": {}}

    def count(self, applied: Applied, refused: Sequence[Refused]) -> None:
        """One batch is applied."""
        self._rows.labels("scores_history").inc(applied.scores_history)
        self._rows.labels("features").inc(applied.scores_history)
        self._rows.labels("scores").inc(applied.scores)
        self._rows.labels("labels").inc(applied.labels)
        for one in refused:
            self._quarantined.labels(one.error.reason).inc()
            self._refused[one.error.reason] += 1
        self._status["quarantine"] = dict(self._refused)

    def published(self, snapshot: Snapshot, rows: Mapping[str, int]) -> None:
        """One snapshot is there; `rows` are its rows per table."""
        self._published_at = snapshot.created_at.timestamp()
        self._snapshots.inc()
        self._snapshot_bytes.set(snapshot.size_bytes)
        self._status |= {
            "rows": rows["scores_history"],
            "tables": dict(rows),
            "snapshot": str(snapshot.path),
            "snapshot_at": snapshot.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    def set_lag(self, lag: Mapping[Partition, int]) -> None:
        """Records per partition that wait on the broker."""
        for (topic, partition), records in lag.items():
            self._lag.labels(topic, str(partition)).set(records)
        self._status["lag"] = {f"{topic}/{partition}": records for (topic, partition), records in lag.items()}
