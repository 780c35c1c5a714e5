"""Small roles for tests of the role process; they only count and wait."""

from __future__ import annotations

import asyncio
import re
import threading


class Quiet:
    """Runs until it is asked to stop, and says that it drained."""

    def __init__(self, settings, telemetry):
        self._telemetry = telemetry

    async def run(self, stop):
        self._telemetry.progress()
        await stop.wait()
        print("drained", flush=True)

    def customer(self, customer_id):
        return {"customer_id": customer_id}


class Broken(Quiet):
    """Fails at once."""

    async def run(self, stop):
        raise RuntimeError("cannot go on\nsecond line")


class Short(Quiet):
    """Returns without being asked to."""

    async def run(self, stop):
        return


class Stuck(Quiet):
    """Ignores the wish to stop."""

    async def run(self, stop):
        self._telemetry.progress()
        await stop.wait()
        print("stuck", flush=True)
        await asyncio.Event().wait()


class Deadlocked(Quiet):
    """Blocks its event loop on a lock that nobody gives back."""

    async def run(self, stop):
        self._telemetry.progress()
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()


class Spinning(Quiet):
    """Blocks its event loop with a computation that never ends."""

    async def run(self, stop):
        self._telemetry.progress()
        while True:
            pass


class Seized(Quiet):
    """Holds the interpreter itself: a regular expression that backtracks for ages."""

    async def run(self, stop):
        self._telemetry.progress()
        re.match(r"(a*)*b", "a" * 60)


class Waiting(Quiet):
    """Lives on, its loop free, and never gets its work done."""

    async def run(self, stop):
        self._telemetry.progress(busy=True)
        await asyncio.create_task(self.forever(), name="a task that waits")

    async def forever(self):
        await asyncio.Event().wait()


class Idle(Quiet):
    """Has nothing to do, and says so regularly."""

    async def run(self, stop):
        while not stop.is_set():
            self._telemetry.progress()
            await asyncio.sleep(0.4)
