"""The customers of one partition by column: a matrix of numbers, and a few immutable `bytes` per customer.

Numbers of equal meaning lie side by side, so a turn's events are folded in, and thousands of feature vectors are
computed, by a few numpy calls; a customer without activity costs some hundred bytes; and a snapshot of all is a copy
of the matrix and of lists of references.

A state on the changelog is `HEADER` (see `models.state`), the customer's row of the matrix as little-endian float64,
the length of each of its bytes as uint32, and the bytes. Another layout of the columns is refused, never misread.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt

from models.features import FEATURES, GROUPS
from models.features.layout import NAN, NEVER, Array, Parts
from models.features.view import View
from models.state import HEADER_BYTES, STATE_FORMAT, StateError, peek

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Numbers kept for every customer beside those of the feature groups.
DUE_AT, PENDING_DUE, SNAPSHOT_AT, SNAPSHOTS = range(4)
PROBABILITY, BAND, REVISION, EMITTED_AT = range(4, 8)
LEFT_AT, BACK_AT, ACTIVE_AT, BOUGHT_AT, WATERMARK = range(8, 13)
#: Last applied offset of each of the partition's own sources, -1 for none; others are in the FOREIGN bytes.
OFFSETS: Final = slice(13, 17)
_OWN: Final = 17
_EMPTY: Final = (
    math.inf, math.inf, NEVER, 0.0,
    NAN, 0.0, 0.0, NEVER,
    NEVER, NEVER, NEVER, NEVER, NEVER,
    -1.0, -1.0, -1.0, -1.0,
)  # fmt: skip

PARTS: Final = tuple(Parts(group.layout) for group in GROUPS)


def _spans() -> tuple[slice, ...]:
    spans, at = [], _OWN
    for group in GROUPS:
        spans.append(slice(at, at + group.layout.columns))
        at += group.layout.columns
    return tuple(spans)


#: The columns of each group, and how many there are in all.
SPANS: Final = _spans()
WIDTH: Final = SPANS[-1].stop
#: The columns that hold the time of a last event.
LAST_EVENTS: Final = [
    column for span, part in zip(SPANS, PARTS, strict=True) for column in range(span.start, span.stop)[part.lasts]
]
EMPTY_ROW: Final = np.array([*_EMPTY, *(value for group in GROUPS for value in group.layout.empty())])

#: Which bytes are kept per customer: hashes of the last message ids, offsets of foreign sources, predictions that wait
#: for the truth, then per group its tiles and its sketch.
RECENT, FOREIGN, PENDING = range(3)
_TILED = [f"{group.name}.tiles" for group in GROUPS if group.layout.tiles is not None]
_SKETCHED = [f"{group.name}.sketch" for group in GROUPS if group.layout.sketch]
BLOBS: Final = ("recent", "foreign", "pending", *_TILED, *_SKETCHED)
#: The position in BLOBS of each group's tiles and sketch; None for a group without.
TILES: Final = tuple(BLOBS.index(name) if (name := f"{g.name}.tiles") in BLOBS else None for g in GROUPS)
SKETCHES: Final = tuple(BLOBS.index(name) if (name := f"{g.name}.sketch") in BLOBS else None for g in GROUPS)
LAYOUT: Final = ";".join([str(WIDTH), *BLOBS, *(group.layout.fingerprint() for group in GROUPS)])
_LAYOUT_CODE: Final = zlib.crc32(LAYOUT.encode())
#: What every state begins with: the header, a code of the layout, the numbers, the length of each of its bytes.
_FIXED: Final = np.dtype([
    ("format", "u1"), ("epoch", "<u4"), ("due_at", "<f8"), ("probability", "<f4"),
    ("layout", "<u4"), ("core", "<f8", (WIDTH,)), ("lengths", "<u4", (len(BLOBS),)),
])  # fmt: skip
_GROWTH, _FIRST_ROWS = 1.125, 64
_offsets = msgspec.msgpack.Decoder(dict[str, int])
_encoder = msgspec.msgpack.Encoder()


class TableDump(NamedTuple):
    """A consistent copy of a table: `core` is (customers x WIDTH), `blobs` has one list per entry of BLOBS."""

    layout: str
    ids: list[str]
    core: Array
    blobs: tuple[list[bytes], ...]


class Table:
    """See the module's docstring. A row number is valid until the next `remove`."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.index: dict[str, int] = {}
        self.blobs: tuple[list[bytes], ...] = tuple([] for _ in BLOBS)
        self._core: Array = np.empty((_FIRST_ROWS, WIDTH))

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, bytes]]) -> Self:
        """A table from (customer id, changelog value); a later value replaces an earlier one. Raises StateError."""
        table = cls()
        for customer_id, raw in pairs:
            table.put(customer_id, raw)
        return table

    @property
    def core(self) -> Array:
        """The matrix, (customers x WIDTH); writing to it changes the table."""
        return self._core[: len(self.ids)]

    def add(self, customer_id: str) -> int:
        """A new empty customer's row."""
        row = len(self.ids)
        if row == len(self._core):
            # realloc in place where the system can: a copy would hold the matrix twice.
            self._core.resize((int(row * _GROWTH) + _FIRST_ROWS, WIDTH), refcheck=False)
        self._core[row] = EMPTY_ROW
        self.ids.append(customer_id)
        self.index[customer_id] = row
        for kept in self.blobs:
            kept.append(b"")
        return row

    def remove(self, customer_id: str) -> None:
        """Forget a customer; the last row takes its place. Unknown customers are no error."""
        row = self.index.pop(customer_id, None)
        if row is None:
            return
        last = self.ids.pop()
        values = [kept.pop() for kept in self.blobs]
        if last != customer_id:
            self._core[row] = self._core[len(self.ids)]
            self.ids[row], self.index[last] = last, row
            for kept, value in zip(self.blobs, values, strict=True):
                kept[row] = value

    def put(self, customer_id: str, raw: bytes) -> int:
        """Take a changelog value as the customer's state. Raises StateError for bytes that are not a state."""
        numbers, parts = split(customer_id, raw)
        row = self.index.get(customer_id)
        if row is None:
            row = self.add(customer_id)
        self._core[row] = numbers
        for kept, part in zip(self.blobs, parts, strict=True):
            kept[row] = part
        return row

    def encode(self, rows: Rows, epoch: int) -> list[bytes]:
        """The changelog values of some customers."""
        block, numbers = self._core[rows], rows.tolist()
        fixed = np.zeros(len(rows), dtype=_FIXED)
        fixed["format"], fixed["epoch"], fixed["layout"] = STATE_FORMAT, epoch, _LAYOUT_CODE
        fixed["due_at"], fixed["probability"], fixed["core"] = block[:, DUE_AT], block[:, PROBABILITY], block
        columns = [[kept[row] for row in numbers] for kept in self.blobs]
        for i, column in enumerate(columns):
            fixed["lengths"][:, i] = np.fromiter(map(len, column), np.uint32, len(column))
        joined, size = fixed.tobytes(), _FIXED.itemsize
        heads = [joined[at : at + size] for at in range(0, len(joined), size)]
        return list(map(b"".join, zip(heads, *columns, strict=True)))

    def features(self, rows: Rows, now: float | Array) -> Array:
        """Exact feature vectors, (rows x features) in the order of FEATURES, as of one time or one per row."""
        block = self._core[rows]
        numbers = rows.tolist()
        found: list[Array] = []
        for i, group in enumerate(GROUPS):
            view = View(
                PARTS[i], block[:, SPANS[i]],
                self._bytes(TILES[i], numbers), self._bytes(SKETCHES[i], numbers), now,
            )  # fmt: skip
            found += group.vector(view)
        return np.stack(found, axis=1) if len(rows) else np.empty((0, len(FEATURES)))

    def _bytes(self, blob: int | None, rows: list[int]) -> list[bytes]:
        if blob is None:
            return [b""] * len(rows)
        kept = self.blobs[blob]
        return [kept[row] for row in rows]

    def dump(self) -> TableDump:
        """A copy that later changes do not touch; quick, since only numbers are copied and bytes never change."""
        return TableDump(LAYOUT, list(self.ids), self.core.copy(), tuple(list(kept) for kept in self.blobs))

    @classmethod
    def restore(cls, dump: TableDump) -> Self:
        """The table of a dump, which must not be used afterwards. Raises StateError for another layout."""
        if dump.layout != LAYOUT or dump.core.shape != (len(dump.ids), WIDTH) or len(dump.blobs) != len(BLOBS):
            msg = f"cannot restore {len(dump.ids)} customers kept by other columns; allowed: {LAYOUT!r}"
            raise StateError(msg)
        table = cls()
        table.ids, table.blobs = dump.ids, dump.blobs
        table.index = {customer_id: row for row, customer_id in enumerate(dump.ids)}
        owned = dump.core.flags.owndata and dump.core.flags.c_contiguous
        table._core = dump.core if owned else dump.core.copy()
        return table


def split(customer_id: str, raw: bytes) -> tuple[Array, list[bytes]]:
    """The numbers (WIDTH) and the BLOBS of a changelog value. Raises StateError."""
    peek(raw)
    fixed = np.frombuffer(raw, _FIXED, 1)[0] if len(raw) >= _FIXED.itemsize else None
    if fixed is None or _FIXED.itemsize + int(fixed["lengths"].sum()) != len(raw):
        if raw[HEADER_BYTES : HEADER_BYTES + 4] == _LAYOUT_CODE.to_bytes(4, "little"):
            msg = f"cannot read the state of customer {customer_id!r}: {len(raw)} bytes are cut short or too many"
            raise StateError(msg)
        fixed = None
    if fixed is None or fixed["layout"] != _LAYOUT_CODE:
        msg = (
            f"the state of customer {customer_id!r} was kept with other summaries; "
            "allowed: the same layout, or another broker.topic_prefix and the events replayed"
        )
        raise StateError(msg)
    parts, at = [], _FIXED.itemsize
    for length in fixed["lengths"].tolist():
        parts.append(raw[at : at + length])
        at += length
    return fixed["core"], parts


def foreign_offsets(blob: bytes) -> dict[str, int]:
    """The last applied offsets of sources that are not the partition's own. Raises StateError."""
    try:
        return _offsets.decode(blob) if blob else {}
    except msgspec.MsgspecError as exc:
        msg = f"cannot read {len(blob)} bytes of foreign offsets: {exc}"
        raise StateError(msg) from exc


def pack_foreign(offsets: dict[str, int]) -> bytes:
    """Inverse of `foreign_offsets`."""
    return _encoder.encode(offsets)
