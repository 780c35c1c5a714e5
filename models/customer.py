"""What a state says of one customer, in plain types: for operators, checks and tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from models import table as t
from models.features import FEATURE_NAMES
from models.guards import offsets_of
from models.labels import is_open
from models.pending import waiting
from models.state import DIGEST_BYTES
from models.table import Table
from models.telling import BANDS


def customer_facts(table: Table, row: int, now: float, sources: tuple[str, ...] = ()) -> dict[str, Any]:
    """Everything of one row of a table as of `now` (epoch seconds). `sources` name its own offsets."""
    core = table.core[row]
    features = table.features(np.array([row]), now)[0].tolist()
    return {
        "customer_id": table.ids[row],
        "offsets": offsets_of(table, [row], sources)[0],
        "revision": int(core[t.REVISION]),
        "probability": float(core[t.PROBABILITY]),
        "band": BANDS[int(core[t.BAND])],
        "emitted_at": float(core[t.EMITTED_AT]),
        "due_at": float(core[t.DUE_AT]),
        "left_at": float(core[t.LEFT_AT]),
        "back_at": float(core[t.BACK_AT]),
        "active_at": float(core[t.ACTIVE_AT]),
        "bought_at": float(core[t.BOUGHT_AT]),
        "watermark": float(core[t.WATERMARK]),
        "snapshots": int(core[t.SNAPSHOTS]),
        "snapshot_at": float(core[t.SNAPSHOT_AT]),
        "pending": [one.as_of for one in waiting(table.blobs[t.PENDING][row]) if is_open(one)],
        "recent_messages": len(table.blobs[t.RECENT][row]) // DIGEST_BYTES,
        "features": dict(zip(FEATURE_NAMES, features, strict=True)),
    }


def inspect(customer_id: str, raw: bytes, now: float = 0.0, sources: tuple[str, ...] = ()) -> dict[str, Any]:
    """`customer_facts` of a changelog value. Raises models.state.StateError."""
    table = Table.of([(customer_id, raw)])
    return customer_facts(table, 0, now, sources)
