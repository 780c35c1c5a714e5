"""Which chunks of one partition are in flight, and up to where the partition may be committed."""

from __future__ import annotations

from collections import deque


class ChunkTracker:
    """Chunks of one partition in the order they were fetched.

    A commit position only moves over a prefix of settled chunks, so a chunk that is still being worked on
    holds back everything behind it, whatever the gaps between offsets (compaction, transaction markers).
    Faust derives the position from runs of acknowledged offsets instead and can skip an unacknowledged
    head (faust-streaming/faust#606).
    """

    def __init__(self) -> None:
        self._chunks: deque[tuple[int, int]] = deque()
        self._settled: set[int] = set()
        self._position: int | None = None

    @property
    def in_flight(self) -> int:
        """Number of chunks handed out and not yet part of the commit position."""
        return len(self._chunks)

    def add(self, first_offset: int, last_offset: int) -> None:
        """Register a chunk in fetch order.

        Raises ValueError if it does not lie behind the chunk before it.
        """
        if self._chunks and first_offset <= self._chunks[-1][1]:
            msg = f"chunk {first_offset}..{last_offset} does not follow {self._chunks[-1][1]}"
            raise ValueError(msg)
        self._chunks.append((first_offset, last_offset))

    def settle(self, last_offset: int) -> bool:
        """Mark the chunk ending at this offset as durable. False if no such chunk is in flight."""
        if not any(last == last_offset for _, last in self._chunks):
            return False
        self._settled.add(last_offset)
        while self._chunks and self._chunks[0][1] in self._settled:
            _, last = self._chunks.popleft()
            self._settled.discard(last)
            self._position = last + 1
        return True

    def position(self) -> int | None:
        """The offset to commit: one behind the last settled chunk with nothing open before it."""
        return self._position
