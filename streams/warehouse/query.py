"""What people ask of a snapshot, for the command line and the console. Plain data out; times are ISO-8601 UTC.

Every function opens the snapshot read-only, which disturbs nobody. A snapshot that was pruned between
`snapshot.newest` and here raises NoSnapshot: ask `newest` again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from streams.warehouse.errors import NoSnapshot
from streams.warehouse.schema import RESERVED_NAMES

_AT_RISK = """
SELECT customer_id, probability, band, percentile, likelihood_to_churn, reasons, model_name, model_version, as_of,
    scored_at
FROM scores WHERE eligible ORDER BY probability DESC, customer_id LIMIT ?"""

_CUSTOMER = "SELECT * EXCLUDE (generation, schema_version) FROM scores WHERE customer_id = ?"
_CUSTOMER_HISTORY = """
SELECT as_of, probability, band, eligible, model_name, model_version, score_id FROM scores_history
WHERE customer_id = ? ORDER BY generation DESC, revision DESC LIMIT ?"""

_SUMMARY = """
SELECT count(*) AS customers, count(*) FILTER (eligible) AS eligible,
    count(*) FILTER (likelihood_to_churn) AS likely_to_churn,
    avg(probability) FILTER (eligible) AS mean_probability, max(scored_at) AS scored_at
FROM scores"""

_AS_OF = """
SELECT customer_id, arg_max(struct_pack(probability, eligible), (generation, revision)) AS newest
FROM scores_history WHERE as_of <= ? GROUP BY customer_id"""


def customers_at_risk(path: Path, n: int) -> list[dict[str, Any]]:
    """The `n` customers most likely to leave, of those who still can, with their reasons."""
    with reading(path) as connection:
        return rows_of(connection.execute(_AT_RISK, [n]))


def customer(path: Path, customer_id: str, history: int = 20) -> dict[str, Any] | None:
    """The newest score of a customer with `features` (unknown ones left out) and `history`, the last scores, newest
    first; None if there is no score.
    """
    with reading(path) as connection:
        found = rows_of(connection.execute(_CUSTOMER, [customer_id]))
        if not found:
            return None
        score = found[0]
        score["source_offsets"] = {one["source"]: one["last_offset"] for one in score["source_offsets"]}
        vectors = rows_of(connection.execute("SELECT * FROM features WHERE score_id = ?", [score["score_id"]]))
        vector = vectors[0] if vectors else {}
        score["features"] = {k: v for k, v in vector.items() if k not in RESERVED_NAMES and v is not None}
        score["history"] = rows_of(connection.execute(_CUSTOMER_HISTORY, [customer_id, history]))
        return score


def summary(path: Path) -> dict[str, Any]:
    """Counts of customers (all, eligible, likely to churn, by band), of scores and labels, and which snapshot it is."""
    with reading(path) as connection:
        figures = rows_of(connection.execute(_SUMMARY))[0]
        bands = connection.execute("SELECT band, count(*) FROM scores GROUP BY band ORDER BY band").fetchall()
        labels = "SELECT count(label) AS examples, coalesce(sum(label), 0)::BIGINT AS positives FROM labels"
        figures |= rows_of(connection.execute(labels))[0]
        info = rows_of(connection.execute("SELECT * FROM snapshot_info"))
        return figures | {"bands": dict(bands), "snapshot": info[0] if info else None}


def score_as_of(path: Path, cutoff: float, *, eligible_only: bool = False) -> dict[str, float]:
    """Customer to the newest probability emitted at or before `cutoff` (epoch seconds, against `as_of`).

    With `eligible_only`, customers whose newest score then says that they had left are not in it.
    """
    moment = datetime.fromtimestamp(cutoff, UTC).replace(tzinfo=None)
    with reading(path) as connection:
        rows = connection.execute(_AS_OF, [moment]).fetchall()
    return {
        customer_id: newest["probability"] for customer_id, newest in rows if newest["eligible"] or not eligible_only
    }


@contextmanager
def reading(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to a snapshot. Raises NoSnapshot."""
    if not path.is_file():
        raise NoSnapshot(f"no snapshot '{path}': it was never there, or newer ones have replaced it")
    connection = duckdb.connect(str(path), read_only=True)
    try:
        yield connection
    finally:
        connection.close()


def rows_of(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The rows of a result as plain data, by column."""
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, map(_plain, row), strict=True)) for row in result.fetchall()]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    return value
