"""Markers on the changelog: who owns a partition from which offset on, and whose records no longer count.

A marker is a record whose key starts with a zero byte, which no customer's id does. A new owner writes one with an
epoch above all it has read: its claim. Every state carries the epoch of its writer, so whatever stands behind a claim
with a smaller epoch comes from an evicted writer that did not know it yet. `Lineage` is that rule; all readers of the
changelog must use it.

An owner goes on writing markers now and then, to say how far the scores agree with the states, and with each local
snapshot one that names the place it was taken at. The key of that one is the local store's own, so that compaction
keeps it until that store has a newer snapshot, whoever else owns the partition meanwhile.
"""

from __future__ import annotations

import uuid
from enum import Enum
from typing import Any

import msgspec

from models.state import peek

OWNER_KEY = b"\x00owner"
_KEPT = b"\x00kept/"


def kept_key(store: str) -> bytes:
    """The key of the snapshot markers of one local store."""
    return _KEPT + store.encode()


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """One marker. `member` is the assignment that wrote it, `uuid` the marker itself.

    `scores` is the offset in the scores topic up to which the scores agree with the states, `clock` the partition's
    clock in epoch seconds, 0 while unknown.
    """

    uuid: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)
    epoch: int
    member: str
    scores: int = 0
    clock: float = 0.0

    def to_json(self) -> bytes:
        """The record's value."""
        return msgspec.json.encode(self)


def is_marker(key: bytes | None) -> bool:
    """Whether a changelog record is no customer's: a marker of ours, or without a key."""
    return not key or key[0] == 0


def marker_of(record: Any) -> Marker | None:
    """The marker in a record with a key; None if it is none, or not one that we can read."""
    if record.value is None or not (record.key == OWNER_KEY or record.key.startswith(_KEPT)):
        return None
    try:
        return msgspec.json.decode(record.value, type=Marker)
    except msgspec.MsgspecError:
        return None


class Verdict(Enum):
    """What a record of the changelog is."""

    STATE = "state"
    MARKER = "marker"
    ZOMBIE = "zombie"


class Lineage:
    """Judges the records of one changelog partition in the order of the log.

    `greatest` is the greatest epoch seen, `newest` the newest marker of an owner that counts.
    """

    def __init__(self, greatest: int = 0) -> None:
        self.greatest = greatest
        self.newest: Marker | None = None

    def judge(self, record: Any) -> Verdict:
        """What the next record is. Raises models.state.StateError for a value that is no state."""
        if is_marker(record.key):
            marker = marker_of(record) if record.key else None
            if marker is not None and marker.epoch >= self.greatest:
                self.greatest, self.newest = marker.epoch, marker
            return Verdict.MARKER
        if record.value is None:
            return Verdict.STATE
        epoch = peek(record.value).epoch
        if epoch < self.greatest:
            return Verdict.ZOMBIE
        self.greatest = epoch
        return Verdict.STATE
