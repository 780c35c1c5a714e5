"""Being the one who writes a partition's states and scores, and noticing when someone else did.

Kafka lets an evicted member go on writing: it may have been paused with a batch at hand. The owner knows from the
acknowledgements where its own records lie. Offsets in between belong to others (or to a batch of its own that was
retried), and whoever's records are found there, the owner's newest state and score are written again behind them: so
the last record of a customer is always the owner's. A marker with an epoch that is not below its own tells an owner
that it is the evicted one.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from models.settings import BrokerSettings
from models.state import peek
from streams.chunks import BatchProducer, Outgoing
from streams.topics import CHANGELOG, SCORES, topic_name
from streams.worker.changelog import read_range
from streams.worker.markers import OWNER_KEY, Marker, is_marker, marker_of


class OwnershipLost(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """Another member has claimed the partition; what this one holds is no longer the truth."""


class Lane:
    """One topic partition that the owner alone should write. `expected` is the next offset if it does."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.gaps: deque[tuple[int, int]] = deque()

    def wrote(self, first: int, count: int) -> None:
        """Note an acknowledgement of `count` records from offset `first` on. Call it in the order of sending."""
        self.ends_at(first)
        self.expected = max(self.expected, first + count)

    def ends_at(self, offset: int) -> None:
        """Note that records below this offset exist."""
        if offset > self.expected:
            self.gaps.append((self.expected, offset - 1))
            self.expected = offset


class Ownership:
    """The claim of one assignment to one partition, from its claim marker on.

    `on_foreign` is told the logical topic and how many records of others were found.
    """

    def __init__(
        self, broker: BrokerSettings, number: int, producer: BatchProducer, on_foreign: Callable[[str, int], None]
    ) -> None:
        self.number = number
        self.epoch = 0
        self.member = uuid.uuid4().hex
        self.lanes = {CHANGELOG: Lane(0), SCORES: Lane(0)}
        self._broker = broker
        self._producer = producer
        self._on_foreign = on_foreign

    def begin(self, expected: dict[str, int]) -> None:
        """Start to account for offsets: the next one per logical topic."""
        self.lanes = {logical: Lane(offset) for logical, offset in expected.items()}

    async def mark(self, clock: float, key: bytes = OWNER_KEY) -> tuple[Marker, int]:
        """Write a marker and return it with its offset. Nothing of this partition may be in flight.

        `clock` is the partition's, epoch seconds.
        """
        marker = Marker(epoch=self.epoch, member=self.member, scores=self.lanes[SCORES].expected, clock=clock)
        topic = topic_name(self._broker, CHANGELOG)
        record = Outgoing(key, marker.to_json())
        [(future, count)] = await self._producer.send_counted(topic, self.number, [record])
        offset: int = (await future).offset
        self.lanes[CHANGELOG].wrote(offset, count)
        return marker, offset

    @property
    def doubted(self) -> bool:
        """Whether there are offsets that others may have written."""
        return any(lane.gaps for lane in self.lanes.values())

    async def foreign(self) -> set[str]:
        """Read the gaps and return the customers whose state or score must be told again.

        Raises
        ------
        OwnershipLost
            A record of a newer owner was found.
        aiokafka.errors.KafkaError
            The broker cannot be read now; the gaps stay for the next call.
        """
        found: set[str] = set()
        for logical, lane in self.lanes.items():
            while lane.gaps:
                customers = await self._read_gap(logical, *lane.gaps[0])
                lane.gaps.popleft()
                if customers:
                    self._on_foreign(logical, len(customers))
                    found.update(customers)
        return found

    async def _read_gap(self, logical: str, first: int, last: int) -> list[str]:
        """The customers of the records of others between two offsets."""
        customers: list[str] = []
        async for records in read_range(self._broker, topic_name(self._broker, logical), self.number, first, last):
            foreign = (record for record in records if self._is_foreign(logical, record))
            customers += [record.key.decode("utf-8", "replace") for record in foreign]
        return customers

    def _is_foreign(self, logical: str, record: Any) -> bool:
        """Whether a record in a gap touches a customer of ours."""
        if is_marker(record.key):
            marker = marker_of(record) if record.key else None
            if marker is not None and marker.member != self.member and marker.epoch >= self.epoch:
                self._lost(marker.epoch, record.offset)
            return False
        if logical == SCORES or record.value is None:
            return True
        epoch = peek(record.value).epoch
        if epoch > self.epoch:
            self._lost(epoch, record.offset)
        return epoch < self.epoch

    def _lost(self, epoch: int, offset: int) -> None:
        msg = (
            f"lost partition {self.number} to a member with epoch {epoch} at offset {offset} of {CHANGELOG}; "
            f"allowed: epochs below {self.epoch}, so this worker must join again and read the state anew"
        )
        raise OwnershipLost(msg)
