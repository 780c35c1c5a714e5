"""How long rows stay, in event time: so a history that is played is kept as long as one that is lived."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb

from models.settings import WarehouseSettings
from streams.warehouse.findings import DAY_S


def forget_old(connection: duckdb.DuckDBPyConnection, clock: float, keep: WarehouseSettings) -> None:
    """Delete what is older than is to be kept at `clock`, the newest event time (epoch seconds). 0 days: keep all.

    The newest score of each customer is in `scores` and always stays. A pending label is not old before its horizon.
    """
    ages = (
        ("scores_history", "as_of", keep.keep_history_days),
        ("features", "as_of", keep.keep_history_days),
        ("labels", "due_at", keep.keep_labels_days),
        ("model_metrics", "as_of", keep.keep_metrics_days),
        ("reliability", "as_of", keep.keep_metrics_days),
        ("drift", "day", keep.keep_metrics_days),
    )
    for table, column, days in ages:
        if days:
            before = datetime.fromtimestamp(max(0.0, clock - days * DAY_S), UTC).replace(tzinfo=None)
            connection.execute(f"DELETE FROM {table} WHERE {column} < ?", [before])  # noqa: S608 - our own names
