"""Runs analyses of snapshots beside the writer: one at a time, in a thread of its own, for a share of the time."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.settings import Settings
from streams.warehouse.analysis import Analysis
from streams.warehouse.findings import Findings

_LOG = logging.getLogger(__name__)

#: An analysis ends after about so long, also with days left to look at.
_WITHIN_S = 5.0
#: At most one part in this many of the time goes to analyses, once no whole day is left to look at; else a fifth.
_SHARE, _SHARE_BEHIND = 20, 5


class Analyst:
    """At most one analysis is under way; its findings are collected before the next one begins.

    A snapshot that is looked at must have all findings before it, so `begin` must not be called between the writing of
    findings and the publishing of them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(1, "analysis")
        self._task: asyncio.Future[Findings] | None = None
        self._began = self._next = 0.0
        self._fresh = True
        self._seen: Path | None = None
        self.failures = 0
        self.last_s = 0.0

    def begin(self, path: Path, *, now: bool = False, within_s: float = _WITHIN_S) -> None:
        """Look at a snapshot not seen yet, if the last look was collected and is long enough ago (or `now`)."""
        if self._task is None and path != self._seen and (now or time.monotonic() >= self._next):
            self._seen = path
            analysis = Analysis(path, self._settings, within_s=within_s, fresh=self._fresh)
            self._began = time.monotonic()
            self._task = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(self._pool, analysis.run))

    async def collect(self, *, wait: bool = False) -> Findings | None:
        """What the analysis under way found, once it is done, or with `wait` when it is; None if there is nothing.

        A failed one is logged, and the next look begins where it had begun.
        """
        task = self._task
        if task is None or not (wait or task.done()):
            return None
        await asyncio.wait([task])
        self._task, self.last_s = None, time.monotonic() - self._began
        error = task.exception()
        if error is not None:
            self.failures += 1
            self._next = self._began + _SHARE * self.last_s
            _LOG.error("cannot analyse the snapshot, trying again: %r", error, exc_info=error)
            return None
        findings = task.result()
        self._next = self._began + (_SHARE_BEHIND if findings.more else _SHARE) * self.last_s
        self._fresh = self._fresh and findings.more
        return None if findings.empty else findings

    def forget(self) -> None:
        """What was found was not written: look again, at the same snapshot if need be."""
        self._seen, self._fresh = None, True

    async def close(self) -> None:
        """Wait for the analysis under way; what it finds is found again by the next process."""
        if self._task is not None:
            await asyncio.wait([self._task])
        self._pool.shutdown()
