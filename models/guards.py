"""The guard against events that were applied before: the last applied offset per customer and source.

Offsets of a source rise, so an event beyond everything seen of its source is new for every customer: one comparison.
Only behind that point, after a restart or for what was re-routed twice, the customer's own offset is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from models.table import FOREIGN, OFFSETS, Table, foreign_offsets, pack_foreign

_MOST = OFFSETS.stop - OFFSETS.start


class Source:
    """One source: the greatest offset seen, and what was applied since the last `settle`."""

    __slots__ = ("offsets", "rows", "seen")

    def __init__(self) -> None:
        self.seen = -1
        self.rows: list[int] = []
        self.offsets: list[int] = []


class Guards:
    """`names` are kept in the table's offset columns, in this order; any other source in the FOREIGN bytes.

    Raises ValueError for more names than there are columns.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        if len(names) > _MOST:
            msg = f"cannot keep the offsets of {len(names)} sources in columns; allowed: {_MOST}"
            raise ValueError(msg)
        self.names = names
        self._columns = {name: OFFSETS.start + i for i, name in enumerate(names)}
        #: By name; an event beyond `seen` of its source is new for every customer.
        self.sources: defaultdict[str, Source] = defaultdict(Source)

    def recover(self, table: Table) -> None:
        """Learn from loaded states how far each source was seen."""
        if len(table):
            for name, column in self._columns.items():
                self.sources[name].seen = int(table.core[:, column].max())
        for blob in table.blobs[FOREIGN]:
            for name, offset in foreign_offsets(blob).items():
                self.sources[name].seen = max(offset, self.sources[name].seen)

    def learn(self, table: Table, row: int) -> None:
        """Learn from one state that came later how far each source was seen."""
        for name, offset in offsets_of(table, [row], self.names)[0].items():
            self.sources[name].seen = max(offset, self.sources[name].seen)

    def settle(self, table: Table) -> None:
        """Write the offsets of what was applied into the table."""
        for name, source in self.sources.items():
            if not source.rows:
                continue
            column = self._columns.get(name)
            if column is not None:
                offsets = np.array(source.offsets, dtype=np.float64)
                np.maximum.at(table.core[:, column], np.array(source.rows), offsets)
            else:
                self._settle_foreign(table, name, source)
            source.rows, source.offsets = [], []

    @staticmethod
    def _settle_foreign(table: Table, name: str, source: Source) -> None:
        kept = table.blobs[FOREIGN]
        for row, offset in zip(source.rows, source.offsets, strict=True):
            known = foreign_offsets(kept[row])
            if offset > known.get(name, -1):
                kept[row] = pack_foreign(known | {name: offset})

    def last(self, table: Table, row: int, name: str) -> int:
        """The last applied offset of a source for one customer, -1 for none."""
        column = self._columns.get(name)
        if column is not None:
            return int(table.core[row, column])
        return foreign_offsets(table.blobs[FOREIGN][row]).get(name, -1)


def offsets_of(table: Table, rows: Iterable[int], names: tuple[str, ...]) -> list[dict[str, int]]:
    """The last applied offset per source of each of some customers."""
    chosen = list(rows)
    foreign = table.blobs[FOREIGN]
    told = []
    for row, own in zip(chosen, table.core[chosen, OFFSETS].astype(np.int64).tolist(), strict=True):
        found = {name: offset for name, offset in zip(names, own, strict=False) if offset >= 0}
        told.append(found | foreign_offsets(foreign[row]) if foreign[row] else found)
    return told
