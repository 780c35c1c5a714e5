"""What a feature group keeps of a customer: mergeable summaries over event time, and nothing else.

Every part merges by a commutative, associative operation, so arrival order, duplicates of whole states and the
way a history is split make no difference:

- day tiles: per UTC day a row of counters, each added, or-ed or minimised;
- totals: lifetime sums;
- decayed sums: sum of v * 2^-((anchor - t) / half-life), moved to the later anchor before adding;
- first and last event times (minimum, maximum);
- latest values: the value with the greatest event time, the greater value on a tie;
- a KMV sketch of distinct items: the k smallest 63-bit hashes (Bar-Yossef et al., 2002).

Amounts (money, units, sentiment) are whole numbers of 1e-4 (`fixed`), so that their sums are exact in any order.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

DAY_S: Final = 86_400.0
NEVER: Final = -math.inf
#: The widest window of a feature, in UTC days; older tiles are dropped.
TILE_DAYS: Final = 90
#: Amounts are kept in units of 1 / SCALE. Sums are exact below 2^53 / SCALE (9e11).
SCALE: Final = 10_000
NAN: Final = math.nan

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Counter(msgspec.Struct, frozen=True):
    """One number of a day tile: how two of them merge, and the numpy type that keeps it.

    Sums stay at the type's greatest value once they reach it, which is a merge like any other.
    """

    merge: Literal["sum", "bits", "min"]
    dtype: str

    @property
    def greatest(self) -> int | None:
        """Where a sum stays; None for types that hold any."""
        return int(np.iinfo(self.dtype).max) if self.merge == "sum" and self.dtype != "<f8" else None


#: Up to 65,535 a day; beyond that, nobody counts.
COUNT: Final = Counter("sum", "<u2")
AMOUNT: Final = Counter("sum", "<f8")
BITS: Final = Counter("bits", "<u8")
LOWEST: Final = Counter("min", "<f8")


class Layout(msgspec.Struct, frozen=True):
    """The parts that a group keeps. `half_lives_days` has one entry per decayed sum.

    Tiles without counters are marks: that one is there says that something happened on its day. None is no tiles.

    `Group.observe` answers with one number per part in the order of these fields: what to add (or to merge) per
    counter, total and decayed sum; anything but NaN for a first or last time that this event counts for; the value,
    or NaN, per latest value.
    """

    tiles: tuple[Counter, ...] | None = None
    totals: int = 0
    half_lives_days: tuple[float, ...] = ()
    firsts: int = 0
    lasts: int = 0
    latest: int = 0
    sketch: bool = False

    @property
    def counters(self) -> tuple[Counter, ...]:
        """The counters of a tile; none without tiles."""
        return self.tiles or ()

    @property
    def inputs(self) -> int:
        """Numbers per observed event."""
        decayed = len(self.half_lives_days)
        return len(self.counters) + self.totals + decayed + self.firsts + self.lasts + self.latest

    @property
    def columns(self) -> int:
        """Numbers kept per customer besides tiles and sketch."""
        anchored = len(self.half_lives_days) + (1 if self.half_lives_days else 0)
        return self.totals + anchored + self.firsts + self.lasts + 2 * self.latest

    def empty(self) -> list[float]:
        """The columns of a customer that was never heard of: the neutral element of every merge."""
        decayed = [0.0] * len(self.half_lives_days) + ([NEVER] if self.half_lives_days else [])
        return (
            [0.0] * self.totals + decayed + [math.inf] * self.firsts + [NEVER] * self.lasts + [NEVER, NAN] * self.latest
        )

    def tile_dtype(self) -> np.dtype[np.void]:
        """One tile as it is kept: the day (days since 1970, UTC, up to 2059), then the counters."""
        return np.dtype([("day", "<i2"), *((f"c{i}", counter.dtype) for i, counter in enumerate(self.counters))])

    def fingerprint(self) -> str:
        """Equal for layouts whose kept bytes mean the same."""
        tiles = ",".join(f"{counter.merge}{counter.dtype}" for counter in self.counters)
        numbers = f"{self.totals};{self.half_lives_days};{self.firsts};{self.lasts};{self.latest}"
        return f"{self.tiles is not None};{tiles};{numbers};{self.sketch}"


class Parts:
    """Where the parts of a layout lie in its columns and in an observation."""

    def __init__(self, layout: Layout) -> None:
        decayed = len(layout.half_lives_days)
        at = 0

        def take(count: int) -> slice:
            nonlocal at
            at += count
            return slice(at - count, at)

        self.totals, self.decayed = take(layout.totals), take(decayed)
        self.anchor = take(1 if decayed else 0)
        self.firsts, self.lasts, self.latest = take(layout.firsts), take(layout.lasts), take(2 * layout.latest)
        at = 0
        self.in_tiles, self.in_totals, self.in_decayed = take(len(layout.counters)), take(layout.totals), take(decayed)
        self.in_firsts, self.in_lasts, self.in_latest = take(layout.firsts), take(layout.lasts), take(layout.latest)
        self.half_lives = np.array(layout.half_lives_days)
        self.tile_dtype = layout.tile_dtype()
        self.counters = tuple((f"c{i}", counter) for i, counter in enumerate(layout.counters))


def fixed(amount: float) -> int:
    """An amount in whole units of 1 / SCALE, half to even."""
    return round(amount * SCALE)
