"""Notes that running processes leave in the data directory: where their HTTP server listens, who owns the broker.

A note counts only while the process that wrote it lives, so one left by a killed process does no harm.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from app.errors import AppError
from models.settings import Settings

T = TypeVar("T")


class RoleNote(msgspec.Struct, frozen=True):
    """A running role: `role` is what it does, `url` its HTTP server."""

    role: str
    pid: int
    url: str


class BrokerNote(msgspec.Struct, frozen=True):
    """A running embedded broker: `pid` is the process that owns it."""

    bootstrap: str
    pid: int


@contextmanager
def left(path: Path, note: RoleNote | BrokerNote) -> Iterator[None]:
    """Leave `note` at `path` for the length of the block."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        fresh.write_bytes(msgspec.json.encode(note))
        fresh.replace(path)
    except OSError as error:
        raise AppError(f"cannot write {str(path)!r} (data_dir): {(error.strerror or str(error)).lower()}") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def forget_dead(settings: Settings, role: str) -> None:
    """Remove the notes that killed processes of a role have left."""
    for path in (Path(settings.data_dir) / "run").glob(f"{role}-*.json"):
        note = _read(path, RoleNote)
        if note is None or not alive(note.pid):
            path.unlink(missing_ok=True)


def role_path(settings: Settings, role: str) -> Path:
    """Where this process notes its role."""
    return Path(settings.data_dir) / "run" / f"{role}-{os.getpid()}.json"


def broker_path(settings: Settings) -> Path:
    """Where the owner of the embedded broker notes it."""
    return Path(settings.data_dir) / "broker.json"


def running_roles(settings: Settings) -> list[RoleNote]:
    """The noted roles whose process lives, oldest process id first."""
    notes = [_read(path, RoleNote) for path in sorted((Path(settings.data_dir) / "run").glob("*.json"))]
    return sorted((note for note in notes if note is not None and alive(note.pid)), key=lambda note: note.pid)


def running_broker(settings: Settings) -> BrokerNote | None:
    """The embedded broker of this data directory, if its owner lives."""
    note = _read(broker_path(settings), BrokerNote)
    return note if note is not None and alive(note.pid) else None


def alive(pid: int) -> bool:
    """Whether a process with this id exists, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OverflowError:
        return False
    except PermissionError:
        return True
    return True


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None
