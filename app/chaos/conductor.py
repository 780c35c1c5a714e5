"""Lets the faults of a plan happen, one after the other, without waiting for the harm to be mended in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from app.chaos import plan as kinds
from app.chaos.fleet import Fleet
from app.chaos.plan import Fault
from app.chaos.watch import Watch

_MOST_PATIENCE_S = 30.0
_BEGIN = "worker-1"


class Broker(Protocol):
    """A broker that is ours to kill; both calls block."""

    def kill(self) -> None:
        """End it at once."""

    def start(self) -> None:
        """Start it again on the same data and port, and wait until it answers."""


class Conductor:
    """Brings the faults to the fleet and, where it is ours, to the broker. `tell` gets a line for each."""

    def __init__(self, fleet: Fleet, broker: Broker | None, watch: Watch, tell: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._broker = broker
        self._broker_busy = asyncio.Lock()
        self._watch = watch
        self._tell = tell

    async def begin(self) -> None:
        """Start the trainers and the first worker."""
        for name in kinds.TRAINERS:
            await self._fleet.start(name)
        await self._fleet.start(_BEGIN)

    async def run(self, faults: tuple[Fault, ...], total: int) -> None:
        """Let all faults happen. `total` records come in all: when they are processed, no gap is waited for."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await self._gap(fault, total)
                self._tell(f"fault {fault}")
                group.create_task(self._happen(fault), name=str(fault))

    async def _gap(self, fault: Fault, total: int) -> None:
        await asyncio.sleep(fault.gap_s)
        goal = min(self._watch.processed + fault.gap_events, total)
        if fault.gap_events and not await self._watch.until(goal, _MOST_PATIENCE_S):
            self._tell(f"fault {fault.number} comes after {_MOST_PATIENCE_S:.0f} s, before its events are processed")

    async def _happen(self, fault: Fault) -> None:
        fleet, name = self._fleet, fault.target
        match fault.kind:
            case kinds.KILL | kinds.KILL_TRAINER:
                await fleet.kill(name, fault.hold_s)
            case kinds.PAUSE | kinds.PAUSE_TRAINER:
                await fleet.pause(name, fault.hold_s)
            case kinds.TERMINATE:
                await fleet.terminate(name)
            case kinds.ADD:
                await fleet.start(name)
            case kinds.REMOVE:
                await fleet.remove(name)
            case kinds.KILL_BROKER if self._broker is not None:
                await self._kill_broker(self._broker, fault.hold_s)
            case _:
                raise ValueError(f"cannot let fault {fault.kind!r} happen to {name!r}, allowed: those of the plan")

    async def _kill_broker(self, broker: Broker, down_s: float) -> None:
        async with self._broker_busy:
            await asyncio.to_thread(broker.kill)
            await asyncio.sleep(down_s)
            await asyncio.to_thread(broker.start)
