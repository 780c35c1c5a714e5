"""When customers visit: as often as their state says, after joining and before leaving."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from models.simulator.dynamics import VISITS
from models.simulator.luck import Floats, Ints
from models.simulator.settings import SimulatorSettings
from models.simulator.world import Day, World

DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
#: Visits of a weekday over the mean, Monday first.
_WEEK: Final = np.array([0.95, 0.9, 0.95, 1.0, 1.0, 1.1, 1.1])
_EPOCH_WEEKDAY: Final = 3


class Visitors(NamedTuple):
    """The visits of a day in the order of their beginning: whose, and from when until when they may last (ms).

    A visit that would begin at its end or later does not take place.
    """

    who: Ints
    begins: Ints
    until: Ints


class Attendance:
    """Draws the visits of each day. Ask once per day, in their order; the same settings give the same visits."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([world.settings.seed, 1])))

    def of(self, day: Day) -> Visitors:
        """The visits of a day, times in epoch milliseconds."""
        begin, rng = midnight(self._world.settings, day.number), self._rng
        who = np.flatnonzero(day.subscribed)
        rate = np.exp(self._world.visit_rate[who] + day.state[VISITS, who]) * weekday(begin)
        visitor = np.repeat(who, rng.poisson(rate))
        start = begin + ((6 + 17 * rng.beta(2.2, 1.6, size=visitor.size)) * _HOUR_MS).astype(np.int64)
        opens, closes = _presence(day, begin, self._world.settings.customers)
        order = np.argsort(start, kind="stable")
        order = order[start[order] > opens[visitor[order]]]
        return Visitors(visitor[order], start[order], closes[visitor[order]])


def midnight(settings: SimulatorSettings, day: int) -> int:
    """When a day begins, in epoch milliseconds."""
    return settings.start_time * 1000 + day * DAY_MS


def weekday(begin: int) -> np.float64:
    """How often customers visit on the day that begins then (epoch milliseconds), over the mean."""
    factor: np.float64 = _WEEK[(begin // DAY_MS + _EPOCH_WEEKDAY) % 7]
    return factor


def _presence(day: Day, begin: int, customers: int) -> tuple[Ints, Ints]:
    """From when to when on this day each customer is subscribed, in epoch milliseconds."""
    opens, closes = np.full(customers, begin), np.full(customers, begin + DAY_MS)
    for moment in (day.joined, day.returned):
        opens[moment.who] = begin + moment.second * 1000
    closes[day.left.who] = begin + day.left.second * 1000
    return opens, closes


def exposure(day: Day, who: Ints) -> Floats:
    """1 for customers who could visit the whole day, 0 for those who joined on it."""
    told = np.ones(int(day.subscribed.size), np.float32)
    for moment in (day.joined, day.returned):
        told[moment.who] = 0.0
    return told[who]
