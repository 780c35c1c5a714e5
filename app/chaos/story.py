"""What the chaos run sends: a simulated shop whose producers repeat, delay, misplace and break their records.

The same seed tells the same story, record for record, so the checks can hear it again instead of remembering it.
What is valid, and whose it is, is known here by construction and not by asking the decoder.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Final, NamedTuple

import msgspec

from models.events.decode import ANONYMOUS_PREFIX
from models.simulator.events import simulate
from models.simulator.settings import SimulatorSettings
from streams.worker.intake import partition_of

_EVENTS_PER_CUSTOMER, _DAYS = 66, 60
_DAY_S = 86_400
#: Shares of all events.
_REPEATED, _DELAYED, _MISPLACED, _BROKEN, _ANONYMOUS = 0.03, 0.05, 0.06, 0.002, 0.01
_LONGEST_DELAY_S, _LONGEST_REPEAT_S = 6 * 3600.0, 2 * 3600.0
#: What the label is about stays in order: that an event later than its horizon changes no label is no defect.
_DECIDING: Final = b"Subscription Cancelled"


class Record(NamedTuple):
    """One record as a producer sends it: where to, and what is true of it.

    `message_id` is None for a record that is not valid, `repeat` says that its message was sent before.
    """

    topic: str
    partition: int
    key: bytes | None
    raw: bytes
    customer_id: str
    message_id: str | None
    repeat: bool

    @property
    def valid(self) -> bool:
        """Whether the record holds an event; the others belong into quarantine."""
        return self.message_id is not None


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """The records of one seed. `events` counts valid events, without repeats; `partitions` is the topics'."""

    seed: int
    events: int
    partitions: int

    def records(self) -> Iterator[Record]:
        """All records in the order in which producers send them."""
        return _arriving(self, Random(f"producers {self.seed}"))


def _simulated(story: Story) -> SimulatorSettings:
    return SimulatorSettings(
        customers=max(1, story.events // _EVENTS_PER_CUSTOMER), days=_DAYS, seed=story.seed, initial_share=0.6,
        duplicate_rate=0.0, late_rate=0.0, hostile_rate=0.0,
    )  # fmt: skip


def _arriving(story: Story, dice: Random) -> Iterator[Record]:
    """The records by the time of their arrival; nothing is later than the longest delays."""
    waiting: list[tuple[float, int, Record]] = []
    number = 0
    for topic, key, time, raw in islice(simulate(_simulated(story)), story.events):
        for arrival, record in _produced(story, dice, topic, key, time, raw):
            heapq.heappush(waiting, (arrival, number, record))
            number += 1
        # Whatever is still to come arrives no earlier than this, but for what the simulator's own network does.
        while waiting and waiting[0][0] < time - _DAY_S:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def _produced(
    story: Story, dice: Random, topic: str, key: str, time: float, raw: bytes
) -> Iterator[tuple[float, Record]]:
    """An event, maybe repeated, and maybe a broken record beside it; each with the time of its arrival."""
    deciding = _DECIDING in raw
    customer_id = key
    if dice.random() < _ANONYMOUS and not deciding:
        raw, customer_id = _anonymous(raw)
    delay_s = dice.uniform(60.0, _LONGEST_DELAY_S) if dice.random() < _DELAYED and not deciding else 0.0
    message_id = _field(raw, b"messageId")
    place = _place(story, dice, customer_id, misplaced=dice.random() < _MISPLACED and not deciding)
    yield time + delay_s, Record(topic, *place, raw, customer_id, message_id, repeat=False)
    if dice.random() < _REPEATED:
        place = _place(story, dice, customer_id, misplaced=dice.random() < _MISPLACED)
        later_s = dice.uniform(1.0, _LONGEST_REPEAT_S)
        yield time + delay_s + later_s, Record(topic, *place, raw, customer_id, message_id, repeat=True)
    if dice.random() < _BROKEN:
        place = _place(story, dice, customer_id, misplaced=False)
        yield time, Record(topic, *place, _broken(dice, raw), customer_id, None, repeat=False)


def _place(story: Story, dice: Random, customer_id: str, *, misplaced: bool) -> tuple[int, bytes | None]:
    """Partition and key: Kafka's default, or what producers without a key, or with other partitioners, choose."""
    key = customer_id.encode()
    if not misplaced:
        return partition_of(customer_id, story.partitions), key
    way = dice.randrange(3)
    if way == 0:
        return dice.randrange(story.partitions), None
    if way == 1:
        return zlib.crc32(key) % story.partitions, key
    other = f"session-{dice.randrange(1_000_000)}"
    return partition_of(other, story.partitions), other.encode()


def _anonymous(raw: bytes) -> tuple[bytes, str]:
    """The event of somebody who is not logged in, and the customer id that this makes."""
    user = _field(raw, b"userId")
    return raw.replace(b'"userId":"%s",' % user.encode(), b"", 1), ANONYMOUS_PREFIX + _field(raw, b"anonymousId")


def _field(raw: bytes, name: bytes) -> str:
    """A string of the simulator's envelopes, which need no unescaping."""
    begin = raw.index(b'"%s":"' % name) + len(name) + 4
    return raw[begin : raw.index(b'"', begin)].decode()


def _broken(dice: Random, raw: bytes) -> bytes:
    """A record that no decoder may take for an event; each is different, as its bytes are its name."""
    token = b"%012x" % dice.getrandbits(48)
    return dice.choice(
        (
            raw[: len(raw) // 2] + token,
            raw.replace(b'"messageId":"', b'"messageId":"\xff' + token, 1),
            raw.replace(b'"type":"', b'"type":"%s-' % token, 1),
            b'["%s",%s]' % (token, raw),
            b'{"type":"track","event":"Product Viewed","nobody":"%s"}' % token,
            b"null" + token,
        )
    )
