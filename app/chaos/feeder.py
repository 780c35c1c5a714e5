"""Sends the story, never far ahead of what is processed, so that every fault hits events on their way."""

from __future__ import annotations

from collections import defaultdict

from app.chaos.story import Record, Story
from app.chaos.watch import Watch
from app.errors import AppError
from models.settings import BrokerSettings
from streams.chunks import Outgoing
from streams.outside import BrokerAway, DurableSender, Place

#: Records per round; and how long nothing may be processed before the run is given up, in seconds.
_ROUND, _STALLED_AFTER_S = 500, 180.0
#: Records sent and not yet processed, as a share of all. A rerouted event can come so much later than its repeat, and
#: no customer may have more events meanwhile than messages are remembered (worker.duplicate_window).
_MOST_AHEAD = 0.075


class Feeder:
    """Sends one story. `sent` counts acknowledged records, `resent` those sent again after the broker was away."""

    def __init__(self, story: Story, broker: BrokerSettings, watch: Watch) -> None:
        self.sent = 0
        self.resent = 0
        self._story = story
        self._ahead = max(_ROUND, int(_MOST_AHEAD * story.events))
        self._broker = broker
        self._watch = watch

    async def run(self) -> None:
        """Send everything. Raises AppError if the broker takes nothing more, or nothing more is processed."""
        try:
            async with DurableSender(self._broker, _STALLED_AFTER_S) as sender:
                batch: list[Record] = []
                for record in self._story.records():
                    batch.append(record)
                    if len(batch) == _ROUND:
                        await self._send(sender, batch)
                        batch = []
                await self._send(sender, batch)
        except BrokerAway as error:
            raise AppError(str(error)) from None

    async def _send(self, sender: DurableSender, batch: list[Record]) -> None:
        if not await self._watch.until(self.sent - self._ahead, _STALLED_AFTER_S):
            raise AppError(f"{self._watch.processed:,} of {self.sent:,} records processed, and no more for "
                           f"{_STALLED_AFTER_S:.0f} s")  # fmt: skip
        places: defaultdict[Place, list[Outgoing]] = defaultdict(list)
        for record in batch:
            places[record.topic, record.partition].append(Outgoing(record.key, record.raw))
        await sender.send(dict(places))
        self.sent += len(batch)
        self.resent = sender.resent
