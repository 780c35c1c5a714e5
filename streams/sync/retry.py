"""The waiting rules of a destination: back-off, Retry-After, and the breaker.

Times are seconds. Monotonic time and the random source are parameters, so every rule can be tested without
waiting.
"""

from __future__ import annotations

import random
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

#: A vendor may ask for more patience than our own cap, but not for a day of silence.
RETRY_AFTER_LIMIT_S = 3600.0

BreakerState = Literal["closed", "half_open", "open", "disabled"]


class Backoff(msgspec.Struct, frozen=True):
    """Exponential back-off with full jitter[^1].

    References
    ----------
    [^1]: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    base_s: float
    cap_s: float

    def ceiling_s(self, attempt: int) -> float:
        """The longest wait after failed attempt number `attempt` (1 is the first)."""
        # Beyond 2**32 the cap has long won; the clamp keeps the power finite.
        return float(min(self.cap_s, self.base_s * 2.0 ** min(max(attempt - 1, 0), 32)))

    def delay_s(self, attempt: int, rng: random.Random) -> float:
        """A wait drawn evenly from 0 to the ceiling."""
        return rng.uniform(0.0, self.ceiling_s(attempt))


def retry_after_s(value: str | None, now: float, limit_s: float = RETRY_AFTER_LIMIT_S) -> float | None:
    """The wait that a Retry-After header asks for, clamped to 0..`limit_s`; None if absent or unreadable.

    Parameters
    ----------
    value
        Seconds, or an HTTP date (RFC 9110, 10.2.3).
    now
        Wall clock in epoch seconds, for the date form.
    """
    text = (value or "").strip()
    if not text:
        return None
    wanted = _seconds(text) if text[0].isdigit() else _until(text, now)
    return None if wanted is None else min(max(wanted, 0.0), limit_s)


def _seconds(text: str) -> float | None:
    whole, _, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit() and (not fraction or (fraction.isascii() and fraction.isdigit()))):
        return None
    # Fifteen digits are already more than any limit; more would overflow for nothing.
    return float(text) if len(whole) <= 15 else float("inf")


def _until(text: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None


class Breaker:
    """Decides whether a destination may be spoken to at all.

    It opens at once when a human must act (`trip`), and after `threshold` failures in a row (`failure`). While open
    it lets one probe through per wait (half open); a probe's success closes it, its failure doubles the wait. A
    throttled destination (`pause`) is left alone for the time it asked for, without a probe. `disable` is for
    good: until the process is restarted.
    """

    def __init__(self, backoff: Backoff, threshold: int, rng: random.Random) -> None:
        self.state: BreakerState = "closed"
        self.reason = ""
        self._backoff = backoff
        self._threshold = threshold
        self._rng = rng
        self._failures = 0
        self._rounds = 0
        self._probe_at = 0.0
        self._paused_until = 0.0

    def allows(self, now: float, in_flight: int) -> bool:
        """Whether an attempt may start now, with `in_flight` attempts under way."""
        if self.state == "disabled" or now < self._paused_until or (self.state == "open" and now < self._probe_at):
            return False
        if self.state == "open":
            self.state = "half_open"
        return self.state == "closed" or in_flight == 0

    def wakes_at(self) -> float | None:
        """Monotonic time at which `allows` may change by itself; None if it will not."""
        if self.state == "disabled":
            return None
        return max(self._paused_until, self._probe_at if self.state == "open" else 0.0)

    def success(self) -> bool:
        """Note an accepted or judged row: the destination is there. True if this closed the breaker.

        A pause goes on: other requests were answered while one was told to wait.
        """
        closed = self.state in {"open", "half_open"}
        self._failures = self._rounds = 0
        if closed:
            self.state, self.reason = "closed", ""
        return closed

    def failure(self, now: float, reason: str) -> bool:
        """Note a transient failure; True if this opened the breaker."""
        self._failures += 1
        if self.state == "half_open" or (self.state == "closed" and self._failures >= self._threshold):
            return self.trip(now, reason)
        return False

    def trip(self, now: float, reason: str) -> bool:
        """Open at once; True if the breaker was closed before."""
        was = self.state
        if was == "disabled":
            return False
        if was != "open":
            self._rounds += 1
            # The second half of the span is jitter: a probe right away would only repeat the answer.
            ceiling_s = self._backoff.ceiling_s(self._rounds)
            self._probe_at = now + ceiling_s / 2 + self._rng.uniform(0.0, ceiling_s / 2)
        self.state, self.reason = "open", reason
        return was == "closed"

    def pause(self, now: float, wait_s: float | None) -> None:
        """Leave a throttling destination alone for `wait_s`, or for a growing time if it named none."""
        if wait_s is None:
            self._rounds += 1
            wait_s = self._backoff.delay_s(self._rounds, self._rng)
        # A little spread, so that many senders do not return in the same instant.
        spread_s = self._rng.uniform(0.0, min(self._backoff.base_s, 0.1 * wait_s))
        self._paused_until = max(self._paused_until, now + wait_s + spread_s)

    def disable(self, reason: str) -> bool:
        """Stop for good; True if it was not disabled before."""
        fresh = self.state != "disabled"
        self.state, self.reason = "disabled", reason
        return fresh
