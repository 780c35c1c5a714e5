"""Distinct items: the k smallest 63-bit hashes, kept sorted as big-endian bytes so that bytes compare as numbers do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import numpy as np

from models.features.layout import Array

SKETCH_SIZE: Final = 32
_WIDTH: Final = 8
_RANGE: Final = float(2**63)
_FULL: Final = SKETCH_SIZE * _WIDTH


def item_hash(item: str) -> int:
    """63 bits of MD5, so that any database can compute the same sketch."""
    return int.from_bytes(_digest(item), "big")


@lru_cache(maxsize=65_536)
def _digest(item: str) -> bytes:
    found = hashlib.md5(item.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return (int.from_bytes(found[:_WIDTH], "big") >> 1).to_bytes(_WIDTH, "big")


def add_items(sketch: bytes, items: Iterable[str]) -> bytes:
    """The sketch with these items; the same object if they change nothing."""
    for item in items:
        value = _digest(item)
        if len(sketch) == _FULL and value >= sketch[-_WIDTH:]:
            continue
        at = _place(sketch, value)
        if sketch[at : at + _WIDTH] != value:
            sketch = (sketch[:at] + value + sketch[at:])[:_FULL]
    return sketch


def merge_sketches(left: bytes, right: bytes) -> bytes:
    """The sketch of both sets of items."""
    values = {side[at : at + _WIDTH] for side in (left, right) for at in range(0, len(side), _WIDTH)}
    return b"".join(sorted(values)[:SKETCH_SIZE])


def distinct(sketches: list[bytes]) -> Array:
    """Estimated number of distinct items of each sketch; exact below the sketch's size."""
    counts = np.fromiter(map(len, sketches), dtype=np.float64, count=len(sketches)) / _WIDTH
    full = np.flatnonzero(counts == SKETCH_SIZE)
    if len(full):
        greatest = np.frombuffer(b"".join(sketches[i][-_WIDTH:] for i in full.tolist()), dtype=">u8")
        counts[full] = (SKETCH_SIZE - 1) * _RANGE / greatest.astype(np.float64)
    return counts


def _place(sketch: bytes, value: bytes) -> int:
    """Byte offset at which `value` stands or belongs."""
    low, high = 0, len(sketch) // _WIDTH
    while low < high:
        middle = (low + high) // 2
        if sketch[middle * _WIDTH : (middle + 1) * _WIDTH] < value:
            low = middle + 1
        else:
            high = middle
    return low * _WIDTH
