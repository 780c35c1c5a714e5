"""The warehouse's tables: their columns, what each means, and how feature columns are added.

The statements below are the only place that names columns; `COMMENT ON` carries the meanings into the file, so
a reader finds them with `SELECT column_name, comment FROM duckdb_columns()`. There are no keys or indexes: an
index makes small upserts rewrite the file again and again, and `writer` keeps rows unique by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import duckdb

from streams.warehouse.errors import WarehouseDamaged

#: (column, type, meaning) of a score. All times are UTC.
SCORE_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("customer_id", "VARCHAR", "the customer: userId, or anonymous:anonymousId"),
    ("score_id", "VARCHAR", "names this score; the same in features and at destinations"),
    ("revision", "BIGINT", "counts the scores of the customer; the highest is the newest"),
    (
        "probability",
        "DOUBLE",
        "calibrated probability that the customer leaves within horizon_days, 0 to 1; 1 once gone",
    ),
    ("band", "VARCHAR", "low, medium, high, critical; left once the customer is gone or outside the cohort"),
    ("likelihood_to_churn", "BOOLEAN", "whether to act: eligible and at or above the probability set for it"),
    ("eligible", "BOOLEAN", "false once the customer has left, or is not in the cohort that the label speaks of"),
    ("percentile", "DOUBLE", "share of scored customers with no greater probability, in percent"),
    ("horizon_days", "DOUBLE", "days that the probability looks ahead"),
    ("label_kind", "VARCHAR", "what churn means here: cancellation or inactivity"),
    (
        "reasons",
        'STRUCT("rank" BIGINT, feature VARCHAR, "value" DOUBLE, contribution DOUBLE, typical DOUBLE, "text" VARCHAR)[]',
        "top reasons by rank; contribution in log-odds against the average customer; reasons[1].text tells the first",
    ),
    ("model_name", "VARCHAR", "which model made the probability: rule, prior, or a learned one"),
    ("model_version", "VARCHAR", "the version of that model as published on topic model"),
    ("feature_version", "VARCHAR", "version of the feature definitions"),
    (
        "source_offsets",
        "STRUCT(source VARCHAR, last_offset BIGINT)[]",
        "per source topic/partition the last offset that is part of the score; map_from_entries() makes it a map",
    ),
    ("as_of", "TIMESTAMP", "UTC time that the features speak of"),
    ("event_watermark", "TIMESTAMP", "UTC event time up to which the worker had seen events"),
    ("scored_at", "TIMESTAMP", "UTC time of scoring"),
    ("other_horizons", "MAP(VARCHAR, DOUBLE)", "probability of leaving within other horizons, by days"),
    ("schema_version", "BIGINT", "version of the score record"),
    ("generation", "BIGINT", "how often the scores topic had begun anew; orders before revision"),
)

LABEL_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("customer_id", "VARCHAR", "the customer"),
    ("as_of", "TIMESTAMP", "UTC time of the prediction"),
    ("horizon_days", "DOUBLE", "days within which leaving counts, from the end of the gap"),
    ("gap_days", "DOUBLE", "days between the prediction and its horizon: the time to act"),
    ("label_kind", "VARCHAR", "what churn means here: cancellation or inactivity"),
    (
        "status",
        "VARCHAR",
        "pending; matured: the truth is known; revised: known otherwise since; void: nothing to learn",
    ),
    ("outcome", "VARCHAR", "unknown, stayed, left, left_involuntary, left_in_gap, reactivated"),
    ("label", "BIGINT", "1 if the customer left within the horizon, 0 if not; NULL while unknown and where void"),
    ("probability", "DOUBLE", "the probability that was emitted then"),
    ("rule_probability", "DOUBLE", "what the recency rule said then"),
    ("prior_probability", "DOUBLE", "what the plain churn rate said then"),
    ("own", "MAP(VARCHAR, DOUBLE)", "what each learned model said then, before calibration: own['logistic']"),
    ("model_name", "VARCHAR", "which model made the emitted probability"),
    ("model_version", "VARCHAR", "the version of that model"),
    ("feature_version", "VARCHAR", "version of the feature definitions"),
    ("known_at", "TIMESTAMP", "UTC time since when this is known; of a pending prediction: when it was made"),
    ("due_at", "TIMESTAMP", "UTC time at which the horizon ends, the latest at which the truth is known"),
)

FEATURE_KEYS: tuple[tuple[str, str, str], ...] = (
    ("customer_id", "VARCHAR", "the customer"),
    ("as_of", "TIMESTAMP", "UTC time that the features speak of"),
    ("score_id", "VARCHAR", "the score made from them"),
)

METRIC_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("as_of", "TIMESTAMP", "UTC time at which the window ends: each midnight, and the newest time"),
    ("horizon_days", "DOUBLE", "days that the probabilities look ahead"),
    ("window_days", "DOUBLE", "length of the window; NULL: all time, and for estimates all that wait for their truth"),
    ("cohort", "VARCHAR", "all, or a cohort of the settings"),
    ("predictor", "VARCHAR", "emitted; rule; prior; or a learned model, before calibration"),
    (
        "kind",
        "VARCHAR",
        "realised: of predictions whose horizon ended in the window; estimated: expected of those made in it",
    ),
    (
        "measure",
        "VARCHAR",
        "auc, log_loss, brier, ece, lift_at_top (the top tenth), rate (of leavers), profit (per customer) and others",
    ),
    ("reference", "VARCHAR", "if set, value is the difference to this predictor on the same predictions"),
    ("value", "DOUBLE", "the measure; NULL where it is not defined"),
    ("low", "DOUBLE", "lower end of its 95 % interval, customers being the independent units"),
    ("high", "DOUBLE", "upper end"),
    ("predictions", "BIGINT", "predictions that it rests on"),
    ("customers", "BIGINT", "customers that it rests on"),
    ("positives", "BIGINT", "predictions of customers who left; NULL while that is not known"),
    ("realised_at", "TIMESTAMP", "of an estimate: the as_of of the realised measure of the same predictions"),
)

RELIABILITY_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("as_of", "TIMESTAMP", "UTC time at which the window ends"),
    ("horizon_days", "DOUBLE", "days that the probabilities look ahead"),
    ("window_days", "DOUBLE", "length of the window; NULL: all time"),
    ("bin", "BIGINT", "number of the bin, by rising probability; bins are about equally full"),
    ("lowest", "DOUBLE", "lowest probability in the bin"),
    ("highest", "DOUBLE", "highest probability in the bin"),
    ("predictions", "BIGINT", "predictions in the bin"),
    ("positives", "BIGINT", "those of customers who left"),
    ("probability", "DOUBLE", "mean of the emitted probabilities"),
    ("rate", "DOUBLE", "share of customers who left"),
    ("low", "DOUBLE", "lower end of the 95 % interval of the rate"),
    ("high", "DOUBLE", "upper end"),
)

DRIFT_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("day", "DATE", "UTC day of the scores"),
    ("feature", "VARCHAR", "a feature as served, or probability: the emitted one"),
    ("predictions", "BIGINT", "scores told on the day, of customers in the cohort; beyond 50,000 a share of them"),
    ("null_rate", "DOUBLE", "share of them for which it is unknown"),
    ("mean", "DOUBLE", "mean of the known"),
    ("q10", "DOUBLE", "quantile .10 of the known"),
    ("q25", "DOUBLE", "quantile .25"),
    ("q50", "DOUBLE", "median"),
    ("q75", "DOUBLE", "quantile .75"),
    ("q90", "DOUBLE", "quantile .90"),
    ("psi", "DOUBLE", "population stability index of the last days against those before; NULL while there are too few"),
    ("allowed", "DOUBLE", "what it may be without an alarm, by the alarm budget"),
    ("moved", "BOOLEAN", "whether it is part of an alarm that goes on"),
    ("alarm", "BOOLEAN", "whether that alarm was raised on this day"),
    ("since", "DATE", "of an alarm: the day from which on it looks different"),
    ("sentence", "VARCHAR", "of an alarm: what happened, in words"),
)

PROGRESS_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("name", "VARCHAR", "what was analysed: quality or drift"),
    ("day", "BIGINT", "the last whole day that was, counted from 1970, UTC"),
    ("state", "VARCHAR", "what it needs to go on, as JSON"),
)

CONSUMED_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("topic", "VARCHAR", "logical topic name"),
    ("partition", "BIGINT", "partition of the topic"),
    ("next_offset", "BIGINT", "the first offset that is not in this file yet"),
    ("generation", "BIGINT", "how often the topic had begun anew"),
    ("cluster_id", "VARCHAR", "the Kafka cluster that the offset belongs to; empty if it did not say"),
)

SNAPSHOT_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("number", "BIGINT", "number of the snapshot, as in its file name; in the live file: of the last one begun"),
    ("created_at", "TIMESTAMP", "UTC time of publication"),
    ("event_watermark", "TIMESTAMP", "UTC event time that the newest score had seen"),
    ("scores", "BIGINT", "rows of scores: customers"),
    ("scores_history", "BIGINT", "rows of scores_history: scores"),
    ("labels", "BIGINT", "rows of labels: kept predictions, by horizon"),
    ("told", "BIGINT", "rows of labels whose truth was told: all but the pending"),
)

#: (table, meaning, columns). `features` gets one DOUBLE column more for every feature it meets.
TABLES: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    ("scores", "one row per customer: the newest score", SCORE_COLUMNS),
    ("scores_history", "every score that was emitted, in the order of arrival", SCORE_COLUMNS),
    ("features", "the feature vector of every score, one column per feature; NULL is unknown", FEATURE_KEYS),
    ("labels", "one row per kept prediction and horizon: what was said, and what is known of it", LABEL_COLUMNS),
    ("model_metrics", "how good the probabilities were, by day, horizon, window, cohort and predictor", METRIC_COLUMNS),
    ("reliability", "what was said and what came: bins of emitted probabilities", RELIABILITY_COLUMNS),
    ("drift", "what was served, day by day and feature by feature, and what moved", DRIFT_COLUMNS),
    ("analysed", "how far the tables model_metrics, reliability and drift are", PROGRESS_COLUMNS),
    ("consumed", "how far each partition is in this file; written together with its rows", CONSUMED_COLUMNS),
    ("snapshot_info", "one row: which snapshot this is", SNAPSHOT_COLUMNS),
)

_VIEW = """CREATE VIEW likely_to_churn AS
SELECT customer_id, probability, band, percentile, reasons, horizon_days, label_kind, model_name, model_version,
       as_of, scored_at, score_id
FROM scores WHERE likelihood_to_churn ORDER BY probability DESC, customer_id"""
_VIEW_MEANING = "the customers to act on now, most likely first"

_EXPECTED = """CREATE VIEW expected_and_realised AS
SELECT e.as_of, e.realised_at, e.horizon_days, e.window_days, e.cohort, e.predictor, e.measure, e.value AS expected,
       e.low, e.high, r.value AS realised, r.value BETWEEN e.low AND e.high AS as_expected
FROM model_metrics e LEFT JOIN model_metrics r
    ON r.kind = 'realised' AND r.reference IS NULL AND r.as_of = e.realised_at AND r.horizon_days = e.horizon_days
    AND r.window_days = e.window_days AND r.cohort = e.cohort AND r.predictor = e.predictor AND r.measure = e.measure
WHERE e.kind = 'estimated' AND e.realised_at IS NOT NULL"""
_EXPECTED_MEANING = (
    "what was expected of the predictions of a window, beside what became of them once their truth was known"
)

VIEWS = (("likely_to_churn", _VIEW, _VIEW_MEANING), ("expected_and_realised", _EXPECTED, _EXPECTED_MEANING))

FEATURE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
#: More feature columns than this come from a broken or hostile producer, not from a feature registry.
MAX_FEATURES = 1000
RESERVED_NAMES = frozenset(name for name, _, _ in FEATURE_KEYS)


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables, comments and views in an empty file.

    Raises
    ------
    WarehouseDamaged
        The file has tables already, and they are not these.
    """
    if not connection.execute("SELECT 1 FROM duckdb_tables() LIMIT 1").fetchall():
        connection.execute("BEGIN")
        for name, meaning, columns in TABLES:
            _create_table(connection, name, meaning, columns)
        for name, statement, meaning in VIEWS:
            connection.execute(statement)
            connection.execute(f"COMMENT ON VIEW {name} IS {_quoted(meaning)}")
        connection.execute("COMMIT")
    _check(connection)


def feature_columns(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The feature columns so far, in the order in which they came."""
    return [name for name in _columns_of(connection, "features") if name not in RESERVED_NAMES]


def add_features(connection: duckdb.DuckDBPyConnection, names: Iterable[str], meanings: Mapping[str, str]) -> None:
    """Add a column for each name, which must match FEATURE_NAME; older rows hold NULL there."""
    for name in names:
        connection.execute(f'ALTER TABLE features ADD COLUMN "{name}" DOUBLE')
        if name in meanings:
            connection.execute(f'COMMENT ON COLUMN features."{name}" IS {_quoted(meanings[name])}')


def _create_table(
    connection: duckdb.DuckDBPyConnection, name: str, meaning: str, columns: tuple[tuple[str, str, str], ...]
) -> None:
    body = ", ".join(f'"{column}" {kind}' for column, kind, _ in columns)
    connection.execute(f"CREATE TABLE {name} ({body})")
    connection.execute(f"COMMENT ON TABLE {name} IS {_quoted(meaning)}")
    for column, _, text in columns:
        connection.execute(f'COMMENT ON COLUMN {name}."{column}" IS {_quoted(text)}')


def _check(connection: duckdb.DuckDBPyConnection) -> None:
    problems = []
    for name, _, columns in TABLES:
        wanted = [column for column, _, _ in columns]
        found = _columns_of(connection, name)
        if (found[: len(wanted)] if name == "features" else found) != wanted:
            problems.append(f"table {name} has columns {', '.join(found) or 'none'}; needed: {', '.join(wanted)}")
    if problems:
        raise WarehouseDamaged("; ".join(problems))


def _columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    rows = connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = ? AND NOT internal ORDER BY column_index", [table]
    ).fetchall()
    return [str(name) for (name,) in rows]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
