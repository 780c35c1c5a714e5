"""The sync role: one lane per configured destination."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Mapping

from models.settings import Settings
from streams.destinations import configured
from streams.sync.lane import PENDING_LIMIT, Lane
from streams.sync.rates import Budget
from streams.sync.report import Metrics
from streams.telemetry import Telemetry

_LOG = logging.getLogger(__name__)
_REPORT_EVERY_S = 0.5
NO_DESTINATION = "no destination configured"


class Sync:
    """Carries scores to every configured destination. Without one it idles in good health.

    Secrets are looked up in `environ`, by default that of the process.

    Raises
    ------
    InvalidDestination
        At construction: the settings of a destination cannot work.
    """

    name = "sync"

    def __init__(
        self, settings: Settings, telemetry: Telemetry, *, pending_limit: int = PENDING_LIMIT,
        environ: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._telemetry = telemetry
        self._turns: dict[str, int] = {}
        metrics = Metrics(telemetry)
        budgets: dict[str, Budget] = {}
        self._lanes = {}
        for name, destination in configured(settings, os.environ if environ is None else environ).items():
            limits = destination.limits
            # Two destinations with one key share what the vendor allows the key.
            budget = budgets.setdefault(destination.credential, Budget(limits.windows, limits.concurrency))
            self._lanes[name] = Lane(destination, settings, metrics, budget, pending_limit=pending_limit)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then finish what is under way. Raises what a lane cannot recover from."""
        if not self._lanes:
            _LOG.info("no destination configured, nothing is consumed")
        lanes_done = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                reporting = group.create_task(self._report_until(lanes_done))
                lanes = [group.create_task(lane.run(stop), name=name) for name, lane in self._lanes.items()]
                await asyncio.gather(stop.wait(), *lanes)
                lanes_done.set()
                await reporting
        except* Exception as errors:  # noqa: BLE001 - raised again, unwrapped
            # One lane's failure ends the role; its own error says more than the group around it.
            raise _first(errors) from None

    async def _report_until(self, done: asyncio.Event) -> None:
        while not done.is_set():
            self._report()
            try:
                async with asyncio.timeout(_REPORT_EVERY_S):
                    await done.wait()
            except TimeoutError:
                pass
        self._report()

    def _report(self) -> None:
        states = {name: lane.state() for name, lane in self._lanes.items()}
        deliveries: Counter[str] = Counter()
        for state in states.values():
            deliveries.update(state["deliveries"])
        pending = sum(state["pending"] for state in states.values())
        self._telemetry.status |= {
            "deliveries": dict(deliveries),
            "pending": pending,
            "lag": {name: state["lag"] for name, state in states.items()},
            "state": "delivering" if states else NO_DESTINATION,
            "destinations": states,
        }
        turns = {name: lane.turns for name, lane in self._lanes.items()}
        if all(turns[name] != self._turns.get(name, 0) for name in turns):
            self._turns = turns
            self._telemetry.progress(busy=pending > 0)


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else RuntimeError(repr(error))
