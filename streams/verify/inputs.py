"""What a verification knows besides the tables: where they come from, and which rules the worker lived by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from streams.verify.store import Store

_FILE: Final = "log.json"


class CannotVerify(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """There is nothing that could be compared; the message says why and what to do."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log is from and how the worker read it. Times are epoch seconds.

    `clock` is the worker's (`worker.clock`), `clock_at` how far it is known to have come, `read_at` when the log was
    read. `removed` counts the records that retention has taken from the sources; with any, all events from
    `complete_from` on are still there, or it is None if that cannot be told.
    """

    source: str
    clock: str
    clock_at: float
    read_at: float
    refresh_every_s: float
    duplicate_window: int
    removed: int = 0
    complete_from: float | None = None


def export(store: Store, inputs: Inputs, folder: Path) -> None:
    """Write what was read to a folder, for `newest_export`. Raises OSError."""
    store.export(folder)
    fresh = folder / f"{_FILE}.{os.getpid()}.new"
    fresh.write_bytes(msgspec.json.encode(inputs))
    fresh.replace(folder / _FILE)


def newest_export(data_dir: Path) -> Path | None:
    """The newest exported log below a data directory, None without one."""
    found = [*data_dir.glob(f"log/{_FILE}"), *data_dir.glob(f"*/log/{_FILE}")]
    return max(found, key=lambda path: path.stat().st_mtime).parent if found else None


def restore(store: Store, folder: Path) -> Inputs:
    """Take in an exported log. Raises CannotVerify if it is damaged."""
    try:
        inputs = msgspec.json.decode((folder / _FILE).read_bytes(), type=Inputs)
        store.restore(folder)
    except Exception as error:
        raise CannotVerify(f"cannot read the exported log in {str(folder)!r}: {error}") from error
    return inputs
