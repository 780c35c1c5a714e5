"""What a role tells its operator: Prometheus metrics, a status dictionary and progress marks.

Roles count in plain integers inside a batch and call these objects once per batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_NAMESPACE = "ebbtide"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Telemetry:
    """Metrics and health of one role in one process."""

    def __init__(
        self, role: str, *, stall_after_s: float = 60.0, exit_after_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.role = role
        self.registry = CollectorRegistry()
        self.status: dict[str, Any] = {"role": role}
        #: How often the role reported progress.
        self.moves = 0
        self._stall_after_s = stall_after_s
        self._exit_after_s = exit_after_s
        self._clock = clock
        #: Why the role cannot do its work yet, though it moves on; empty when it can.
        self.not_ready = ""
        self._progress: float | None = None
        self._busy = False

    def counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, help_text, labels, namespace=_NAMESPACE, registry=self.registry)

    def gauge(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, help_text, labels, namespace=_NAMESPACE, registry=self.registry)

    def histogram(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(name, help_text, labels, namespace=_NAMESPACE, registry=self.registry, buckets=_SECONDS)

    def progress(self, *, busy: bool = False) -> None:
        """Mark that the role moved on. `busy` says that work is known to be waiting.

        A role that never does so again is first not ready, then ended; see `app.watchdog` for what counts.
        """
        self._progress, self._busy = self._clock(), busy
        self.moves += 1

    def health(self) -> tuple[bool, str]:
        """Whether the role has started and is not stuck in front of waiting work."""
        if self._progress is None:
            return False, "starting: no progress yet"
        if self.not_ready:
            return False, self.not_ready
        silent_s = self._clock() - self._progress
        if silent_s > self._stall_after_s:
            return False, f"stalled: no progress for {silent_s:.0f} s (allowed: {self._stall_after_s:.0f} s)"
        return True, "busy" if self._busy else "caught up"

    def alive(self) -> tuple[bool, str]:
        """Whether to let the process live: a restart helps neither a starting role nor a short stall."""
        silent_s = 0.0 if self._progress is None else self._clock() - self._progress
        if silent_s > self._exit_after_s:
            return False, f"stuck: no progress for {silent_s:.0f} s (allowed: {self._exit_after_s:.0f} s)"
        return True, "alive"

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)
