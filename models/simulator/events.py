"""The simulated world told in public event JSON, in the order in which the events arrive."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np

from models.simulator.arrival import Mail, SimulatedEvent
from models.simulator.dynamics import VISITS
from models.simulator.service import Service
from models.simulator.settings import SimulatorSettings
from models.simulator.visits import Visits
from models.simulator.world import Day, World

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
#: Visits of a weekday over the mean, Monday first.
_WEEK = np.array([0.95, 0.9, 0.95, 1.0, 1.0, 1.1, 1.1])
_EPOCH_WEEKDAY = 3


def simulate(settings: SimulatorSettings) -> Iterator[SimulatedEvent]:
    """All events of one simulated shop.

    They come in the order of their arrival, which is the order of their times but for a small share that is late.
    Memory holds one day at a time. Who cancels, and how likely it was, is `models.simulator.truth.SimulatedTruth` of
    the same settings.

    Raises
    ------
    InvalidSimulatorSettings
        Before the first event.
    """
    return _events(World(settings))


def _events(world: World) -> Iterator[SimulatedEvent]:
    settings = world.settings
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([settings.seed, 1])))
    mail = Mail(world.customer_ids, settings)
    visits = Visits(mail, Random(f"visits {settings.seed}"))
    service = Service(mail, world, visits, Random(f"service {settings.seed}"))
    service.introduce()
    for day in world.days():
        begin = settings.start_time * 1000 + day.number * _DAY_MS
        service.tell(day, begin)
        _visit(day, begin, world, visits, rng)
        yield from mail.deliver(begin + _DAY_MS)
    yield from mail.deliver(None)


def _visit(day: Day, begin: int, world: World, visits: Visits, rng: np.random.Generator) -> None:
    """Let customers visit: as often as their state says, after joining and before leaving."""
    who = np.flatnonzero(day.subscribed)
    weekday = _WEEK[(begin // _DAY_MS + _EPOCH_WEEKDAY) % 7]
    rate = np.exp(world.visit_rate[who] + day.state[VISITS, who]) * weekday
    visitor = np.repeat(who, rng.poisson(rate))
    start = begin + ((6 + 17 * rng.beta(2.2, 1.6, size=visitor.size)) * _HOUR_MS).astype(np.int64)
    opens, closes = _presence(day, begin, world.settings.customers)
    order = np.argsort(start, kind="stable")
    for customer, at in zip(visitor[order].tolist(), start[order].tolist(), strict=True):
        if at > opens[customer]:
            visits.tell(customer, at, closes[customer])


def _presence(day: Day, begin: int, customers: int) -> tuple[list[int], list[int]]:
    """From when to when on this day each customer is subscribed, in epoch milliseconds."""
    opens = np.full(customers, begin)
    closes = np.full(customers, begin + _DAY_MS)
    for moment in (day.joined, day.returned):
        opens[moment.who] = begin + moment.second * 1000
    closes[day.left.who] = begin + day.left.second * 1000
    return opens.tolist(), closes.tolist()
