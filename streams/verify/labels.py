"""Labels against the raw log: did the customer really leave (or stay silent) within the horizon?"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pyarrow as pa

from models.labels import normal_cause
from models.records import Example
from models.settings import LabelSettings
from streams.verify.recompute import set_looks
from streams.verify.store import Store

_PREDICTIONS = pa.schema(
    [
        ("number", pa.int64()), ("customer_id", pa.string()), ("as_of", pa.float64()), ("gap_days", pa.float64()),
        ("horizon_days", pa.float64()), ("label", pa.int32()),
    ]
)  # fmt: skip


class WrongLabel(msgspec.Struct, frozen=True):
    """An example whose label is not what the log says. `as_of` is epoch seconds."""

    customer_id: str
    as_of: float
    expected: int
    found: int


def wrong_labels(store: Store, examples: Iterable[Example], label: LabelSettings) -> list[WrongLabel]:
    """The examples whose label is not the log's, in the order given. Needs `recompute.read_events` before.

    Cancellation: 1 if one of `label.cancellation_events` falls into the horizon, whatever its cause if
    `label.involuntary` counts all as churn. Inactivity: 1 if none of `label.activity_events` does.
    """
    given = list(examples)
    store.create("predictions", _PREDICTIONS)
    rows = ((i, one.customer_id, one.as_of, one.gap_days, one.horizon_days, one.label) for i, one in enumerate(given))
    store.append_rows("predictions", _PREDICTIONS, rows)
    leaves = label.kind == "cancellation"
    deciding = label.cancellation_events if leaves else label.activity_events
    unwilling = label.involuntary_causes if leaves and label.involuntary == "exclude" else ()
    for table, column, values in (
        ("deciding", "name", deciding), ("unwilling", "cause", map(normal_cause, unwilling)),
    ):  # fmt: skip
        schema = pa.schema([(column, pa.string())])
        store.create(table, schema)
        store.append_rows(table, schema, ((value,) for value in values))
    set_looks(store, ((customer_id, 0.0) for customer_id in {one.customer_id for one in given}))
    store.run("past")
    store.run("labels")
    truth = store.rows("SELECT customer_id, as_of, CAST(happened = ? AS INTEGER), label FROM truth", leaves)
    return [WrongLabel(*row) for row in truth if row[2] != row[3]]
