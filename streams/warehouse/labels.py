"""The table `labels`: one row per customer, time of prediction and horizon, with the last line of the ledger on it.

Of two lines the one that was known later stays, of lines known at the same time the one that tells more. A line that
says what the row says already changes nothing, though it be told later: a worker that was killed tells again what it
had told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import duckdb
import msgspec
import pyarrow as pa

from models.records import LabelRecord
from streams.warehouse.columns import epoch_us, key_table, label_table

#: Of lines known at the same time, the one with the greatest number stays.
_RANKS = {"pending": 0, "matured": 1, "void": 1, "revised": 2}

# New predictions have times close to each other, and so have those of one horizon that mature: the range skips most of
# the table.
_CURRENT = """
SELECT customer_id, epoch_us(as_of), horizon_days, epoch_us(known_at), status, outcome, label, rowid
FROM labels SEMI JOIN arriving USING (customer_id, as_of, horizon_days) WHERE as_of BETWEEN ? AND ?"""

#: Customer, time of prediction in microseconds, horizon in days.
_Key = tuple[str, int, float]


class Line(msgspec.Struct, frozen=True):
    """What decides between two lines; `place` is that of the row or of the arriving line."""

    known_us: int
    rank: int
    said: tuple[str, str, int | None]
    place: int

    def yields_to(self, other: Line) -> bool:
        """Whether a line that came later takes this one's place."""
        if self.said == other.said:
            return other.known_us < self.known_us
        return (other.known_us, other.rank) >= (self.known_us, self.rank)


def put_labels(connection: duckdb.DuckDBPyConnection, records: Sequence[LabelRecord]) -> int:
    """Put lines, in the order of their coming, into `labels`; returns how many rows are new or changed."""
    keys: list[_Key] = [(one.customer_id, epoch_us(one.as_of), one.horizon_days) for one in records]
    held: dict[_Key, Line] = {}
    for group in _groups(records):
        held |= _current(connection, [records[i] for i in group])
    winners: dict[_Key, Line] = {}
    for place, (key, record) in enumerate(zip(keys, records, strict=True)):
        line = Line(epoch_us(record.known_at), _RANKS[record.status], _said(record), place)
        before = winners.get(key) or held.get(key)
        if before is None or before.yields_to(line):
            winners[key] = line
    replaced = [held[key].place for key in winners if key in held]
    _delete(connection, replaced)
    if winners:
        connection.register("arriving", label_table([records[line.place] for line in winners.values()]))
        connection.execute("INSERT INTO labels BY NAME SELECT * FROM arriving")
        connection.unregister("arriving")
    return len(winners)


def _groups(records: Sequence[LabelRecord]) -> Iterable[list[int]]:
    """Places of lines whose predictions were made at about the same time: new ones, and those due, by horizon."""
    groups: dict[tuple[bool, float], list[int]] = {}
    for place, one in enumerate(records):
        groups.setdefault((one.status == "pending", one.horizon_days), []).append(place)
    return groups.values()


def _current(connection: duckdb.DuckDBPyConnection, records: Sequence[LabelRecord]) -> dict[_Key, Line]:
    connection.register("arriving", key_table(records))
    moments = [one.as_of for one in records]
    rows = connection.execute(_CURRENT, [_moment(min(moments)), _moment(max(moments))]).fetchall()
    connection.unregister("arriving")
    return {
        (customer, as_of, days): Line(known, _RANKS[status], (status, outcome, label), row)
        for customer, as_of, days, known, status, outcome, label, row in rows
    }


def _delete(connection: duckdb.DuckDBPyConnection, rows: Sequence[int]) -> None:
    if rows:
        connection.register("replaced", pa.table({"row": pa.array(rows, pa.int64())}))
        connection.execute("DELETE FROM labels WHERE rowid IN (SELECT row FROM replaced)")
        connection.unregister("replaced")


def _said(record: LabelRecord) -> tuple[str, str, int | None]:
    return record.status, record.outcome, record.label


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(epoch_us(seconds) / 1e6, UTC).replace(tzinfo=None)
