"""Served feature rows in few bytes: only what differs from a customer that was never heard of.

A prediction waits for its truth with the very row that was scored. Most columns of most customers are blank, so a bit
per column says which are told, and float32 values follow. Unpacking gives the same row bit for bit.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from models.features import FEATURES
from models.scoring import served
from models.table import Table

Row = npt.NDArray[np.float32]


@cache
def blank() -> Row:
    """The served row of a customer without any event."""
    table = Table()
    table.add("")
    return np.asarray(served(table.features(np.array([0]), 0.0))[0])


def pack_rows(rows: Row) -> list[bytes]:
    """The bytes of each row of a (rows x features) matrix."""
    told = rows.view("<u4") != blank().view("<u4")
    bits = np.packbits(told, axis=1)
    values = rows.astype("<f4", copy=False)
    return [bits[i].tobytes() + values[i][told[i]].tobytes() for i in range(len(rows))]


def unpack_row(packed: bytes) -> Row:
    """The row again. Raises ValueError for bytes of other features."""
    width = (len(FEATURES) + 7) // 8
    told = np.unpackbits(np.frombuffer(packed, np.uint8, width), count=len(FEATURES)).astype(bool)
    values = np.frombuffer(packed, "<f4", -1, width)
    if len(values) != int(told.sum()):
        msg = f"cannot unpack a feature row of {len(packed)} bytes: {len(values)} values for {int(told.sum())} columns"
        raise ValueError(msg)
    row = blank().copy()
    row[told] = values
    return row
