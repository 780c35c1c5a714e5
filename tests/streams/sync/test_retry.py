from __future__ import annotations

import random
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sync.retry import RETRY_AFTER_LIMIT_S, Backoff, Breaker, retry_after_s

NOW = 1_767_225_600.0


@given(attempt=st.integers(-5, 10_000), seed=st.integers())
def test_jitter_stays_in_bounds(attempt: int, seed: int) -> None:
    """A wait lies between 0 and the exponential ceiling, and the ceiling never exceeds the cap."""
    backoff = Backoff(base_s=0.5, cap_s=60.0)
    delay_s = backoff.delay_s(attempt, random.Random(seed))

    assert 0.0 <= delay_s <= backoff.ceiling_s(attempt) <= 60.0


def test_ceiling_doubles_up_to_the_cap() -> None:
    """The first failure waits up to the base, each further one up to twice as long."""
    assert [Backoff(1.0, 10.0).ceiling_s(attempt) for attempt in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_jitter_is_full_and_seedable() -> None:
    """Waits fill the whole span from 0, so that senders spread out; the same seed gives the same waits."""
    backoff, rng = Backoff(1.0, 8.0), random.Random(7)
    delays = [backoff.delay_s(4, rng) for _ in range(2000)]
    again = random.Random(7)

    assert min(delays) < 0.4
    assert max(delays) > 7.6
    assert abs(sum(delays) / len(delays) - 4.0) < 0.2
    assert [backoff.delay_s(4, again) for _ in range(2000)] == delays


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("99999999", RETRY_AFTER_LIMIT_S),
        ("9" * 400, RETRY_AFTER_LIMIT_S),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        (formatdate(NOW + 10**7, usegmt=True), RETRY_AFTER_LIMIT_S),
        ("Thu, 01 Jan 2026 00:01:00 -0000", 60.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("1e9", None),
        ("5 s", None),
        ("1.2.3", None),
        ("٣", None),
        ("nan", None),
        ("Thu, 99 Jan 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after_forms(value: str | None, expected: float | None) -> None:
    """Seconds and HTTP dates are read and clamped; anything else counts as absent."""
    assert retry_after_s(value, NOW) == expected


@given(st.text(max_size=60))
def test_retry_after_never_raises(value: str) -> None:
    """Whatever a server sends, the wait is absent or within bounds."""
    wait_s = retry_after_s(value, NOW)

    assert wait_s is None or 0.0 <= wait_s <= RETRY_AFTER_LIMIT_S


def make_breaker(threshold: int = 3) -> Breaker:
    return Breaker(Backoff(base_s=8.0, cap_s=64.0), threshold, random.Random(1))


def test_breaker_opens_after_failures_in_a_row() -> None:
    """Single failures between successes leave it closed; enough in a row open it once."""
    breaker = make_breaker()
    for _ in range(10):
        breaker.failure(0.0, "down")
        breaker.failure(0.0, "down")
        breaker.success()

    assert breaker.state == "closed"
    assert [breaker.failure(0.0, "down") for _ in range(5)] == [False, False, True, False, False]
    assert (breaker.state, breaker.reason) == ("open", "down")


def test_open_breaker_lets_one_probe_through() -> None:
    """After its wait an open breaker allows one attempt at a time until one succeeds."""
    breaker = make_breaker()
    breaker.trip(100.0, "auth")

    assert not breaker.allows(103.9, 0)
    assert breaker.allows(108.0, 0)
    assert breaker.state == "half_open"
    assert not breaker.allows(108.0, 1)
    assert breaker.success()
    assert breaker.state == "closed"
    assert breaker.allows(108.0, 7)


def test_failed_probes_wait_longer() -> None:
    """Each failed probe opens the breaker again for a doubled span, half of it sure and half jitter, up to the cap."""
    breaker, now, waits = make_breaker(), 0.0, []
    for _ in range(6):
        breaker.trip(now, "auth")
        wakes = breaker.wakes_at()

        assert wakes is not None

        waits.append(wakes - now)
        now = wakes

        assert breaker.allows(now, 0)

    for wait_s, ceiling_s in zip(waits, [8.0, 16.0, 32.0, 64.0, 64.0, 64.0], strict=True):
        assert ceiling_s / 2 <= wait_s <= ceiling_s


def test_a_success_elsewhere_does_not_end_a_pause() -> None:
    """A throttled destination is left alone although other requests of the same moment succeeded."""
    breaker = make_breaker()
    breaker.pause(10.0, 5.0)
    breaker.success()

    assert not breaker.allows(14.9, 0)
    assert breaker.allows(16.0, 4)


def test_pause_without_a_named_wait_grows() -> None:
    """A destination that throttles without Retry-After is given longer and longer pauses, up to the cap."""
    breaker = make_breaker()
    ends = []
    for _ in range(40):
        breaker.pause(0.0, None)
        ends.append(breaker.wakes_at() or 0.0)

    assert ends == sorted(ends)
    assert 8.0 < ends[-1] <= 64.0 + 8.0


def test_disabled_is_for_good() -> None:
    """After 410 nothing reopens the destination in this process."""
    breaker = make_breaker()

    assert breaker.disable("gone")
    assert not breaker.disable("gone")

    breaker.success()
    breaker.trip(0.0, "auth")

    assert breaker.state == "disabled"
    assert breaker.wakes_at() is None
    assert not breaker.allows(1e12, 0)
