"""Small roles for tests of the role process; they only count and wait."""

from __future__ import annotations

import asyncio


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
