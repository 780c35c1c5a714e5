from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.sync.rates import Budget, Hint, Window, hint_of, wait_of


@given(
    windows=st.lists(st.builds(Window, st.integers(1, 20), st.floats(0.5, 30.0)), min_size=1, max_size=3),
    seed=st.integers(0, 1_000),
)
@settings(max_examples=60)
def test_no_window_is_overstepped(windows: list[Window], seed: int) -> None:
    """Whenever the vendor counts a request, between its start and its answer, no window of any place holds too many."""
    rng = random.Random(seed)
    budget = Budget(windows, 1_000)
    now, counted, under_way = 0.0, [], []
    while len(counted) + len(under_way) < 120:
        opens = budget.opens_at(now)
        if opens is not None and opens <= now:
            budget.start()
            took = rng.uniform(0.0, 1.0)
            under_way.append((now + took, now + rng.uniform(0.0, took)))
            continue
        wakes = [end for end, _ in under_way] + ([] if opens is None else [opens])
        now = max(now, min(wakes))
        for entry in [entry for entry in under_way if entry[0] <= now]:
            under_way.remove(entry)
            budget.end(now, None)
            counted.append(entry[1])
    counted.sort()
    for window in windows:
        for first, last in zip(counted, counted[window.requests :], strict=False):
            assert last - first >= window.seconds


def test_window_is_used_to_the_full() -> None:
    """Over many windows more than nine tenths of what is allowed are sent."""
    budget, now, sent = Budget([Window(100, 1.0)], 1_000), 0.0, 0
    while now < 20.0:
        opens = budget.opens_at(now)

        assert opens is not None

        if opens <= now:
            budget.start()
            budget.end(now, None)
            sent += 1
        else:
            now = opens

    assert 0.9 * 2_000 <= sent <= 2_100


def test_requests_at_the_same_time_are_capped() -> None:
    """With as many under way as allowed, only an end makes room."""
    budget = Budget([], 2)
    budget.start()
    budget.start()

    assert budget.opens_at(5.0) is None

    budget.end(5.0, None)

    assert budget.opens_at(5.0) == 0.0


def test_end_is_told_to_the_others() -> None:
    """A destination that shares the budget hears when room is made."""
    budget, heard = Budget([], 1), []
    budget.listen(lambda: heard.append(1))
    budget.start()
    budget.end(0.0, None)

    assert heard == [1]


def test_what_headers_tell_is_obeyed() -> None:
    """When nothing is left, nothing is sent until the time that the headers name."""
    budget = Budget([], 10)
    budget.start()
    budget.end(100.0, Hint(2, 30.0))
    for _ in range(2):
        assert budget.opens_at(100.0) == 0.0
        budget.start()

    assert budget.opens_at(100.0) == 130.0
    assert (budget.opens_at(130.0) or 0.0) <= 130.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-ratelimit-remaining": "5", "x-ratelimit-reset": "1000000030"}, Hint(5, 30.0)),
        ({"x-ratelimit-remaining": "5", "x-ratelimit-reset": "1000000030000"}, Hint(5, 30.0)),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "17"}, Hint(0, 17.0)),
        ({"x-hubspot-ratelimit-remaining": "3", "x-hubspot-ratelimit-interval-milliseconds": "10000"}, Hint(3, 10.0)),
        ({"x-ratelimit-remaining": "5"}, None),
        ({"x-ratelimit-remaining": "lots", "x-ratelimit-reset": "soon"}, None),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "999999999"}, Hint(0, 3600.0)),
        ({}, None),
    ],
)
def test_headers_of_vendors_are_read(headers: dict[str, str], expected: Hint | None) -> None:
    """Spans, times in seconds and in milliseconds are told apart, and no header can silence us for a day."""
    assert hint_of(headers, 1e9) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7", "ratelimit-reset": "9"}, 7.0),
        ({"x-ratelimit-retry-after": "4"}, 4.0),
        ({"x-ratelimit-reset": "1000000012"}, 12.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "12"}, 12.0),
        ({"x-ratelimit-remaining": "50", "x-ratelimit-reset": "12"}, None),
        ({}, None),
    ],
)
def test_wait_of_a_throttled_request(headers: dict[str, str], expected: float | None) -> None:
    """Retry-After comes first, then the vendors' own headers; a reset that does not concern us is not waited for."""
    assert wait_of(headers, 1e9) == expected
