"""The simulated world told in public event JSON, in the order in which the events arrive."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from models.simulator.arrival import Mail, SimulatedEvent
from models.simulator.attendance import DAY_MS, Attendance, midnight
from models.simulator.service import Service
from models.simulator.settings import SimulatorSettings
from models.simulator.visits import Visits
from models.simulator.world import World


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
    mail = Mail(world.customer_ids, settings)
    attendance = Attendance(world)
    visits = Visits(mail, Random(f"visits {settings.seed}"))
    service = Service(mail, world, visits, Random(f"service {settings.seed}"))
    service.introduce()
    for day in world.days():
        begin = midnight(settings, day.number)
        service.tell(day, begin)
        for customer, at, until in zip(*(column.tolist() for column in attendance.of(day)), strict=True):
            visits.tell(customer, at, until)
        yield from mail.deliver(begin + DAY_MS)
    yield from mail.deliver(None)
