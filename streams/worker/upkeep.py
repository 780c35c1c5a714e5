"""What a partition does now and then, between turns: look for others' records, evict, mark, keep a snapshot.

Why the snapshot is right. It is taken in the partition's own loop while nothing is in flight, so every state in memory
is acknowledged on the changelog, with its scores and examples before it. Then the marker is written; until it is
acknowledged and the copy is made, no turn runs. So the copy holds exactly what stands in the log below the marker:

- nothing of ours is missing in it or ahead of the log, because there is no turn in between;
- nothing of others counts: offsets without a gap since the claim show that there is no record of theirs, and where
  there was a gap it was read, and told again in a turn before - as long as that is open, no snapshot is taken.

The file is written later, by a thread, from the copy. Whoever dies meanwhile leaves the old file, whose marker is
still in the log. Customers in the attic were committed there before the copy was made, see `attic`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from models.engine import Engine
from models.settings import Settings
from streams.topics import CHANGELOG, topic_name
from streams.worker.attic import Attic
from streams.worker.keeper import Keeper
from streams.worker.local import SnapshotHeader
from streams.worker.markers import kept_key
from streams.worker.ownership import Ownership
from streams.worker.recovery import bring_back
from streams.worker.signals import WorkerSignals

log = logging.getLogger(__name__)

Ends = Callable[[list[TopicPartition]], Awaitable[dict[TopicPartition, int]]]

#: Seconds between two looks and between two plain markers, and customers evicted per look.
_LOOK_EVERY_S, _MARK_EVERY_S, _EVICT_AT_ONCE = 5.0, 30.0, 5000


class Upkeep:
    """See the module's docstring. `ends` asks the broker for the ends of logs, `clock` gives steady seconds."""

    def __init__(
        self, settings: Settings, engine: Engine, ownership: Ownership, keeper: Keeper, attic: Attic | None,
        signals: WorkerSignals, ends: Ends, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._engine = engine
        self._ownership = ownership
        self._keeper = keeper
        self._attic = attic
        self._signals = signals
        self._ends = ends
        self._clock = clock
        self._idle_s = settings.worker.evict_after_days * 86_400.0
        self._keep_every_s = settings.worker.snapshot_every_s if keeper.keeps_snapshots and attic else math.inf
        self._look_every_s = min(_LOOK_EVERY_S, self._keep_every_s)
        self._look_at = clock() + self._look_every_s
        self._mark_at = clock() + _MARK_EVERY_S
        self._keep_at = clock() + self._keep_every_s
        #: Where the log ended behind the last marker and behind the last snapshot's: nothing new, nothing to do.
        self._marked = self._kept = -1

    @property
    def due(self) -> bool:
        """Whether `visit` should be called at the next moment of rest."""
        return self._ownership.doubted or self._clock() >= self._look_at

    async def visit(self, now: float) -> bool:
        """Call with nothing in flight. True if customers are to be told again by a flush.

        Raises OwnershipLost or AtticUnusable. `now` is the partition's clock in epoch seconds.
        """
        self._look_at = self._clock() + self._look_every_s
        if await self._told_again():
            return True
        if self._ownership.doubted:
            # The broker could not be read: a marker now would vouch for what nobody has seen.
            return False
        await self._evict(now)
        if self._clock() >= self._keep_at and not self._keeper.busy:
            await self.keep(now)
        elif self._clock() >= self._mark_at:
            await self._mark(now)
        return False

    async def keep(self, now: float) -> None:
        """Take a snapshot if those are kept, else only mark. Call with nothing in flight and nothing to be told."""
        attic, lane = self._attic, self._ownership.lanes[CHANGELOG]
        if attic is None or not self._keeper.keeps_snapshots:
            await self._mark(now)
            return
        if self._kept != lane.expected:
            marker, offset = await self._ownership.mark(now, kept_key(attic.id))
            if self._ownership.doubted:
                # Someone wrote in between: the next visit reads what, and this is tried again after it.
                return
            self._marked = self._kept = offset + 1
            header = SnapshotHeader(
                layout="", topic=topic_name(self._settings.broker, CHANGELOG), partition=self._ownership.number,
                marker=marker.uuid, offset=offset, epoch=marker.epoch, scores=marker.scores,
                attic=attic.id, attic_writes=attic.writes, written_at=time.time(),
            )  # fmt: skip
            self._keeper.write(header, self._engine.dump())
        self._keep_at = self._clock() + self._keep_every_s

    async def _mark(self, now: float) -> None:
        if self._marked != self._ownership.lanes[CHANGELOG].expected:
            _, offset = await self._ownership.mark(now)
            self._marked = offset + 1
        self._mark_at = self._clock() + _MARK_EVERY_S

    async def _told_again(self) -> bool:
        """Find what others wrote. A broker that does not answer is asked again later."""
        number, lanes = self._ownership.number, self._ownership.lanes
        places = {topic: TopicPartition(topic_name(self._settings.broker, topic), number) for topic in lanes}
        try:
            ends = await self._ends(list(places.values()))
            for topic, lane in lanes.items():
                lane.ends_at(ends[places[topic]])
            found = await self._ownership.foreign()
        except KafkaError as exc:
            log.warning("cannot look for records of others in partition %d: %r", number, exc)
            return False
        if not found:
            return False
        log.warning("partition %d: telling %d customers again that another worker wrote", number, len(found))
        bring_back(self._engine, self._attic, found)
        self._engine.retell(found)
        return True

    async def _evict(self, now: float) -> None:
        if self._attic is None or not self._idle_s:
            return
        evicted = self._engine.evict(now, self._idle_s, _EVICT_AT_ONCE)
        if evicted:
            await asyncio.to_thread(self._attic.put, evicted)
            self._signals.evicted(len(evicted))
