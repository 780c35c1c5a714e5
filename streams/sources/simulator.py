"""The simulated shop of `models.simulator` as a source: `simulator` or `simulator:customers=500,days=120,seed=3`."""

from __future__ import annotations

from itertools import starmap
from typing import Any

import msgspec

from models.simulator.events import simulate
from models.simulator.settings import Incident, InvalidSimulatorSettings, SimulatorSettings
from streams.sources.event import SourceError, SourceEvent
from streams.sources.registry import NamedSource, Opened, pairs

_DAY_S = 86_400
_KEYS = ("customers", "days", "seed", "start", "incident")


def open_simulator(argument: str) -> Opened:
    """The events of a made-up shop in the order of their arrival.

    Raises
    ------
    SourceError
        The argument names another setting than `customers`, `days`, `seed`, `start` and `incident`, or one outside its
        limits.
    """
    given: dict[str, Any] = dict(pairs("simulator", argument, _KEYS))
    try:
        if "incident" in given:
            given["incident"] = Incident.parse(given["incident"])
        settings = msgspec.convert(given, SimulatorSettings, strict=False)
        settings.check()
    except (msgspec.ValidationError, InvalidSimulatorSettings) as error:
        raise SourceError(f"cannot open source 'simulator:{argument}': {error}") from None
    begin, length = settings.start_time, settings.days * _DAY_S
    return Opened(starmap(SourceEvent, simulate(settings)), lambda _, at: min(1.0, max(0.0, (at - begin) / length)))


SOURCE = NamedSource(
    "simulator",
    "simulator[:customers=N,days=N,seed=N,start=DATE,incident=KIND:DAY:DAYS]",
    "a made-up subscription shop whose customers leave for known causes",
    open_simulator,
)
