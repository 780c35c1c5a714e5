"""What an analysis of a snapshot found, as rows of the tables that it is written to, in their columns' order."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from models.drift import DriftAlarm
from streams.warehouse.schema import DRIFT_COLUMNS, METRIC_COLUMNS, RELIABILITY_COLUMNS

DAY_S = 86_400.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ARROW = {
    "VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64(), "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"), "DATE": pa.date32(),
}  # fmt: skip
_COLUMNS = {"model_metrics": METRIC_COLUMNS, "reliability": RELIABILITY_COLUMNS, "drift": DRIFT_COLUMNS}


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `model_metrics`; times in epoch seconds."""

    as_of: float
    horizon_days: float
    window_days: float | None
    cohort: str
    predictor: str
    kind: str
    measure: str
    reference: str | None = None
    value: float | None
    low: float | None
    high: float | None
    predictions: int
    customers: int
    positives: int | None
    realised_at: float | None = None


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `reliability`; `as_of` in epoch seconds."""

    as_of: float
    horizon_days: float
    window_days: float | None
    bin: int
    lowest: float
    highest: float
    predictions: int
    positives: int
    probability: float
    rate: float
    low: float
    high: float


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `drift`; days counted from 1970."""

    day: int
    feature: str
    predictions: int
    null_rate: float
    mean: float | None
    q10: float | None
    q25: float | None
    q50: float | None
    q75: float | None
    q90: float | None
    psi: float | None
    allowed: float | None
    moved: bool
    alarm: bool
    since: int | None
    sentence: str | None


class Progress(msgspec.Struct, frozen=True):
    """One row of `analysed`."""

    name: str
    day: int
    state: str


class Findings(msgspec.Struct):
    """Everything one analysis adds. `clock` is the newest event time of the snapshot, epoch seconds.

    `more` says that it stopped for lack of time with whole days left to look at.
    """

    clock: float = -math.inf
    metrics: list[Metric] = []
    bins: list[Bin] = []
    drift: list[Drift] = []
    alarms: list[DriftAlarm] = []
    progress: list[Progress] = []
    more: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.metrics or self.bins or self.drift or self.progress)


def put_findings(connection: duckdb.DuckDBPyConnection, findings: Findings) -> None:
    """Write findings in the place of those of the same time, and of earlier times that are no midnights: these were
    the newest once.
    """
    for table, rows in (("model_metrics", findings.metrics), ("reliability", findings.bins)):
        times = sorted({_moment(row.as_of) for row in rows})
        if times:
            connection.execute(
                f"DELETE FROM {table} WHERE as_of IN (SELECT unnest(?::TIMESTAMP[])) "  # noqa: S608 - our own names
                "OR as_of <> date_trunc('day', as_of)",
                [times],
            )
            _insert(connection, table, rows)
    if findings.drift:
        days = sorted({_day(row.day) for row in findings.drift})
        connection.execute("DELETE FROM drift WHERE day IN (SELECT unnest(?::DATE[]))", [days])
        _insert(connection, "drift", findings.drift)
    for one in findings.progress:
        connection.execute("DELETE FROM analysed WHERE name = ?", [one.name])
        connection.execute("INSERT INTO analysed VALUES (?, ?, ?)", [one.name, one.day, one.state])


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[Any]) -> None:
    columns = {}
    for name, kind, _ in _COLUMNS[table]:
        values = [getattr(row, name) for row in rows]
        if kind == "TIMESTAMP":
            values = [None if value is None else _moment(value) for value in values]
        if kind == "DATE":
            values = [None if value is None else _day(value) for value in values]
        columns[name] = pa.array(values, _ARROW[kind])
    connection.register("found", pa.table(columns))
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM found")  # noqa: S608 - our own names
    connection.unregister("found")


def _moment(seconds: float) -> datetime:
    return (_EPOCH + timedelta(microseconds=round(seconds * 1e6))).replace(tzinfo=None)


def _day(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)
