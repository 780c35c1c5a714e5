"""How far the run is, as the broker tells it: committed offsets, members of the groups, and what is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.errors import AppError
from models.settings import Settings
from streams.kafka import group_id
from streams.outside import BrokerAway, GroupLook, Place, ends_of, look_at_group
from streams.topics import EXAMPLES, REROUTED, SOURCES

_LOOK_EVERY_S = 0.25
_CALM_LOOKS = 6


class Watch:
    """Looks at the workers' group again and again. `processed` counts committed records of the source topics."""

    def __init__(self, settings: Settings) -> None:
        self.processed = 0
        self.rebalances = 0
        self._broker = settings.broker
        self._workers = group_id(settings)
        self._trainer = group_id(settings, "trainer")
        self._members: frozenset[str] = frozenset()
        self._moved = asyncio.Condition()

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Watch]:
        """Look for the length of the block."""
        task = asyncio.create_task(self._look_on(), name="watch group")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def until(self, processed: int, within_s: float) -> bool:
        """Wait until so many records are processed; False if the time is up before."""
        try:
            async with asyncio.timeout(within_s), self._moved:
                await self._moved.wait_for(lambda: self.processed >= processed)
        except TimeoutError:
            return False
        return True

    async def drained(self, stalled_after_s: float) -> None:
        """Wait until workers, then the trainer, have committed everything.

        Raises
        ------
        AppError
            Nothing moved for `stalled_after_s` seconds; the message says what is left.
        """
        partitions = range(self._broker.partitions)
        sources = [(topic, number) for topic in (*SOURCES, REROUTED) for number in partitions]
        await self._committed("workers", self._workers, sources, stalled_after_s)
        await self._committed("trainer", self._trainer, [(EXAMPLES, 0)], stalled_after_s)

    async def _committed(self, who: str, group: str, places: list[Place], stalled_after_s: float) -> None:
        loop = asyncio.get_running_loop()
        before, moved, calm = dict[Place, int](), loop.time(), 0
        while calm < _CALM_LOOKS:
            left = await self._left(group, places)
            calm = calm + 1 if left == {} else 0
            if left is not None and left != before:
                before, moved = left, loop.time()
            if loop.time() - moved > stalled_after_s and not calm:
                what = ", ".join(f"{topic}/{number} {count:,}" for (topic, number), count in sorted(before.items()))
                raise AppError(f"nothing moved for {stalled_after_s:.0f} s; the {who} still have to commit: {what}")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _left(self, group: str, places: list[Place]) -> dict[Place, int] | None:
        """Records not committed; None while the broker cannot be asked."""
        try:
            ends = await ends_of(self._broker, places)
            look = await look_at_group(self._broker, group)
        except BrokerAway:
            return None
        return {place: end - done for place, end in ends.items() if end > (done := look.committed.get(place, 0))}

    async def _look_on(self) -> None:
        while True:
            with suppress(BrokerAway):
                await self._take(await look_at_group(self._broker, self._workers))
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _take(self, look: GroupLook) -> None:
        if look.stable and look.members != self._members:
            self.rebalances += 1
            self._members = look.members
        processed = sum(offset for (topic, _), offset in look.committed.items() if topic in SOURCES)
        async with self._moved:
            self.processed = max(self.processed, processed)
            self._moved.notify_all()
