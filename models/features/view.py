"""The summaries of one group for many customers as of one time: what features are computed from."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from models.features.layout import DAY_S, SCALE, Array, Integers, Parts
from models.features.sketch import distinct

Mask = npt.NDArray[np.bool_]


class View:
    """`columns` is (customers x columns of the layout), `tiles` and `sketches` hold one `bytes` per customer.

    `now` is epoch seconds: one for all, or one per customer. Every method answers with one number per customer.
    Windows are UTC calendar days including today.
    """

    def __init__(
        self,
        parts: Parts,
        columns: Array,
        tiles: list[bytes],
        sketches: list[bytes],
        now: float | Array,
    ) -> None:
        self._parts, self._columns, self._sketches = parts, columns, sketches
        self._size = len(columns)
        self._now = np.broadcast_to(np.asarray(now, dtype=np.float64), (self._size,))
        dtype = parts.tile_dtype
        self._tiles = np.frombuffer(b"".join(tiles), dtype=dtype)
        lengths = np.fromiter(map(len, tiles), dtype=np.int64, count=self._size)
        self._counts: Integers = lengths // dtype.itemsize
        self._owner: Integers = np.repeat(np.arange(self._size), self._counts)
        self._age = np.floor(self._now / DAY_S)[self._owner] - self._tiles["day"]
        self._masks: dict[int, tuple[Mask, Integers]] = {}

    def __len__(self) -> int:
        return self._size

    # -- tiles ---------------------------------------------------------------------------------------

    def per_tile(self, counter: int) -> npt.NDArray[np.generic]:
        """The counter of every tile, as kept; for features that derive something per day."""
        return cast("npt.NDArray[np.generic]", self._tiles[f"c{counter}"])

    def count(self, days: int, counter: int) -> Array:
        """Sum of a counter over the last `days` days."""
        return self.sum_of(days, self._tiles[f"c{counter}"])

    def amount(self, days: int, counter: int) -> Array:
        """Sum of an amount over the last `days` days, in its own unit."""
        return self.sum_of(days, self._tiles[f"c{counter}"]) / SCALE

    def sum_of(self, days: int, per_tile: npt.NDArray[np.generic]) -> Array:
        """Sum over the last `days` days of one number per tile."""
        mask, owner = self._within(days)
        return np.bincount(owner, weights=per_tile[mask], minlength=self._size).astype(np.float64, copy=False)

    def active_days(self, days: int) -> Array:
        """Number of tiles in the last `days` days."""
        _, owner = self._within(days)
        return np.bincount(owner, minlength=self._size).astype(np.float64)

    def active_span(self, days: int) -> Array:
        """Days from the first to the last tile in the last `days` days; 0 without two."""
        first, last = self._ends(days)
        return np.where(np.isfinite(first), last - np.where(np.isfinite(first), first, 0.0), 0.0)

    def days_since_first_tile(self, days: int) -> Array:
        """Days since midnight of the first tile's day in the last `days` days, NaN without one."""
        return self._days_since(self._ends(days)[0] * DAY_S)

    def fading_days(self, days: int, half_life_days: float) -> Array:
        """Number of tiles in the last `days` days, each counting half as much with every half-life since its day."""
        mask, owner = self._within(days)
        left = np.exp2(self._age[mask] / -half_life_days)
        return np.bincount(owner, weights=left, minlength=self._size).astype(np.float64, copy=False)

    def lowest(self, days: int, counter: int) -> Array:
        """Minimum of a counter over the last `days` days, NaN without a value."""
        mask, owner = self._within(days)
        found = np.full(self._size, np.inf)
        np.minimum.at(found, owner, self._tiles[f"c{counter}"][mask])
        return np.where(np.isfinite(found), found, np.nan)

    def _ends(self, days: int) -> tuple[Array, Array]:
        """The first and the last tile's day in the last `days` days, infinite without one."""
        mask, owner = self._within(days)
        first, last = np.full(self._size, np.inf), np.full(self._size, -np.inf)
        found = self._tiles["day"][mask].astype(np.float64)
        # Tiles are kept in the order of their days, and of values for one place the last is kept.
        last[owner] = found
        first[owner[::-1]] = found[::-1]
        return first, last

    def _within(self, days: int) -> tuple[Mask, Integers]:
        found = self._masks.get(days)
        if found is None:
            mask = (self._age >= 0) & (self._age < days)
            found = self._masks[days] = (mask, self._owner[mask])
        return found

    # -- the other parts -----------------------------------------------------------------------------

    def total(self, index: int) -> Array:
        """A lifetime sum."""
        return self._columns[:, self._parts.totals][:, index]

    def decayed(self, index: int) -> Array:
        """A decayed sum as of now; before its newest event it is told as of that event."""
        anchor = self._columns[:, self._parts.anchor][:, 0]
        days = np.maximum(0.0, self._now - anchor) / DAY_S
        kept = self._columns[:, self._parts.decayed][:, index]
        return np.asarray(kept * np.exp2(-days / self._parts.half_lives[index]), dtype=np.float64)

    def first(self, index: int) -> Array:
        """Time of the first event, infinite if there was none."""
        return self._columns[:, self._parts.firsts][:, index]

    def last(self, index: int) -> Array:
        """Time of the last event, negative infinite if there was none."""
        return self._columns[:, self._parts.lasts][:, index]

    def days_since_first(self, index: int) -> Array:
        """Days since the first event, NaN if there was none."""
        return self._days_since(self.first(index))

    def days_since_last(self, index: int) -> Array:
        """Days since the last event, NaN if there was none."""
        return self._days_since(self.last(index))

    def latest(self, index: int) -> Array:
        """The value with the greatest event time, NaN if there was none."""
        return self._columns[:, self._parts.latest][:, 2 * index + 1]

    def distinct(self) -> Array:
        """Estimated number of distinct items."""
        return distinct(self._sketches)

    def _days_since(self, then: Array) -> Array:
        days = np.maximum(0.0, self._now - np.where(np.isfinite(then), then, np.nan)) / DAY_S
        return np.asarray(days, dtype=np.float64)


def ratio(part: Array, whole: Array) -> Array:
    """Part / whole, NaN where the whole is not positive."""
    positive = whole > 0
    return np.where(positive, part / np.where(positive, whole, 1.0), np.nan)
