"""Collects the page's data every two seconds, whether somebody looks or not, so that the charts have a past."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import aiohttp

from app.console.history import History, Rates
from app.console.overview import Plain, Table, overview, sample
from app.probe import ask_all
from models.settings import Settings

log = logging.getLogger(__name__)

EVERY_S = 2.0
#: Half an hour of samples.
CAPACITY = 900

ReadTable = Callable[[Settings], Table]


class Children(Protocol):
    """What a supervisor tells of its processes; `app.up.ProcessGroup` is one."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def status(self, name: str) -> dict[str, Any]: ...


class Poller:
    """The newest overview and the history behind it."""

    def __init__(
        self,
        settings: Settings,
        read_table: ReadTable,
        children: Children | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.latest: Plain | None = None
        self.history = History(CAPACITY)
        self._settings = settings
        self._read_table = read_table
        self._children = children
        self._clock = clock
        self._rates = Rates()
        self._problem = ""

    async def run(self, stop: asyncio.Event, every_s: float = EVERY_S) -> None:
        """Poll until `stop` is set; a failed poll is logged, and the page sees that its data grows old."""
        async with aiohttp.ClientSession() as session:
            while not stop.is_set():
                try:
                    await self.poll(session)
                    self._problem = ""
                except Exception as error:  # noqa: BLE001 - the page must outlive whatever a role or file surprises it with
                    self._report(error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(every_s):
                        await stop.wait()

    def _report(self, error: Exception) -> None:
        """Log a problem once, not every two seconds."""
        if repr(error) != self._problem:
            log.warning("poll failed", exc_info=error)
        self._problem = repr(error)

    async def poll(self, session: aiohttp.ClientSession) -> None:
        """Ask everybody once."""
        answers, table = await asyncio.gather(
            ask_all(self._settings, session), asyncio.to_thread(self._read_table, self._settings)
        )
        now = self._clock()
        latest = overview(now, answers, table, self._supervised())
        rates = self._rates.update(now, latest["deliveries"]["parts"])
        self.history.add(now, sample(latest) | {f"delivered.{name}": rate for name, rate in rates.items()})
        self.latest = latest

    def _supervised(self) -> Mapping[str, Plain]:
        children = self._children
        return {} if children is None else {name: children.status(name) for name in children.names}
