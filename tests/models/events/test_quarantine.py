from __future__ import annotations

import base64
import json

from models.events.quarantine import MAX_KEY_BYTES, MAX_RAW_BYTES, QuarantineRecord, quarantine_record
from models.events.types import Rejection


def record_of(raw: bytes | None, key: bytes | None = b"k") -> QuarantineRecord:
    rejection = Rejection("not_utf8", "byte 3: invalid start byte")
    at = 1736071200.5
    return quarantine_record(rejection, topic="p.clickstream", partition=2, offset=41, key=key, raw=raw, at=at)


def test_record_holds_everything_to_repair_and_send_again() -> None:
    """Reason, origin, key and the bytes themselves are on the wire, under their documented names."""
    raw = b"caf\xe9 \x00"

    assert json.loads(record_of(raw).to_json()) == {
        "reason": "not_utf8",
        "detail": "byte 3: invalid start byte",
        "topic": "p.clickstream",
        "partition": 2,
        "offset": 41,
        "key": "aw==",
        "raw": base64.b64encode(raw).decode(),
        "raw_bytes": 6,
        "truncated": False,
        "quarantined_at": "2025-01-05T10:00:00.500Z",
    }
    assert record_of(raw).raw_value() == raw


def test_absent_key_and_value_stay_absent() -> None:
    """A tombstone and an empty value are told apart."""
    assert (record_of(None, None).raw, record_of(None, None).key, record_of(None).raw_value()) == (None, None, None)
    assert (record_of(b"").raw, record_of(b"").raw_value()) == ("", b"")


def test_huge_values_are_cut_and_say_so() -> None:
    """A value at the limit is whole; one byte more is cut, with the full size kept, and still fits a message."""
    whole, cut = record_of(b"x" * MAX_RAW_BYTES), record_of(b"x" * (MAX_RAW_BYTES + 1), b"k" * (MAX_KEY_BYTES + 1))

    assert not whole.truncated
    assert cut.truncated
    assert cut.raw_bytes == MAX_RAW_BYTES + 1
    assert cut.raw_value() == whole.raw_value()
    assert len(cut.to_json()) < 8_000_000
