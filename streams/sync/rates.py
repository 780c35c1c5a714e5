"""How much one credential may still send: several windows at once, a cap on parallel requests, and what headers tell.

A request counts from its start until its answer, and then for the length of each window. The vendor's own count began
in between, so no window of the vendor, fixed or sliding, can see more than its limit, however long the way is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

import msgspec

from streams.sync.retry import RETRY_AFTER_LIMIT_S, retry_after_s

_SLOTS = 50
#: A number above this is a time, not a span: seconds since 1970, above the second one milliseconds.
_EPOCH_S, _EPOCH_MS = 1e9, 1e12
_REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining", "x-hubspot-ratelimit-remaining")
_RESET = ("x-ratelimit-reset", "ratelimit-reset")
_RETRY = ("retry-after", "x-ratelimit-retry-after")
_INTERVAL_MS = "x-hubspot-ratelimit-interval-milliseconds"


class Window(msgspec.Struct, frozen=True):
    """At most `requests` within `seconds`."""

    requests: int
    seconds: float


class Hint(msgspec.Struct, frozen=True):
    """What an answer's headers tell: `remaining` requests within the next `reset_s` seconds."""

    remaining: int
    reset_s: float


def hint_of(headers: Mapping[str, str], now: float) -> Hint | None:
    """The hint of an answer received at `now` (epoch seconds), None without one. Header names are lower case."""
    remaining = _first_number(headers, _REMAINING)
    reset_s = _reset_s(headers, now)
    return None if remaining is None or reset_s is None else Hint(max(0, int(remaining)), reset_s)


def wait_of(headers: Mapping[str, str], now: float) -> float | None:
    """How long a refused sender is asked to wait, in seconds, by Retry-After or the vendors' own headers."""
    for name in _RETRY:
        if (wait_s := retry_after_s(headers.get(name), now)) is not None:
            return wait_s
    return _reset_s(headers, now) if _first_number(headers, _REMAINING) in (None, 0.0) else None


def _reset_s(headers: Mapping[str, str], now: float) -> float | None:
    value = _first_number(headers, _RESET)
    if value is None:
        interval_ms = _first_number(headers, (_INTERVAL_MS,))
        value = None if interval_ms is None else interval_ms / 1000.0
    if value is None:
        return None
    span_s = value / 1000.0 - now if value > _EPOCH_MS else value - now if value > _EPOCH_S else value
    return min(max(span_s, 0.0), RETRY_AFTER_LIMIT_S)


def _first_number(headers: Mapping[str, str], names: Iterable[str]) -> float | None:
    for name in names:
        text = headers.get(name, "").strip()
        if text.isascii() and len(text) <= 20 and text.replace(".", "", 1).isdigit():
            return float(text)
    return None


class Budget:
    """The budget of one credential, shared by the destinations that use it. Times are monotonic seconds."""

    def __init__(self, windows: Iterable[Window], concurrency: int) -> None:
        self.in_flight = 0
        self._concurrency = concurrency
        self._windows = [_Used(window) for window in windows]
        self._left: int | None = None
        self._until = 0.0
        self._listeners: list[Callable[[], None]] = []

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever a request has ended: another destination may have been waiting for it."""
        self._listeners.append(changed)

    def opens_at(self, now: float) -> float | None:
        """When a request may start: `now` or before if at once; None if one that is under way must end first."""
        if self.in_flight >= self._concurrency:
            return None
        opens = 0.0
        for window in self._windows:
            at = window.opens_at(now, self.in_flight)
            if at is None:
                return None
            opens = max(opens, at)
        return max(opens, self._until) if self._left == 0 and now < self._until else opens

    def start(self) -> None:
        self.in_flight += 1
        if self._left:
            self._left -= 1

    def end(self, now: float, hint: Hint | None) -> None:
        """Note the end of a request, with what its answer told."""
        self.in_flight -= 1
        for window in self._windows:
            window.add(now)
        if hint is not None:
            self.learn(hint, now)
        for changed in self._listeners:
            changed()

    def learn(self, hint: Hint, now: float) -> None:
        """Take what a vendor says is left; requests under way may not be part of its count yet."""
        left = max(0, hint.remaining - self.in_flight)
        if self._left is None or now >= self._until:
            self._left, self._until = left, now + hint.reset_s
        elif left <= self._left:
            self._left, self._until = left, max(self._until, now + hint.reset_s) if left == 0 else self._until


class _Used:
    """What is used of one window, in slots of a fiftieth of it, so that memory is bounded."""

    def __init__(self, window: Window) -> None:
        self._limit, self._seconds = window.requests, window.seconds
        self._width = window.seconds / _SLOTS
        #: Start and count of each slot.
        self._slots: deque[tuple[float, int]] = deque()
        self._total = 0

    def add(self, now: float) -> None:
        self._total += 1
        if self._slots and now < self._slots[-1][0] + self._width:
            start, count = self._slots.pop()
            self._slots.append((start, count + 1))
        else:
            self._slots.append((now, 1))

    def opens_at(self, now: float, in_flight: int) -> float | None:
        while self._slots and self._free_at() <= now:
            self._total -= self._slots.popleft()[1]
        if self._total + in_flight < self._limit:
            return 0.0
        return self._free_at() if self._slots else None

    def _free_at(self) -> float:
        # A slot with one request is exactly where it is; with more, the last of them may be a slot's width later.
        start, count = self._slots[0]
        return start + self._seconds + (self._width if count > 1 else 0.0)
