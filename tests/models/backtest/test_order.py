from __future__ import annotations

from operator import attrgetter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.backtest.order import Ordered


def events(times):
    return [SimpleNamespace(time=time, number=number) for number, time in enumerate(times)]


@given(st.lists(st.integers(0, 30), max_size=60))
def test_a_window_as_large_as_the_disorder_sorts_all(times):
    """Nothing is lost, everything comes in the order of its time, equal times as they were read."""
    told = list(Ordered(events(times), window=200))

    assert [one.number for one in told] == [one.number for one in sorted(events(times), key=attrgetter("time"))]


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(2, 9))
def test_what_is_further_out_of_place_is_passed_on_and_counted(times, window):
    """A small window loses nothing: it counts what comes behind its time."""
    ordered = Ordered(events(times), window=window)
    told = [one.time for one in ordered]

    late = sum(time < max(told[:place], default=time) for place, time in enumerate(told))
    assert (sorted(told), ordered.late) == (sorted(times), late)


def test_one_wrong_clock_holds_its_place_to_itself():
    """An event from the far future waits in the window; the others are sorted as if it were not there."""
    times = [1, 10**9, *(place ^ 1 for place in range(2, 100))]

    told = [one.time for one in Ordered(events(times), window=8)]

    assert told == [1, *range(2, 100), 10**9]


def test_a_window_holds_two_events_or_more():
    """A window that cannot sort is refused."""
    with pytest.raises(ValueError, match="allowed: 2 or more"):
        Ordered([], window=1)


def test_what_was_read_before_a_fault_is_passed_on():
    """A source that breaks off loses nothing of what it gave."""

    def breaking():
        yield from events([1, 3, 2])
        raise OSError("gone")

    told = iter(Ordered(breaking(), window=4))

    assert [next(told).time for _ in range(3)] == [1, 2, 3]
    with pytest.raises(OSError, match="gone"):
        next(told)
