"""Reads a snapshot and finds what there is to say of it: measures for each midnight and for now, drift for each day.

It works on a snapshot, never on the live file, so the writer is not held up; what it found is then written in one small
transaction. How far it came is in the table `analysed`, so it goes on where it was, however the process ended.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import duckdb
import msgspec

from models.evaluation import parse_cohorts
from models.features import FEATURE_NAMES
from models.labels import horizons_of
from models.settings import Settings
from streams.warehouse.drifting import DayWatch
from streams.warehouse.findings import DAY_S, Findings, Progress
from streams.warehouse.quality import Ledger, bins, measured, read_ledger

QUALITY, DRIFT = "quality", "drift"
#: Event time that must have passed since a midnight before its day is looked at: partitions are not equally far.
_GRACE_S = 3600.0

_CLOCK = """
SELECT epoch(max(moment)) FROM (
    SELECT max(as_of) AS moment FROM scores_history UNION ALL SELECT max(known_at) FROM labels)"""
_FIRST_LABEL = "SELECT epoch(min(as_of)) FROM labels"
_FIRST_SCORE = "SELECT epoch(min(as_of)) FROM scores_history"
_KNOWN = "SELECT count(*) FILTER (status <> 'pending'), coalesce(epoch_us(max(known_at)), 0) FROM labels"


class Analysis:
    """One look at a snapshot. `fresh` measures the newest time though no new label matured since the last look."""

    def __init__(self, path: Path, settings: Settings, *, within_s: float, fresh: bool) -> None:
        self._path, self._settings, self._fresh = path, settings, fresh
        self._began, self._within_s = time.monotonic(), within_s
        self._found = Findings()

    def run(self) -> Findings:
        """Look; when the time is over, what is left of whole days is left to the next look."""
        connection = duckdb.connect(str(self._path), read_only=True)
        try:
            connection.execute("SET threads = 1")
            connection.execute("SET memory_limit = '1GB'")
            self._found.clock = _number(connection, _CLOCK)
            if math.isfinite(self._found.clock):
                progress = {
                    name: Progress(name, day, state)
                    for name, day, state in connection.execute("SELECT name, day, state FROM analysed").fetchall()
                }
                self._watch(connection, progress.get(DRIFT))
                self._measure(connection, progress.get(QUALITY))
        finally:
            connection.close()
        return self._found

    def _watch(self, connection: duckdb.DuckDBPyConnection, before: Progress | None) -> None:
        """Whole days of scores through the drift monitor."""
        told = _number(connection, _FIRST_SCORE)
        if not math.isfinite(told):
            return
        first = before.day + 1 if before else _day(told)
        # The day in which the clock stands is not whole.
        days = range(first, self._last_midnight())
        if not days:
            return
        watch, done = DayWatch(self._settings.drift, before.state if before else ""), first - 1
        for day in days:
            rows, alarms = watch.observe(connection, day)
            self._found.drift += rows
            self._found.alarms += alarms
            done = day
            # At least one day per look, so that it comes to an end however slow a look is; half of the time for drift.
            if day < days[-1] and self._late(0.5):
                break
        self._found.progress.append(Progress(DRIFT, done, watch.state()))

    def _measure(self, connection: duckdb.DuckDBPyConnection, before: Progress | None) -> None:
        """Measures for the newest time if labels matured, then for every midnight since the last one."""
        made = _number(connection, _FIRST_LABEL)
        if not math.isfinite(made):
            return
        done = before.day if before else _day(made)
        midnights = range(done + 1, self._last_midnight() + 1)
        known = msgspec.json.encode(connection.execute(_KNOWN).fetchall()[0]).decode()
        if not midnights and before and before.state == known and not self._fresh:
            return
        cohorts = parse_cohorts(self._settings.evaluation.cohorts, FEATURE_NAMES)
        label = self._settings.label
        ledgers = [read_ledger(connection, label, days, cohorts) for days in horizons_of(label)]
        self._measure_at(ledgers, self._found.clock)
        for day in midnights:
            self._measure_at(ledgers, day * DAY_S)
            done = day
            if day < midnights[-1] and self._late(1.0):
                break
        self._found.progress.append(Progress(QUALITY, done, known))

    def _measure_at(self, ledgers: list[Ledger], at: float) -> None:
        for ledger in ledgers:
            self._found.metrics += measured(ledger, at, self._settings.offer)
            self._found.bins += bins(ledger, at)

    def _last_midnight(self) -> int:
        """The last midnight whose day is over for all partitions, in days from 1970."""
        return _day(self._found.clock - _GRACE_S)

    def _late(self, share: float) -> bool:
        """Whether this share of the time is over; then days are left to the next look."""
        over = time.monotonic() > self._began + share * self._within_s
        self._found.more = self._found.more or over
        return over


def _number(connection: duckdb.DuckDBPyConnection, sql: str) -> float:
    (value,) = connection.execute(sql).fetchall()[0]
    return math.nan if value is None else float(value)


def _day(seconds: float) -> int:
    return math.floor(seconds / DAY_S)
