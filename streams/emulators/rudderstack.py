"""RudderStack's data plane: Segment's messages at `/v1/batch`, 4 MB, 413 for more."""

from __future__ import annotations

from typing import ClassVar

from streams.emulators.base import Answer
from streams.emulators.segment import SegmentEmulator
from streams.sync.rates import Window


class RudderStackEmulator(SegmentEmulator):
    """As Segment's, with a larger batch and an honest answer to one that is too large."""

    kind = "rudderstack"
    summary = "RudderStack data plane, POST /v1/batch"
    windows: ClassVar[tuple[Window, ...]] = ()
    batch_bytes: ClassVar[int] = 4_000_000

    def too_large(self) -> Answer:
        return Answer(413, "request size exceeds max limit")


EMULATOR = RudderStackEmulator
