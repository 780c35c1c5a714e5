"""The model's quality and drift as a snapshot has them, for the console. Times are epoch seconds, unknown is None."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from streams.warehouse.query import reading, rows_of

#: Most days that are drawn, and most alarms that are listed.
_DAYS, _ALARMS = 180, 8
_DRAWN_WINDOW_DAYS = 30.0

_SERVED_HORIZON = """
SELECT horizon_days FROM model_metrics
ORDER BY horizon_days = (SELECT any_value(horizon_days) FROM scores) DESC, as_of DESC LIMIT 1"""

_NEWEST = """
SELECT window_days, predictor, measure, reference, value, low, high, predictions FROM model_metrics
WHERE horizon_days = $1 AND cohort = 'all' AND kind = $2
    AND as_of = (SELECT max(as_of) FROM model_metrics WHERE horizon_days = $1 AND kind = $2)"""

_LINES = """
SELECT epoch(as_of) AS t, predictor, measure, value FROM model_metrics
WHERE horizon_days = ? AND cohort = 'all' AND kind = 'realised' AND reference IS NULL AND window_days = ?
    AND predictor IN ('emitted', 'rule', 'prior') AND measure IN ('auc', 'log_loss', 'ece')
    AND as_of > (SELECT max(as_of) FROM model_metrics) - to_days(?)
ORDER BY as_of"""

_BINS = """
SELECT probability, rate, low, high, predictions FROM reliability
WHERE horizon_days = $1 AND window_days IS NOT NULL
    AND as_of = (SELECT max(as_of) FROM reliability WHERE horizon_days = $1) ORDER BY bin"""

_RAISED = "SELECT day::VARCHAR AS day, feature, since::VARCHAR AS since, sentence FROM drift WHERE alarm"
_MOVED = "SELECT feature FROM drift WHERE moved AND day = (SELECT max(day) FROM drift) ORDER BY feature"


def quality(path: Path) -> dict[str, Any]:
    """The newest measures, their lines over time, the reliability table and the last drift alarms.

    Empty while nothing was measured. `windows` has, per window (days, `all`), predictor and measure, value, low, high;
    `against_rule` the same for differences; `estimated` for what is expected of the predictions of the last 30 days.
    """
    with reading(path) as connection:
        drift = {
            "alarms": rows_of(connection.execute(f"{_RAISED} ORDER BY drift.day DESC, feature LIMIT {_ALARMS}")),
            "moved": [feature for (feature,) in connection.execute(_MOVED).fetchall()],
        }
        found = connection.execute(_SERVED_HORIZON).fetchall()
        if not found:
            return drift if drift["alarms"] else {}
        horizon = found[0][0]
        newest = rows_of(connection.execute(_NEWEST, [horizon, "realised"]))
        expected = rows_of(connection.execute(_NEWEST, [horizon, "estimated"]))
        lines = connection.execute(_LINES, [horizon, _DRAWN_WINDOW_DAYS, _DAYS])
        return drift | {
            "horizon_days": horizon,
            "windows": _by_window([row for row in newest if row["reference"] is None]),
            "against_rule": _by_window([row for row in newest if row["reference"] == "rule"]),
            "estimated": {
                row["measure"]: [row["value"], row["low"], row["high"]]
                for row in expected
                if row["predictor"] == "emitted" and row["window_days"] == _DRAWN_WINDOW_DAYS
            },
            "lines": _lines(lines),
            "reliability": rows_of(connection.execute(_BINS, [horizon])),
        }


def _by_window(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        window = "all" if row["window_days"] is None else f"{row['window_days']:g}"
        measures = found.setdefault(window, {}).setdefault(row["predictor"], {"predictions": row["predictions"]})
        measures[row["measure"]] = [row["value"], row["low"], row["high"]]
    return found


def _lines(result: duckdb.DuckDBPyConnection) -> dict[str, list[float | None]]:
    """One list per `measure.predictor`, and their times under `t`."""
    points: dict[float, dict[str, float | None]] = {}
    for at, predictor, measure, value in result.fetchall():
        points.setdefault(at, {})[f"{measure}.{predictor}"] = value
    names = dict.fromkeys(name for point in points.values() for name in point)
    times: list[float | None] = list(points)
    return {"t": times} | {name: [point.get(name) for point in points.values()] for name in names}
