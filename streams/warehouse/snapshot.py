"""Snapshots: immutable copies of the live file that any other process may read while the writer runs.

Publishing keeps this order, so that a reader finds a whole file behind the pointer whenever the writer dies:

1. stamp the live file with the snapshot's number and bring it up to date on disk (checkpoint),
2. copy it to a temporary name and force the copy to disk,
3. rename the copy to its final name,
4. replace the pointer file CURRENT,
5. delete old snapshots; a process that has one open keeps reading it.

A file copy is used because it is several times faster than DuckDB's `COPY FROM DATABASE`, and free on file
systems that share blocks. DuckDB reuses the space of replaced rows, so the file stays within about twice its rows.
"""

from __future__ import annotations

import os
import re
import shutil
from datetime import datetime
from pathlib import Path

import msgspec

from streams.warehouse.errors import NoSnapshot, WarehouseError
from streams.warehouse.writer import WarehouseWriter

_NAME = re.compile(r"ebbtide-(\d+)\.duckdb")
_POINTER = "CURRENT"
_PIECE_BYTES = 64 * 1024 * 1024


class Snapshot(msgspec.Struct, frozen=True):
    """A published snapshot."""

    number: int
    path: Path
    created_at: datetime
    size_bytes: int


def live_path(data_dir: str | Path) -> Path:
    """The writer's own file."""
    return Path(data_dir) / "warehouse" / "live.duckdb"


def snapshots_dir(data_dir: str | Path) -> Path:
    """Where the snapshots lie."""
    return Path(data_dir) / "warehouse" / "snapshots"


def newest(data_dir: str | Path) -> Path:
    """The newest snapshot, as the pointer file names it.

    Raises
    ------
    NoSnapshot
        Nothing was published yet, or the snapshot named there is gone.
    """
    folder = snapshots_dir(data_dir)
    try:
        name = (folder / _POINTER).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise NoSnapshot(
            f"no snapshot in '{folder}': nothing was published yet; the warehouse role publishes (`ebbtide warehouse`)"
        ) from None
    if not _NAME.fullmatch(name) or not (folder / name).is_file():
        raise NoSnapshot(f"no snapshot {name!r} in '{folder}', though {_POINTER} names it: restart the warehouse role")
    return folder / name


class Publisher:
    """Publishes the writer's file into `folder` and keeps the newest `keep` snapshots there."""

    def __init__(self, writer: WarehouseWriter, folder: Path, keep: int) -> None:
        self._writer = writer
        self._folder = folder
        self._keep = keep
        self._published_changes = -1
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()

    @property
    def stale(self) -> bool:
        """Whether rows changed since the last snapshot of this process; true before its first."""
        return self._writer.changes != self._published_changes

    def publish(self, created_at: datetime) -> Snapshot:
        """Publish the state of now. `created_at` must be aware.

        Raises
        ------
        WarehouseError, OSError
            The file could not be written; older snapshots and the pointer are as before.
        """
        changes = self._writer.changes
        number = max(self._numbers(), default=0) + 1
        self._writer.stamp(number, created_at)  # 1
        path = self._folder / f"ebbtide-{number}.duckdb"
        temporary = self._folder / f"{path.name}.tmp"
        try:
            _copy(self._writer.path, temporary)  # 2
            temporary.replace(path)  # 3
        finally:
            temporary.unlink(missing_ok=True)
        self._point_to(path)  # 4
        self._prune(number)  # 5
        self._published_changes = changes
        return Snapshot(number, path, created_at, path.stat().st_size)

    def _point_to(self, path: Path) -> None:
        pointer = self._folder / f"{_POINTER}.tmp"
        with pointer.open("w", encoding="utf-8") as file:
            file.write(f"{path.name}\n")
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(self._folder)
        pointer.replace(self._folder / _POINTER)
        _sync_folder(self._folder)

    def _prune(self, current: int) -> None:
        for number in sorted(self._numbers())[: -self._keep]:
            if number != current:
                (self._folder / f"ebbtide-{number}.duckdb").unlink(missing_ok=True)

    def _numbers(self) -> list[int]:
        matches = (_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return [int(match[1]) for match in matches if match]


def _copy(source: Path, target: Path) -> None:
    """Copy a checkpointed database file, read-only and on disk when this returns."""
    log = source.with_name(f"{source.name}.wal")
    if log.exists() and log.stat().st_size:
        raise WarehouseError(f"cannot publish '{source}': its log '{log.name}' is not empty after a checkpoint")
    with source.open("rb") as reader, target.open("wb") as writer:
        _copy_bytes(reader.fileno(), writer.fileno(), source, target)
        # Nobody can open it for writing by mistake, which would lock out all other readers.
        os.fchmod(writer.fileno(), 0o444)
        os.fsync(writer.fileno())


def _copy_bytes(reader: int, writer: int, source: Path, target: Path) -> None:
    """Let the kernel copy, which shares blocks where the file system can; else copy in user space."""
    if not hasattr(os, "copy_file_range"):
        shutil.copyfile(source, target)
        return
    try:
        while os.copy_file_range(reader, writer, _PIECE_BYTES):
            pass
    except OSError:
        # Not possible between these file systems, or not at all; a real fault (disk full) shows up again here.
        shutil.copyfile(source, target)


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
