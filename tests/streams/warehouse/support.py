"""Scores, labels and records to feed a warehouse with, and ways to look at what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from models.records import LabelRecord, ModelRef, Reason, Score
from streams.topics import LABELS, SCORES
from streams.warehouse.decode import Decoder
from streams.warehouse.intake import read_batch
from streams.warehouse.writer import Batch, Partition, Position, WarehouseWriter

FEATURES: Mapping[str, float | None] = {"orders_30d": 2.0, "days_since_order": None, "order": 0.5}
TABLES = ("scores", "scores_history", "features", "labels", "consumed")


class Record(msgspec.Struct, frozen=True):
    """What a consumer record has that the warehouse reads."""

    offset: int
    value: bytes | None
    key: bytes | None = b"key"


def make_score(customer: str = "ada", revision: int = 1, **changes: Any) -> Score:
    """A score of a customer; `changes` replaces fields."""
    fields: dict[str, Any] = {
        "score_id": f"{customer}-{revision}",
        "customer_id": customer,
        "probability": 0.4,
        "band": "high",
        "likelihood_to_churn": True,
        "eligible": True,
        "percentile": 90.0,
        "horizon_days": 30.0,
        "label_kind": "cancellation",
        "reasons": (Reason(1, "order", 0.5, 0.8, 0.25, "half an order"), Reason(2, "days_since_order", None, 0.1)),
        "model": ModelRef("logistic", "7"),
        "feature_version": "f1",
        "source_offsets": {"purchases/0": 41, "clickstream/3": 7},
        "as_of": f"2026-01-01T00:00:{revision % 60:02d}Z",
        "event_watermark": "2026-01-01T00:00:00.125Z",
        "scored_at": "2026-01-02T00:00:00Z",
        "revision": revision,
        "features": dict(FEATURES),
    }
    return Score(**(fields | changes))


def make_label(number: int = 1, **changes: Any) -> LabelRecord:
    """A line of the ledger: a matured prediction, of its own by `number`; `changes` replaces fields."""
    fields: dict[str, Any] = {
        "customer_id": "ada",
        "as_of": 1_767_225_600.5 + number,
        "horizon_days": 30.0,
        "gap_days": 0.0,
        "label_kind": "cancellation",
        "status": "matured",
        "outcome": "left",
        "label": 1,
        "probability": 0.4,
        "rule_probability": 0.3,
        "prior_probability": 0.1,
        "own": {"logistic": 0.45},
        "model": ModelRef("rule", "0"),
        "feature_version": "f1",
        "known_at": 1_769_817_600.0,
        "due_at": 1_769_817_600.5 + number,
    }
    return LabelRecord(**(fields | changes))


def make_pending(number: int = 1, **changes: Any) -> LabelRecord:
    """The line that is told when a prediction is made."""
    made = {"status": "pending", "outcome": "unknown", "label": None, "known_at": 1_767_225_600.5 + number}
    return make_label(number, **(made | changes))


def encode(value: Score | LabelRecord) -> bytes:
    return msgspec.json.encode(value)


def batch_of(
    scores: Sequence[Score] = (), labels: Sequence[LabelRecord] = (), *, generation: int = 0, offset: int = 0
) -> Batch:
    """A batch of these records, as if read from partition 0 of both topics from `offset` on."""
    records: list[tuple[Partition, Any]] = [
        ((SCORES, 0), Record(offset + i, encode(score))) for i, score in enumerate(scores)
    ]
    records += [((LABELS, 0), Record(offset + i, encode(label))) for i, label in enumerate(labels)]
    at = Position(offset, generation)
    batch, refused = read_batch(Decoder(), records, {(SCORES, 0): at, (LABELS, 0): at})
    assert refused == []
    return batch


def rows_of(writer: WarehouseWriter, sql: str) -> list[tuple[Any, ...]]:
    """What a query on the live file returns; the writer itself has no need of such a door."""
    return writer._connection.execute(sql).fetchall()


def dump(path: Path) -> dict[str, list[Any]]:
    """Every row of every table of a closed file or a snapshot, in a fixed order."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return {table: sorted(map(repr, connection.execute(f"FROM {table}").fetchall())) for table in TABLES}
