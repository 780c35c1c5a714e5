"""The commit position only moves over settled chunks, whatever the gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.chunks.tracker import ChunkTracker


def test_an_open_head_holds_back_everything_behind_it() -> None:
    """Chunks settled behind an open one do not move the position past it."""
    tracker = ChunkTracker()
    tracker.add(2585, 2585)
    tracker.add(2586, 2589)
    tracker.settle(2589)

    assert tracker.position() is None
    tracker.settle(2585)
    assert tracker.position() == 2590


def test_gaps_between_offsets_are_crossed() -> None:
    """Compacted or transactional offsets that never come do not block the position."""
    tracker = ChunkTracker()
    tracker.add(0, 9)
    tracker.add(100, 120)
    tracker.settle(9)
    tracker.settle(120)

    assert tracker.position() == 121


def test_unknown_and_repeated_chunks_change_nothing() -> None:
    """Settling a chunk that is not in flight is refused."""
    tracker = ChunkTracker()
    tracker.add(5, 6)

    assert not tracker.settle(7)
    assert tracker.settle(6)
    assert not tracker.settle(6)
    assert (tracker.position(), tracker.in_flight) == (7, 0)


def test_chunks_must_follow_each_other() -> None:
    """A chunk that overlaps the one before is a defect and is refused."""
    tracker = ChunkTracker()
    tracker.add(5, 9)

    with pytest.raises(ValueError, match="does not follow 9"):
        tracker.add(9, 12)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.randoms())
def test_position_is_the_end_of_the_settled_prefix(sizes: list[int], chance: object) -> None:
    """In any order of settling, the position is one behind the longest settled prefix."""
    tracker, ends, start = ChunkTracker(), [], 0
    for size in sizes:
        tracker.add(start, start + size - 1)
        ends.append(start + size - 1)
        start += size + 2
    order = ends[:]
    chance.shuffle(order)  # type: ignore[attr-defined]
    settled: set[int] = set()
    for end in order:
        tracker.settle(end)
        settled.add(end)
        prefix = [e for i, e in enumerate(ends) if set(ends[: i + 1]) <= settled]

        assert tracker.position() == (prefix[-1] + 1 if prefix else None)
