"""From the raw log to expected feature vectors: which SQL files run in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.features import FEATURE_NAMES, GROUPS
from streams.verify.sentiment import read_conversations
from streams.verify.store import INPUTS, Store

Doubles = npt.NDArray[np.float64]

_LOOKS: Final = pa.schema([("customer_id", pa.string()), ("as_of", pa.float64())])
_REACH: Final = pa.schema(
    [("customer_id", pa.string()), ("topic", pa.string()), ("partition", pa.int32()), ("last", pa.int64())]
)
_AT_ONCE: Final = 20_000


def read_events(store: Store) -> None:
    """Make table `events` of the raw log."""
    store.run("envelopes")
    read_conversations(store)
    store.run("events")
    for name in ("raw", "envelopes", "told", "named", "baskets", "signals"):
        store.connection.execute(f"DROP TABLE {name}")
    set_reach(store, ())
    set_looks(store, ())
    store.run("past")


def unreadable(store: Store) -> int:
    """How many events the worker took although SQL can tell neither whose nor when nor what they are."""
    return int(store.one("SELECT count(*) FROM events WHERE customer_id IS NULL OR time IS NULL OR name IS NULL"))


def set_looks(store: Store, looks: Iterable[tuple[str, float]]) -> None:
    """Say which customers to look at, and as of when (epoch seconds)."""
    store.create("looks", _LOOKS)
    store.append_rows("looks", _LOOKS, looks)


def set_reach(store: Store, reach: Iterable[tuple[str, str, int, int]]) -> None:
    """Say up to which offset of (customer, topic, partition) events count, beyond those below the cut."""
    store.create("reach", _REACH)
    add_reach(store, reach)


def add_reach(store: Store, reach: Iterable[tuple[str, str, int, int]]) -> None:
    """Say so of more customers."""
    store.append_rows("reach", _REACH, reach)


def place_of(source: str) -> tuple[str, int]:
    """Topic and partition of `topic/partition`."""
    topic, _, number = source.rpartition("/")
    return topic, int(number)


def forget_cut(store: Store) -> None:
    """From now on only `reach` says which events count."""
    store.create("cut", INPUTS["cut"])


def recompute(store: Store) -> None:
    """Make table `expected`: one row per look, in the order of customer ids, features in the order of the registry."""
    store.run("past")
    for group in GROUPS:
        store.run(group.name)
    features = ", ".join(f'CAST("{name}" AS DOUBLE) AS "{name}"' for name in FEATURE_NAMES)
    joins = " ".join(f"JOIN expected_{group.name} USING (customer_id)" for group in GROUPS)
    store.connection.execute(
        "CREATE OR REPLACE TABLE expected AS "  # noqa: S608 - names of our own registry
        f"SELECT row_number() OVER (ORDER BY customer_id) AS number, customer_id, as_of, {features} FROM looks {joins}"
    )


def expected(store: Store) -> Iterator[tuple[list[str], Doubles, Doubles]]:
    """Ids, times and feature vectors (rows x features, NaN for unknown), some thousand customers at a time."""
    columns = ", ".join(f'"{name}"' for name in FEATURE_NAMES)
    for first in range(1, store.one("SELECT count(*) FROM expected") + 1, _AT_ONCE):
        found = store.connection.sql(
            f"SELECT customer_id, as_of, {columns} FROM expected "  # noqa: S608 - names of our own registry
            "WHERE number BETWEEN ? AND ? ORDER BY number",
            params=[first, first + _AT_ONCE - 1],
        ).to_arrow_table()
        vectors = [np.asarray(found[name].to_numpy(), dtype=np.float64) for name in FEATURE_NAMES]
        yield found["customer_id"].to_pylist(), found["as_of"].to_numpy(), np.stack(vectors, axis=1)
