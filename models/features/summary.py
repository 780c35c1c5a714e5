"""Mergeable summaries over event time: the only thing a customer's features are computed from.

Every part is a commutative, associative merge, so arrival order, duplicates of whole states and the way
a history is split make no difference:

- day tiles: per UTC day a row of counters, each added, or-ed or minimised;
- totals: lifetime sums;
- decayed sums: sum of v * 2^-((anchor - t) / half-life), moved to the later anchor before adding;
- first and last event times (minimum, maximum);
- latest values: the value with the greatest event time, the greater value on a tie;
- a KMV sketch of distinct items: the k smallest 64-bit hashes (Bar-Yossef et al., 2002).
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Callable
from operator import add

import msgspec

DAY_S = 86_400.0
SPANS_DAYS = (1, 7, 30, 90)
SKETCH_SIZE = 32
NEVER = -math.inf
_SKETCH_RANGE = float(2**63)
Number = int | float


class Layout(msgspec.Struct, frozen=True):
    """The parts a group keeps. `tiles` holds one merge operator per counter: `+`, `|` (bits), `min` or `=`.

    A counter with operator `=` is derived from the others of its tile by `derive` after every change.
    `half_lives_days` has one entry per decayed sum.
    """

    tiles: tuple[str, ...] = ()
    totals: int = 0
    half_lives_days: tuple[float, ...] = ()
    firsts: int = 0
    lasts: int = 0
    latest: int = 0
    derive: Callable[[list[Number]], None] | None = None

    def empty_tile(self) -> list[Number]:
        """A tile that merges as the neutral element."""
        return [math.inf if op == "min" else 0 for op in self.tiles]


class Summary(msgspec.Struct, array_like=True):
    """What one group knows of one customer. Times are epoch seconds."""

    tiles: dict[int, list[Number]] = {}
    totals: list[Number] = []
    decayed: list[float] = []
    anchor: float = NEVER
    firsts: list[float] = []
    lasts: list[float] = []
    latest: list[tuple[float, float]] = []
    sketch: list[int] = []

    def tile(self, layout: Layout, time: float) -> list[Number]:
        """The tile of the UTC day of `time`, made if missing."""
        day = int(time // DAY_S)
        found = self.tiles.get(day)
        if found is None:
            found = self.tiles[day] = layout.empty_tile()
        return found

    def decay_to(self, layout: Layout, time: float) -> None:
        """Move the anchor of the decayed sums forward to `time`; an earlier time changes nothing."""
        if time <= self.anchor:
            return
        if self.anchor != NEVER:
            days = (time - self.anchor) / DAY_S
            self.decayed = [v * 2.0 ** (-days / h) for v, h in zip(self.decayed, layout.half_lives_days, strict=True)]
        self.anchor = time

    def add_decayed(self, layout: Layout, time: float, amounts: tuple[float, ...]) -> None:
        """Add one amount per decayed sum at event time `time`."""
        self.decay_to(layout, time)
        days = (self.anchor - time) / DAY_S
        half_lives = layout.half_lives_days
        if days == 0.0:
            self.decayed = [v + a for v, a in zip(self.decayed, amounts, strict=True)]
        else:
            weighted = zip(self.decayed, amounts, half_lives, strict=True)
            self.decayed = [v + a * 2.0 ** (-days / h) for v, a, h in weighted]

    def decayed_at(self, layout: Layout, now: float, index: int) -> float:
        """One decayed sum as of `now` (not moved; `now` before the anchor gives the value at the anchor)."""
        if self.anchor == NEVER:
            return 0.0
        days = max(0.0, now - self.anchor) / DAY_S
        return self.decayed[index] * float(2.0 ** (-days / layout.half_lives_days[index]))

    def seen(self, first: int | None, last: int | None, time: float) -> None:
        """Widen the first and last event time with the given indexes."""
        if first is not None and time < self.firsts[first]:
            self.firsts[first] = time
        if last is not None and time > self.lasts[last]:
            self.lasts[last] = time

    def set_latest(self, index: int, time: float, value: float) -> None:
        """Keep the value of the greatest event time."""
        self.latest[index] = max(self.latest[index], (time, value))

    def add_distinct(self, item: str) -> None:
        """Add an item to the distinct sketch."""
        sketch = self.sketch
        value = item_hash(item)
        if len(sketch) == SKETCH_SIZE and value >= sketch[-1]:
            return
        at = bisect_left(sketch, value)
        if at == len(sketch) or sketch[at] != value:
            sketch.insert(at, value)
            del sketch[SKETCH_SIZE:]

    def distinct(self) -> float:
        """Estimated number of distinct items; exact below the sketch size."""
        if len(self.sketch) < SKETCH_SIZE:
            return float(len(self.sketch))
        return (SKETCH_SIZE - 1) * _SKETCH_RANGE / self.sketch[-1]

    def windows(self, layout: Layout, now: float) -> list[list[Number]]:
        """Tile sums over the last 1, 7, 30 and 90 UTC days including today, in that order.

        Only counters that add (or are derived and add) have a meaning in the result.
        """
        today, tiles = int(now // DAY_S), self.tiles
        days = [day for day in sorted(tiles, reverse=True) if day <= today]
        running: list[Number] = [0] * len(layout.tiles)
        sums: list[list[Number]] = []
        taken = 0
        for span in SPANS_DAYS:
            while taken < len(days) and days[taken] > today - span:
                running = list(map(add, running, tiles[days[taken]]))
                taken += 1
            sums.append(running)
        return sums

    def fits(self, layout: Layout) -> bool:
        """Whether this was kept with a layout of the same sizes."""
        tile = next(iter(self.tiles.values()), layout.tiles)
        own = (len(tile), len(self.totals), len(self.decayed), len(self.firsts), len(self.lasts), len(self.latest))
        return own == (
            len(layout.tiles), layout.totals, len(layout.half_lives_days), layout.firsts, layout.lasts, layout.latest,
        )  # fmt: skip

    def prune(self, now: float) -> None:
        """Drop tiles that no window can see any more at or after `now`."""
        oldest = int(now // DAY_S) - SPANS_DAYS[-1] + 1
        for day in [day for day in self.tiles if day < oldest]:
            del self.tiles[day]


def new_summary(layout: Layout) -> Summary:
    """The neutral element of `merge`."""
    return Summary(
        tiles={},
        totals=[0] * layout.totals,
        decayed=[0.0] * len(layout.half_lives_days),
        firsts=[math.inf] * layout.firsts,
        lasts=[NEVER] * layout.lasts,
        latest=[(NEVER, math.nan)] * layout.latest,
        sketch=[],
    )


def merge(layout: Layout, left: Summary, right: Summary) -> Summary:
    """Both summaries in one; commutative and associative (decayed sums up to rounding)."""
    merged = new_summary(layout)
    for side in (left, right):
        for day, tile in side.tiles.items():
            _merge_tile(layout, merged.tiles.setdefault(day, layout.empty_tile()), tile)
    merged.totals = [a + b for a, b in zip(left.totals, right.totals, strict=True)]
    merged.firsts = [min(pair) for pair in zip(left.firsts, right.firsts, strict=True)]
    merged.lasts = [max(pair) for pair in zip(left.lasts, right.lasts, strict=True)]
    merged.latest = [max(pair) for pair in zip(left.latest, right.latest, strict=True)]
    merged.sketch = sorted(set(left.sketch) | set(right.sketch))[:SKETCH_SIZE]
    merged.anchor = max(left.anchor, right.anchor)
    if merged.anchor != NEVER:
        sides = [
            [side.decayed_at(layout, merged.anchor, i) for i in range(len(merged.decayed))] for side in (left, right)
        ]
        merged.decayed = [a + b for a, b in zip(*sides, strict=True)]
    return merged


def _merge_tile(layout: Layout, into: list[Number], tile: list[Number]) -> None:
    for i, op in enumerate(layout.tiles):
        if op == "+":
            into[i] += tile[i]
        elif op == "|":
            into[i] = int(into[i]) | int(tile[i])
        elif op == "min":
            into[i] = min(into[i], tile[i])
    if layout.derive is not None:
        layout.derive(into)


def item_hash(item: str) -> int:
    """63 bits of MD5, so that any database can compute the same sketch."""
    digest = hashlib.md5(item.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def days_between(now: float, then: float) -> float:
    """Days from `then` to `now`, never negative; NaN when `then` never happened."""
    if not math.isfinite(then):
        return math.nan
    return max(0.0, now - then) / DAY_S


def ratio(part: float, whole: float, *, otherwise: float = math.nan) -> float:
    """Part / whole, or `otherwise` when the whole is not positive."""
    return part / whole if whole > 0 else otherwise
