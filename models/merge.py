"""Two histories of one customer in one: the operation behind every promise about order, splits and repeats.

Commutative and associative in everything that features and labels are made of (decayed sums up to rounding). The
guards are merged too, so an event that either side has applied changes nothing afterwards.
"""

from __future__ import annotations

import numpy as np

from models.features import GROUPS
from models.features.layout import DAY_S, NEVER, Array, Parts
from models.features.sketch import merge_sketches
from models.fold import merge_tiles
from models.guards import offsets_of
from models.labels import LabelDefinition
from models.pending import pack, waiting
from models.table import (
    ACTIVE_AT,
    BACK_AT,
    BOUGHT_AT,
    FOREIGN,
    LEFT_AT,
    OFFSETS,
    PARTS,
    PENDING,
    PENDING_DUE,
    RECENT,
    SKETCHES,
    SNAPSHOT_AT,
    SNAPSHOTS,
    SPANS,
    TILES,
    WATERMARK,
    Table,
    pack_foreign,
)

_LATEST = [SNAPSHOT_AT, LEFT_AT, BACK_AT, ACTIVE_AT, BOUGHT_AT, WATERMARK]


def merge_customer(
    into: tuple[Table, int], other: tuple[Table, int], label: LabelDefinition,
    sources: tuple[str, ...] = (), other_sources: tuple[str, ...] = (), now: float = NEVER,
) -> None:  # fmt: skip
    """Merge the `other` row into the first one; `sources` name the offset columns of each table.

    What was told last (probability, band, revision) stays that of the first. Tiles that no window sees any more
    as of `now` are dropped.
    """
    (table, row), (more, more_row) = into, other
    mine, theirs = table.core[row], more.core[more_row]
    _merge_guards(into, other, sources, other_sources)
    mine[_LATEST] = np.maximum(mine[_LATEST], theirs[_LATEST])
    mine[SNAPSHOTS] += theirs[SNAPSHOTS]
    pending = sorted(
        [*waiting(table.blobs[PENDING][row]), *waiting(more.blobs[PENDING][more_row])], key=lambda one: one.as_of
    )
    table.blobs[PENDING][row] = pack(pending)
    mine[PENDING_DUE] = label.due_at(pending)
    for i, group in enumerate(GROUPS):
        mine[SPANS[i]] = _merged_columns(PARTS[i], mine[SPANS[i]], theirs[SPANS[i]])
        if (blob := SKETCHES[i]) is not None:
            table.blobs[blob][row] = merge_sketches(table.blobs[blob][row], more.blobs[blob][more_row])
        if (blob := TILES[i]) is not None:
            tiles = np.frombuffer(more.blobs[blob][more_row], PARTS[i].tile_dtype)
            columns = [tiles[f"c{at}"].astype(np.float64) for at in range(len(group.layout.counters))]
            values = np.stack(columns, axis=1) if columns else np.empty((len(tiles), 0))
            owner = np.zeros(len(tiles), dtype=np.int64)
            kept = [table.blobs[blob][row]]
            days = tiles["day"].astype(np.float64)
            table.blobs[blob][row] = merge_tiles(PARTS[i], kept, owner, days, values, now)[0]


def _merge_guards(
    into: tuple[Table, int], other: tuple[Table, int], sources: tuple[str, ...], other_sources: tuple[str, ...]
) -> None:
    (table, row), (more, more_row) = into, other
    known, theirs = offsets_of(table, [row], sources)[0], offsets_of(more, [more_row], other_sources)[0]
    merged = {source: max(known.get(source, -1), theirs.get(source, -1)) for source in known.keys() | theirs.keys()}
    own = [merged.pop(source, -1) for source in sources]
    table.core[row, OFFSETS.start : OFFSETS.start + len(own)] = own
    table.blobs[FOREIGN][row] = pack_foreign(dict(sorted(merged.items()))) if merged else b""
    table.blobs[RECENT][row] = more.blobs[RECENT][more_row] + table.blobs[RECENT][row]


def _merged_columns(parts: Parts, mine: Array, theirs: Array) -> Array:
    merged = mine.copy()
    merged[parts.totals] += theirs[parts.totals]
    merged[parts.firsts] = np.minimum(mine[parts.firsts], theirs[parts.firsts])
    merged[parts.lasts] = np.maximum(mine[parts.lasts], theirs[parts.lasts])
    for at in range(parts.latest.start, parts.latest.stop, 2):
        # A time and its value; NaN compares as nothing, so the side that has a value wins.
        merged[at : at + 2] = max(tuple(mine[at : at + 2]), tuple(theirs[at : at + 2]))
    if len(parts.half_lives):
        anchor = max(mine[parts.anchor.start], theirs[parts.anchor.start])
        merged[parts.anchor] = anchor
        if anchor > NEVER:
            merged[parts.decayed] = sum(
                side[parts.decayed] * np.exp2(-(anchor - side[parts.anchor.start]) / DAY_S / parts.half_lives)
                for side in (mine, theirs)
            )
    return merged
