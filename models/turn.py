"""The events of one turn, from the guards to the table, with the poisonous ones told apart."""

from __future__ import annotations

import traceback

import msgspec

from models import table as t
from models.events.types import Event
from models.fold import Applied, fold
from models.labels import ACTS, LEAVES, RETURNS, LabelDefinition
from models.pending import Ledger
from models.table import Table

_MARKS = ((LEAVES, t.LEFT_AT), (RETURNS, t.BACK_AT), (RETURNS, t.BOUGHT_AT), (ACTS, t.ACTIVE_AT))


class Poison(msgspec.Struct, frozen=True):
    """An event that our own code could not fold in, and the traceback."""

    event: Event
    source: str
    offset: int
    traceback: str


class Turn:
    """Collects events that passed the guards; `fold` empties it. Poisonous events are appended to `poison`."""

    def __init__(self, label: LabelDefinition, ledger: Ledger, poison: list[Poison]) -> None:
        self._label, self._ledger, self._poison = label, ledger, poison
        self._applied: list[Applied] = []
        self._origins: list[tuple[str, int]] = []

    def add(self, row: int, event: Event, source: str, offset: int) -> None:
        """Take an event for the customer of this row."""
        self._applied.append((row, event))
        self._origins.append((source, offset))

    def fold(self, table: Table, now: float) -> None:
        """Fold everything that was added into the table, then note what it means for the label."""
        applied, origins = self._applied, self._origins
        if not applied:
            return
        self._applied, self._origins = [], []
        try:
            fold(table, applied, now)
        except Exception:  # noqa: BLE001 - a defect of ours on one event: find it, keep the others
            applied = self._one_by_one(table, applied, origins, now)
        self._mark(table, applied)

    def _one_by_one(
        self, table: Table, applied: list[Applied], origins: list[tuple[str, int]], now: float
    ) -> list[Applied]:
        good = []
        for one, (source, offset) in zip(applied, origins, strict=True):
            try:
                fold(table, [one], now)
            except Exception:  # noqa: BLE001 - told to the caller with its traceback
                self._poison.append(Poison(one[1], source, offset, traceback.format_exc(limit=-3)))
            else:
                good.append(one)
        return good

    def _mark(self, table: Table, applied: list[Applied]) -> None:
        meaning, core, pending = self._label.meaning, table.core, table.blobs[t.PENDING]
        for row, event in applied:
            bits = meaning(event.name, event.effect, event.cause)
            if not bits:
                continue
            for bit, column in _MARKS:
                if bits & bit and core[row, column] < event.time:
                    core[row, column] = event.time
            if pending[row] and self._label.revises(bits, core[row, t.LEFT_AT]):
                self._ledger.mark(table, row, event.time, bits)
