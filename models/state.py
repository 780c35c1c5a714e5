"""The header of a customer's state on the changelog, and the hash that tells messages apart.

The header lets readers judge a record - who wrote it, when the clock must look at the customer - without the rest.
The rest is `models.table`'s.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import xxhash

STATE_FORMAT: Final = 2
_HEADER: Final = struct.Struct("<BIdf")
HEADER_BYTES: Final = _HEADER.size
DIGEST_BYTES: Final = 6


class StateError(ValueError):
    """Bytes are not a customer state of a known format."""


class Header(NamedTuple):
    """`epoch` counts the owners of the partition; `due_at` is epoch seconds; NaN for no probability told yet."""

    epoch: int
    due_at: float
    probability: float


def peek(raw: bytes) -> Header:
    """The header alone. Raises StateError."""
    if len(raw) <= _HEADER.size or raw[0] != STATE_FORMAT:
        found = raw[:1].hex() or "none"
        msg = f"cannot read a customer state of {len(raw)} bytes, format {found}; allowed: format 0{STATE_FORMAT}"
        raise StateError(msg)
    return Header(*_HEADER.unpack_from(raw)[1:])


def message_digest(message_id: str) -> bytes:
    """6 bytes of XXH3: with 64 ids remembered, one new event in 4 * 10^12 is taken for a repeat by chance."""
    return xxhash.xxh3_64_digest(message_id.encode("utf-8", "surrogatepass"))[:DIGEST_BYTES]


def remember(recent: bytes, digest: bytes, window: int) -> bytes | None:
    """The remembered digests with this one, the last `window` of them; None if it is among them already."""
    at = recent.find(digest)
    while at >= 0:
        if at % DIGEST_BYTES == 0:
            return None
        at = recent.find(digest, at + 1)
    return (recent + digest)[-window * DIGEST_BYTES :] if window else b""
