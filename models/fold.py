"""Folding a turn's events into the table: all customers and parts at once, all or nothing.

`fold` first computes everything from the events and the table, then writes; an exception leaves the table as it was,
so the caller can look for the event that caused it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.events.types import Event
from models.features import GROUPS, LISTENERS
from models.features.base import Group
from models.features.layout import DAY_S, TILE_DAYS, Array, Integers, Parts
from models.features.sketch import add_items
from models.table import PARTS, SKETCHES, SPANS, TILES, Rows, Table

#: An event that passed the guards, behind its customer's row.
Applied = tuple[int, Event]


class _Heard:
    """What one group heard in a turn, by event: arrays of rows, times and observations, to be joined."""

    __slots__ = ("rows", "times", "values")

    def __init__(self) -> None:
        self.rows: list[Rows] = []
        self.times: list[Array] = []
        self.values: list[Array] = []

    def listen(self, group: Group, effect: str, rows: Rows, times: Array, events: list[Event]) -> Rows | None:
        """Observe events of one effect; the positions of those that said something, None for all of them."""
        told: list[tuple[float, ...] | None] = []
        if group.observe_times is not None:
            values, heard = group.observe_times(effect, times), None
        else:
            told = [group.observe(event) for event in events]
            heard = np.array([i for i, one in enumerate(told) if one is not None]) if None in told else None
            values = np.array([one for one in told if one is not None], dtype=np.float64)
        if heard is None or len(heard):
            self.rows.append(rows if heard is None else rows[heard])
            self.times.append(times if heard is None else times[heard])
            self.values.append(values)
        return heard


class _Change(NamedTuple):
    """What is to be written for one group."""

    group: int
    rows: Rows
    columns: Array
    tiles: list[bytes] | None


def fold(table: Table, applied: Sequence[Applied], now: float) -> None:
    """Fold events in; tiles that no window can see any more at or after `now` are dropped on the way.

    Raises whatever a group's `observe` or `items` raises; the table is unchanged then.
    """
    heard, sketches = _listen(table, applied)
    changes = [_change(table, i, one, now) for i, one in enumerate(heard) if one.rows]
    for blob, changed in zip(SKETCHES, sketches, strict=True):
        if blob is not None:
            for row, sketch in changed.items():
                table.blobs[blob][row] = sketch
    for change in changes:
        table.core[change.rows, SPANS[change.group]] = change.columns
        blob = TILES[change.group]
        if blob is not None and change.tiles is not None:
            kept = table.blobs[blob]
            for row, tiles in zip(change.rows.tolist(), change.tiles, strict=True):
                kept[row] = tiles


def _listen(table: Table, applied: Sequence[Applied]) -> tuple[list[_Heard], list[dict[int, bytes]]]:
    heard = [_Heard() for _ in GROUPS]
    sketches: list[dict[int, bytes]] = [{} for _ in GROUPS]
    by_effect: defaultdict[str, list[Applied]] = defaultdict(list)
    for one in applied:
        by_effect[one[1].effect].append(one)
    for effect, ones in by_effect.items():
        rows, events = np.array([row for row, _ in ones]), [event for _, event in ones]
        times = np.array([event.time for event in events])
        for i in LISTENERS.get(effect, ()):
            said = heard[i].listen(GROUPS[i], effect, rows, times, events)
            blob = SKETCHES[i]
            if blob is not None:
                named = ones if said is None else [ones[at] for at in said.tolist()]
                _add_items(table.blobs[blob], sketches[i], GROUPS[i], named)
    return heard, sketches


def _add_items(kept: list[bytes], changed: dict[int, bytes], group: Group, ones: list[Applied]) -> None:
    items = group.items
    for row, event in ones:
        named = items(event)
        if named:
            before = changed.get(row)
            changed[row] = add_items(kept[row] if before is None else before, named)


def _change(table: Table, group: int, heard: _Heard, now: float) -> _Change:
    parts = PARTS[group]
    rows, owner = np.unique(np.concatenate(heard.rows), return_inverse=True)
    times, values = np.concatenate(heard.times), np.concatenate(heard.values)
    columns = merge_columns(parts, table.core[rows, SPANS[group]], owner, times, values)
    tiles, blob = None, TILES[group]
    if blob is not None:
        kept = table.blobs[blob]
        days = np.floor(times / DAY_S)
        tiles = merge_tiles(parts, [kept[row] for row in rows.tolist()], owner, days, values[:, parts.in_tiles], now)
    return _Change(group, rows, columns, tiles)


def merge_columns(parts: Parts, columns: Array, owner: Integers, times: Array, values: Array) -> Array:
    """The columns of some customers with what events add: `owner[i]` is the customer of event i. Changes `columns`."""
    size = len(columns)
    for at, column in zip(range(parts.totals.start, parts.totals.stop), values[:, parts.in_totals].T, strict=True):
        columns[:, at] += np.bincount(owner, weights=column, minlength=size)
    if len(parts.half_lives):
        _add_decayed(parts, columns, owner, times, values[:, parts.in_decayed])
    for span, told, merge in (
        (parts.firsts, values[:, parts.in_firsts], np.minimum), (parts.lasts, values[:, parts.in_lasts], np.maximum),
    ):  # fmt: skip
        for at, flags in zip(range(span.start, span.stop), told.T, strict=True):
            which = ~np.isnan(flags)
            merge.at(columns[:, at], owner[which], times[which])
    for at, told_values in zip(
        range(parts.latest.start, parts.latest.stop, 2), values[:, parts.in_latest].T, strict=True
    ):
        which = ~np.isnan(told_values)
        _keep_latest(columns[:, at : at + 2], owner[which], times[which], told_values[which])
    return columns


def _add_decayed(parts: Parts, columns: Array, owner: Integers, times: Array, amounts: Array) -> None:
    # An event that adds to none of the sums must not move the time that they are told as of.
    adds = amounts.any(axis=1)
    owner, times, amounts = owner[adds], times[adds], amounts[adds]
    before = columns[:, parts.anchor][:, 0]
    after = before.copy()
    np.maximum.at(after, owner, times)
    moved = np.subtract(after, before, out=np.zeros(len(columns)), where=after > before) / DAY_S
    late = (after[owner] - times) / DAY_S
    for i, half_life in enumerate(parts.half_lives):
        added = np.bincount(owner, weights=amounts[:, i] * np.exp2(-late / half_life), minlength=len(columns))
        at = parts.decayed.start + i
        columns[:, at] = columns[:, at] * np.exp2(-moved / half_life) + added
    columns[:, parts.anchor.start] = after


def _keep_latest(pair: Array, owner: Integers, times: Array, values: Array) -> None:
    # Rare enough (one per conversation) for a loop. The greater value wins a tie in time, whatever comes first.
    for who, time, value in zip(owner.tolist(), times.tolist(), values.tolist(), strict=True):
        if time > pair[who, 0] or (time == pair[who, 0] and not value <= pair[who, 1]):
            pair[who] = time, value


def merge_tiles(
    parts: Parts, kept: list[bytes], owner: Integers, days: Array, values: Array, now: float
) -> list[bytes]:
    """The tiles of some customers with more tiles merged in: row i of `values` belongs to customer `owner[i]`.

    Tiles are kept in order of their day, one per day, none older than the widest window as of `now`.
    """
    dtype = parts.tile_dtype
    old = np.frombuffer(b"".join(kept), dtype=dtype)
    lengths = np.fromiter(map(len, kept), dtype=np.int64, count=len(kept)) // dtype.itemsize
    owners = np.concatenate((np.repeat(np.arange(len(kept)), lengths), owner))
    all_days = np.concatenate((old["day"].astype(np.int64), days.astype(np.int64)))
    seen = all_days > np.floor(now / DAY_S) - TILE_DAYS
    order = np.flatnonzero(seen)
    order = order[np.lexsort((all_days[order], owners[order]))]
    owners, all_days = owners[order], all_days[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (owners[1:] != owners[:-1]) | (all_days[1:] != all_days[:-1])
    starts = np.flatnonzero(fresh)
    merged = np.zeros(len(starts), dtype=dtype)
    merged["day"] = all_days[starts]
    for i, (name, counter) in enumerate(parts.counters):
        if len(starts):
            # Bits need their own type; everything else is added or compared as numbers and cut to what is kept.
            kind = counter.dtype if counter.merge == "bits" else np.float64
            column = np.concatenate((old[name].astype(kind), values[:, i].astype(kind)))[order]
            summed = _MERGES[counter.merge].reduceat(column, starts)
            merged[name] = np.minimum(summed, counter.greatest) if counter.greatest else summed
    return _cut(merged.tobytes(), np.bincount(owners[starts], minlength=len(kept)) * dtype.itemsize)


def _cut(joined: bytes, lengths: npt.NDArray[np.int64]) -> list[bytes]:
    ends = np.cumsum(lengths).tolist()
    return [joined[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


_MERGES: dict[str, np.ufunc] = {"sum": np.add, "bits": np.bitwise_or, "min": np.minimum}
