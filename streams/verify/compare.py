"""The comparison of states: every customer as of one common time.

Values must be equal, those of decayed rates to 1e-9 of their size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.features import FEATURE_NAMES
from models.guards import offsets_of
from models.table import EMITTED_AT, SNAPSHOT_AT, Table
from streams.topics import REROUTED, SOURCES
from streams.verify.recompute import Doubles, expected, place_of, recompute, set_looks, set_reach
from streams.verify.report import SHOWN, Mismatch, known
from streams.verify.store import Store

#: Features that are sums of decayed events, or made of them.
DECAYED: Final = frozenset({"activity_trend", "click_rate", "order_rate", "order_trend"})
_WITHIN: Final = np.array([1e-9 if name in DECAYED else 0.0 for name in FEATURE_NAMES])
_AT_ONCE: Final = 20_000
_WANTED: Final = pa.schema([("number", pa.int64()), ("customer_id", pa.string())])
Mask = npt.NDArray[np.bool_]


class Findings:
    """Counts every difference of one comparison and keeps those of the first customers."""

    def __init__(self, check: str, features: frozenset[str]) -> None:
        self.check = check
        self.wrong: Counter[str] = Counter()
        self.customers: set[str] = set()
        self.first: list[Mismatch] = []
        self._compared = np.array([name in features for name in FEATURE_NAMES])

    def differences(self, wanted: Doubles, found: Doubles) -> Mask:
        """Which values differ, among the features that are compared."""
        close = np.abs(wanted - found) <= _WITHIN * np.maximum(np.abs(wanted), np.abs(found))
        same = close | (wanted == found) | (np.isnan(wanted) & np.isnan(found))
        return np.asarray(~same & self._compared)

    def note(self, customer_id: str, as_of: float, wrong: Mask, wanted: Doubles, found: Doubles) -> None:
        """Note the features of one customer that are wrong."""
        self.customers.add(customer_id)
        for i in np.flatnonzero(wrong).tolist():
            self.wrong[FEATURE_NAMES[i]] += 1
            if len(self.customers) <= SHOWN:
                values = known(float(wanted[i])), known(float(found[i]))
                self.first.append(Mismatch(self.check, customer_id, FEATURE_NAMES[i], *values, as_of))


def survey_states(store: Store) -> float:
    """Say in `reach` which events beyond the cut the states hold; the greatest time at which one was looked at."""
    cut = {f"{topic}/{number}": upto for topic, number, upto in store.rows("SELECT * FROM cut")}
    reach, looked_at = [], -np.inf
    for ids, table, number in _tables(store):
        looked_at = max(looked_at, float(table.core[:, [EMITTED_AT, SNAPSHOT_AT]].max()))
        for row, customer_id in enumerate(ids):
            for source, last in offsets_of(table, [row], own_sources(number))[0].items():
                if last >= cut.get(source, 0):
                    reach.append((customer_id, *place_of(source), last))
    set_reach(store, reach)
    return looked_at


def own_sources(number: int) -> tuple[str, ...]:
    """The sources whose offsets a state of this partition keeps in columns, in the worker's order."""
    return tuple(f"{topic}/{number}" for topic in (*SOURCES, REROUTED))


def compare_states(store: Store, findings: Findings, as_of: float, customer_ids: Iterable[str]) -> int:
    """Compare the states of customers as of one time (epoch seconds); how many there were."""
    set_looks(store, ((customer_id, as_of) for customer_id in customer_ids))
    recompute(store)
    count = 0
    for ids, times, wanted in expected(store):
        found = Table.of(_states_of(store, ids)).features(np.arange(len(ids)), times)
        wrong = findings.differences(wanted, found)
        for row in np.flatnonzero(wrong.any(axis=1)).tolist():
            findings.note(ids[row], as_of, wrong[row], wanted[row], found[row])
        count += len(ids)
    return count


def _states_of(store: Store, ids: list[str]) -> list[tuple[str, bytes]]:
    store.create("wanted", _WANTED)
    store.append_rows("wanted", _WANTED, enumerate(ids))
    found: list[tuple[str, bytes]] = store.rows(
        "SELECT customer_id, value FROM wanted JOIN states USING (customer_id) ORDER BY number"
    )
    return found


def _tables(store: Store) -> Iterator[tuple[list[str], Table, int]]:
    """All states, some thousand of one partition at a time."""
    for (number,) in store.rows('SELECT DISTINCT "partition" FROM states'):
        cursor = store.connection.cursor()
        try:
            cursor.execute('SELECT customer_id, value FROM states WHERE "partition" = ?', [number])
            while pairs := cursor.fetchmany(_AT_ONCE):
                yield [customer_id for customer_id, _ in pairs], Table.of(pairs), number
        finally:
            cursor.close()
