"""The comparison of scores: the newest of each customer, as of its own time and with the events that it names.

A score's vector has four decimals in single precision, so the expected one is brought to the same form. Its time is
written in milliseconds, cut off: a value is right if it is expected at the beginning or at the end of that millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from models.features import FEATURE_NAMES, FEATURE_VERSION
from models.features.layout import NAN
from models.scoring import readable, served
from streams.verify.compare import Findings, Mask
from streams.verify.recompute import Doubles, add_reach, expected, forget_cut, place_of, recompute, set_looks, set_reach
from streams.verify.store import Store

_MILLISECOND: Final = 0.001
_AT_ONCE: Final = 20_000


class _Told(msgspec.Struct, frozen=True):
    """What the comparison needs of a score."""

    as_of: str
    feature_version: str
    source_offsets: dict[str, int]
    features: dict[str, float | None]


class _Wrong(NamedTuple):
    features: Mask
    wanted: Doubles
    found: Doubles


_decode = msgspec.json.Decoder(_Told).decode


class _Scores:
    """The scores to compare: ids, times and vectors side by side. `foreign` counts those of another feature version."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.as_of: list[float] = []
        self.vectors: list[npt.NDArray[np.float32]] = []
        self.foreign = 0

    def read(self, store: Store, customer_ids: Iterable[str]) -> None:
        """Take the scores of these customers, and say in `reach` which events they know."""
        wanted = set(customer_ids)
        set_reach(store, ())
        for chunk in _chunks(store):
            reach = []
            for customer_id, value in chunk:
                if customer_id in wanted and self._take(customer_id, told := _decode(value)):
                    reach += [(customer_id, *place_of(source), last) for source, last in told.source_offsets.items()]
            add_reach(store, reach)

    def _take(self, customer_id: str, told: _Told) -> bool:
        if told.feature_version != FEATURE_VERSION:
            self.foreign += 1
            return False
        self.rows[customer_id] = len(self.as_of)
        self.as_of.append(datetime.fromisoformat(told.as_of).timestamp())
        values = (told.features.get(name) for name in FEATURE_NAMES)
        self.vectors.append(np.array([NAN if value is None else value for value in values], dtype=np.float32))
        return True

    def differing(self, store: Store, findings: Findings, as_of: Iterable[tuple[str, float]]) -> dict[str, _Wrong]:
        """The customers whose score is not the expected one as of these times."""
        set_looks(store, as_of)
        recompute(store)
        differing = {}
        for ids, _, exact in expected(store):
            wanted = readable(served(exact))
            found = readable(np.stack([self.vectors[self.rows[customer_id]] for customer_id in ids]))
            wrong = findings.differences(wanted, found)
            for row in np.flatnonzero(wrong.any(axis=1)).tolist():
                differing[ids[row]] = _Wrong(wrong[row], wanted[row], found[row])
        return differing


def compare_scores(store: Store, findings: Findings, customer_ids: Iterable[str]) -> tuple[int, int]:
    """Compare the newest scores of customers; how many there were, and how many others have another feature version."""
    scores = _Scores()
    scores.read(store, customer_ids)
    forget_cut(store)
    begin = {customer_id: scores.as_of[row] for customer_id, row in scores.rows.items()}
    suspects = scores.differing(store, findings, begin.items())
    # The end of the millisecond, for the few that differ at its beginning.
    ends = [(customer_id, begin[customer_id] + _MILLISECOND) for customer_id in suspects]
    still = scores.differing(store, findings, ends) if suspects else {}
    for customer_id, wrong in still.items():
        both = wrong.features & suspects[customer_id].features
        if both.any():
            findings.note(customer_id, begin[customer_id], both, wrong.wanted, wrong.found)
    return len(scores.rows), scores.foreign


def _chunks(store: Store) -> Iterator[list[tuple[str, bytes]]]:
    cursor = store.connection.cursor()
    try:
        cursor.execute("SELECT customer_id, value FROM scores ORDER BY customer_id")
        while chunk := cursor.fetchmany(_AT_ONCE):
            yield chunk
    finally:
        cursor.close()
