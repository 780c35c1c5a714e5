"""The guard against events that were applied before: the last applied offset per customer and source.

Offsets of a source rise, so an event beyond everything seen of its source is new for every customer: one comparison.
Only behind that point, after a restart or for what was re-routed twice, the customer's own offset is asked for.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from models.table import FOREIGN, OFFSETS, Table, foreign_offsets, pack_foreign

_MOST = OFFSETS.stop - OFFSETS.start


class Guards:
    """`sources` are kept in the table's offset columns, in this order; any other source in the FOREIGN bytes.

    Raises ValueError for more sources than there are columns.
    """

    def __init__(self, sources: tuple[str, ...]) -> None:
        if len(sources) > _MOST:
            msg = f"cannot keep the offsets of {len(sources)} sources in columns; allowed: {_MOST}"
            raise ValueError(msg)
        self.sources = sources
        self._columns = {source: OFFSETS.start + i for i, source in enumerate(sources)}
        self._seen: dict[str, int] = {}
        self._noted: defaultdict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))

    def recover(self, table: Table) -> None:
        """Learn from loaded states how far each source was seen."""
        core = table.core
        if len(core):
            self._seen = {source: int(core[:, column].max()) for source, column in self._columns.items()}
        for blob in table.blobs[FOREIGN]:
            for source, offset in foreign_offsets(blob).items():
                self._seen[source] = max(offset, self._seen.get(source, -1))

    def passes(self, source: str, offset: int) -> bool:
        """Whether the event lies beyond everything seen of its source; it is seen from now on."""
        if offset <= self._seen.get(source, -1):
            return False
        self._seen[source] = offset
        return True

    def note(self, row: int, source: str, offset: int) -> None:
        """An event was applied. Written to the table by `settle`."""
        rows, offsets = self._noted[source]
        rows.append(row)
        offsets.append(offset)

    def settle(self, table: Table) -> None:
        """Write what was noted."""
        for source, (rows, offsets) in self._noted.items():
            column = self._columns.get(source)
            if column is not None:
                np.maximum.at(table.core[:, column], np.array(rows), np.array(offsets, dtype=np.float64))
            else:
                self._settle_foreign(table, source, rows, offsets)
        self._noted.clear()

    @staticmethod
    def _settle_foreign(table: Table, source: str, rows: list[int], offsets: list[int]) -> None:
        kept = table.blobs[FOREIGN]
        for row, offset in zip(rows, offsets, strict=True):
            known = foreign_offsets(kept[row])
            if offset > known.get(source, -1):
                kept[row] = pack_foreign(known | {source: offset})

    def last(self, table: Table, row: int, source: str) -> int:
        """The last applied offset of a source for one customer, -1 for none."""
        column = self._columns.get(source)
        if column is not None:
            return int(table.core[row, column])
        return foreign_offsets(table.blobs[FOREIGN][row]).get(source, -1)


def offsets_of(table: Table, row: int, sources: tuple[str, ...]) -> dict[str, int]:
    """The last applied offset per source of one customer."""
    own = table.core[row, OFFSETS].tolist()
    told = {source: int(offset) for source, offset in zip(sources, own, strict=False) if offset >= 0}
    return told | foreign_offsets(table.blobs[FOREIGN][row])
