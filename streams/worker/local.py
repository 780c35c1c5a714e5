"""The state of one partition in a local file, so that a restart reads minutes of the changelog instead of all of it.

The file is one magic line and sections, each as its size in bytes (uint64), its payload and a 64-bit xxHash of both:
the header (MessagePack), then ids, the core matrix and each list of blobs column by column. A list is two sections,
the lengths (uint32) and the joined bytes, which a million customers can be sliced from in a few seconds.

A file is written beside its name and renamed over it, so whoever is killed leaves the old one or the new one. What it
is worth beyond its own soundness - whether it belongs to this changelog - is judged by `recovery`.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from struct import Struct
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from models.table import TableDump

FORMAT = 1
_MAGIC = f"ebbtide state {FORMAT}\n".encode()
_NUMBER = Struct("<Q")
#: Rows joined and bytes written at a time: the interpreter is held for about a millisecond.
_ROWS, _BYTES = 8192, 4 * 1024 * 1024


class SnapshotUnusable(Exception):  # noqa: N818 - reads as the fact that it states
    """A local snapshot cannot be used; the changelog must be read instead."""


class SnapshotHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot says of itself.

    `marker` and `offset` are the uuid and the place of the marker record in changelog `topic`; `scores` is the offset
    in the scores topic up to which the scores agree with the states. `attic` and `attic_writes` name the store of the
    evicted customers. `written_at` is epoch seconds.
    """

    layout: str
    topic: str
    partition: int
    marker: str
    offset: int
    epoch: int
    scores: int
    attic: str
    attic_writes: int
    written_at: float
    rows: int = 0
    width: int = 0
    columns: int = 0


def write_snapshot(path: Path, header: SnapshotHeader, dump: TableDump) -> int:
    """Replace the file by this state and return its size in bytes. Meant for a thread; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: an older owner of the partition may still be writing.
    scratch = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    full = msgspec.structs.replace(
        header, layout=dump.layout, rows=len(dump.ids), width=dump.core.shape[1], columns=len(dump.blobs)
    )
    try:
        with scratch.open("xb") as file:
            file.write(_MAGIC)
            for section in _sections(full, dump):
                _write_section(file, *section)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        _sync_folder(path.parent)
    finally:
        scratch.unlink(missing_ok=True)
    return size


def read_header(path: Path, layout: str) -> SnapshotHeader:
    """What a file says of itself, before it is read whole. Raises SnapshotUnusable as `read_snapshot` does."""
    try:
        with path.open("rb") as file:
            return _read_header(path, file, layout)
    except OSError as exc:
        msg = f"cannot read local state {path}: {exc.strerror or exc}"
        raise SnapshotUnusable(msg) from exc


def read_snapshot(path: Path, layout: str) -> tuple[SnapshotHeader, TableDump]:
    """The header and the state in a file. Meant for a thread.

    Raises
    ------
    SnapshotUnusable
        There is no file, it is damaged or cut short, or its format or layout is another one.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file, layout)
    except OSError as exc:
        msg = f"cannot read local state {path}: {exc.strerror or exc}"
        raise SnapshotUnusable(msg) from exc


def remove_scratch(folder: Path, name: str) -> None:
    """Remove what killed writers of this snapshot left behind. A living one's file would be missed by its rename."""
    for scratch in folder.glob(f"{name}.*.tmp"):
        with contextlib.suppress(OSError):
            scratch.unlink()


# -- writing -----------------------------------------------------------------------------------------


def _sections(header: SnapshotHeader, dump: TableDump) -> Iterator[tuple[int, Iterable[bytes | memoryview]]]:
    packed = msgspec.msgpack.encode(header)
    yield len(packed), (packed,)
    yield from _column([key.encode("utf-8", "surrogatepass") for key in dump.ids])
    core = np.ascontiguousarray(dump.core, dtype="<f8").reshape(-1).data.cast("B")
    yield core.nbytes, (core[start : start + _BYTES] for start in range(0, core.nbytes, _BYTES))
    for blobs in dump.blobs:
        yield from _column(blobs)


def _column(values: Sequence[bytes]) -> Iterator[tuple[int, Iterable[bytes]]]:
    lengths = np.fromiter(map(len, values), dtype="<u4", count=len(values))
    yield lengths.nbytes, (lengths.tobytes(),)
    yield (
        int(lengths.sum(dtype=np.uint64)),
        (b"".join(values[start : start + _ROWS]) for start in range(0, len(values), _ROWS)),
    )


def _write_section(file: BinaryIO, size: int, parts: Iterable[bytes | memoryview]) -> None:
    digest = xxhash.xxh3_64()
    for part in chain((_NUMBER.pack(size),), parts):
        digest.update(part)
        file.write(part)
    file.write(_NUMBER.pack(digest.intdigest()))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- reading -----------------------------------------------------------------------------------------


def _read(path: Path, file: BinaryIO, layout: str) -> tuple[SnapshotHeader, TableDump]:
    header = _read_header(path, file, layout)
    ids = [key.decode("utf-8", "surrogatepass") for key in _read_column(path, file, header.rows)]
    core: npt.NDArray[np.float64] = np.empty((header.rows, header.width), dtype="<f8")
    _read_section(path, file, core.reshape(-1).data.cast("B"))
    blobs = tuple(_read_column(path, file, header.rows) for _ in range(header.columns))
    if file.read(1):
        msg = f"cannot read local state {path}: it goes on behind its end"
        raise SnapshotUnusable(msg)
    return header, TableDump(header.layout, ids, core, blobs)


def _read_header(path: Path, file: BinaryIO, layout: str) -> SnapshotHeader:
    if file.read(len(_MAGIC)) != _MAGIC:
        msg = f"cannot read local state {path}: not a file of format {FORMAT}"
        raise SnapshotUnusable(msg)
    try:
        header = msgspec.msgpack.decode(_read_section(path, file), type=SnapshotHeader)
    except msgspec.MsgspecError as exc:
        msg = f"cannot read local state {path}: {exc}"
        raise SnapshotUnusable(msg) from exc
    if header.layout != layout:
        msg = f"cannot use local state {path}: it has layout {header.layout}, allowed: {layout}"
        raise SnapshotUnusable(msg)
    return header


def _read_section(path: Path, file: BinaryIO, into: memoryview | None = None) -> bytes:
    """The payload of the next section; empty if it went `into` memory of the same size."""
    prefix = file.read(_NUMBER.size)
    left = os.fstat(file.fileno()).st_size - file.tell()
    size = _NUMBER.unpack(prefix)[0] if len(prefix) == _NUMBER.size else left
    if size + _NUMBER.size > left or (into is not None and size != into.nbytes):
        msg = f"cannot read local state {path}: a section of {size} bytes does not fit, {left} bytes are left"
        raise SnapshotUnusable(msg)
    digest = xxhash.xxh3_64(prefix)
    payload = b""
    if into is None:
        payload = file.read(size)
    else:
        file.readinto(into)  # type: ignore[attr-defined]
    digest.update(payload if into is None else into)
    if file.read(_NUMBER.size) != _NUMBER.pack(digest.intdigest()):
        msg = f"cannot read local state {path}: checksum of the section before byte {file.tell()} does not match"
        raise SnapshotUnusable(msg)
    return payload


def _read_column(path: Path, file: BinaryIO, rows: int) -> list[bytes]:
    lengths = np.frombuffer(_read_section(path, file), dtype="<u4")
    joined = _read_section(path, file)
    bounds = [0, *np.cumsum(lengths, dtype=np.int64).tolist()]
    if len(lengths) != rows or bounds[-1] != len(joined):
        msg = f"cannot read local state {path}: {len(lengths)} values of {bounds[-1]} bytes in {len(joined)} bytes"
        raise SnapshotUnusable(msg)
    return [joined[start:end] for start, end in pairwise(bounds)]
