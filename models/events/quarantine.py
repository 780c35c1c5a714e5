"""The record of an event that was refused: everything needed to understand it, repair it and send it again."""

from __future__ import annotations

import base64
from typing import Final

import msgspec

from models.events.clock import to_iso
from models.events.types import Rejection

#: Bytes of the value that are kept. In base64 this fits below the largest message of the quarantine topic (8 MiB).
MAX_RAW_BYTES: Final = 4_000_000

#: Bytes of the key that are kept.
MAX_KEY_BYTES: Final = 100_000


class QuarantineRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record on topic `quarantine`.

    `topic`, `partition` and `offset` say where the event was read. `key` and `raw` are base64, null where the record
    had none; `truncated` says that one of them was cut to its limit, `raw_bytes` is the full size of the value.
    `quarantined_at` is ISO-8601 UTC.
    """

    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    key: str | None
    raw: str | None
    raw_bytes: int
    truncated: bool
    quarantined_at: str

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    def raw_value(self) -> bytes | None:
        """The event's own bytes (their first part if `truncated`), None for a tombstone."""
        return None if self.raw is None else base64.b64decode(self.raw, validate=True)


def quarantine_record(
    rejection: Rejection, *, topic: str, partition: int, offset: int, key: bytes | None, raw: bytes | None, at: float
) -> QuarantineRecord:
    """Build the record of a rejected event. `at` is the present in epoch seconds."""
    return QuarantineRecord(
        reason=rejection.reason,
        detail=rejection.detail,
        topic=topic,
        partition=partition,
        offset=offset,
        key=_base64(key, MAX_KEY_BYTES),
        raw=_base64(raw, MAX_RAW_BYTES),
        raw_bytes=len(raw or b""),
        truncated=len(raw or b"") > MAX_RAW_BYTES or len(key or b"") > MAX_KEY_BYTES,
        quarantined_at=to_iso(at),
    )


def _base64(data: bytes | None, limit: int) -> str | None:
    return None if data is None else base64.b64encode(data[:limit]).decode("ascii")
