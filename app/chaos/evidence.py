"""What the topics hold when the run is over, read by a client of its own.

The changelog is read by its rule for readers, written down here once more and not taken from the worker: a record
with an epoch below the greatest that stands before it in the log comes from an evicted writer and does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import numpy as np

from app.chaos.expected import digest
from models import table as t
from models.churn.control import is_control
from models.churn.record import label_key
from models.features import FEATURE_NAMES
from models.labels import is_open
from models.pending import waiting
from models.settings import Settings
from models.state import peek
from models.table import Table
from models.telling import BANDS
from streams.topics import CHANGELOG, EXAMPLES, MODEL, QUARANTINE, REROUTED, SCORES, SOURCES, topic_name
from streams.worker.changelog import read_to_end

#: Logical topic, partition, offset.
Origin = tuple[str, int, int]
_TOTAL = FEATURE_NAMES.index("events_total")


class Told(msgspec.Struct, frozen=True):
    """A customer's score, as a record on `scores` tells it or as the state remembers it."""

    revision: int
    probability: float
    band: str


class State(msgspec.Struct, frozen=True):
    """What the final state of a customer says; `pending` are the times of predictions that wait for their truth."""

    applied: int
    features: list[float]
    told: Told
    snapshots: int
    pending: list[float]


class SeenExample(msgspec.Struct, frozen=True):
    """A record on `examples`; `as_of` in epoch seconds."""

    example_id: str
    customer_id: str
    as_of: float
    label: int


class Trained(msgspec.Struct, frozen=True):
    """How many examples the newest checkpoint has learned, and how many wait in it."""

    examples: int
    waiting: int


class Evidence(msgspec.Struct, kw_only=True):
    """Everything that is judged. `compacted` are the states that a reader finds after the log was compacted."""

    log: dict[Origin, bytes]
    quarantined: dict[Origin, int]
    states: dict[str, State]
    compacted: dict[str, bytes]
    raw_states: dict[str, bytes]
    scores: dict[str, Told]
    examples: list[SeenExample]
    trained: Trained
    zombies: int
    rerouted: int


class _Score(msgspec.Struct, frozen=True):
    customer_id: str
    revision: int
    probability: float
    band: str


class _Refused(msgspec.Struct, frozen=True):
    topic: str
    partition: int
    offset: int


class _Epoch(msgspec.Struct, frozen=True):
    epoch: int = 0


class _Checkpoint(msgspec.Struct, frozen=True):
    waiting: int = 0
    examples: int = 0


_decode = msgspec.json.decode


async def collect(settings: Settings, now: float) -> Evidence:
    """Read every topic of the run. Features are as of `now` (epoch seconds)."""
    many = range(settings.broker.partitions)
    log = {
        (topic, number, record.offset): digest(record.value)
        for topic in SOURCES
        for number in many
        async for record in _records(settings, topic, number)
    }
    raw_states, compacted, zombies = dict[str, bytes](), dict[str, bytes](), 0
    for number in many:
        changelog = [record async for record in _records(settings, CHANGELOG, number)]
        zombies += follow(changelog, raw_states)
        follow(as_compacted(changelog), compacted)
    return Evidence(
        log=log,
        quarantined=dict(Counter([origin async for origin in _refused(settings)])),
        states=read_states(raw_states, now),
        compacted=compacted,
        raw_states=raw_states,
        scores={seen.customer_id: Told(seen.revision, seen.probability, seen.band)
                for number in many async for seen in _scores(settings, number)},
        examples=[
            _decode(record.value, type=SeenExample)
            async for record in _records(settings, EXAMPLES, 0)
            if not is_control(record.key, record.value)
        ],
        trained=await _trained(settings),
        zombies=zombies,
        rerouted=len([None for number in many async for _ in _records(settings, REROUTED, number)]),
    )  # fmt: skip


def read_states(raw_states: dict[str, bytes], now: float) -> dict[str, State]:
    """What changelog values say. Raises models.state.StateError for bytes that are no states."""
    table = Table.of(raw_states.items())
    features = table.features(np.arange(len(table)), now).tolist()
    return {
        customer_id: State(
            applied=int(features[row][_TOTAL]),
            features=features[row],
            told=Told(int(core[t.REVISION]), float(core[t.PROBABILITY]), BANDS[int(core[t.BAND])]),
            snapshots=int(core[t.SNAPSHOTS]),
            pending=[one.as_of for one in waiting(table.blobs[t.PENDING][row]) if is_open(one)],
        )
        for row, (customer_id, core) in enumerate(zip(table.ids, table.core, strict=True))
    }


def follow(changelog: Iterable[Any], states: dict[str, bytes]) -> int:
    """Take one partition's records by the rule for readers; the answer is how many did not count."""
    greatest = ignored = 0
    for record in changelog:
        if not record.key or record.key[0] == 0:
            greatest = max(greatest, _decode(record.value or b"{}", type=_Epoch).epoch)
        elif record.value is None:
            states.pop(record.key.decode(), None)
        elif (epoch := peek(record.value).epoch) < greatest:
            ignored += 1
        else:
            greatest = epoch
            states[record.key.decode()] = record.value
    return ignored


def as_compacted(changelog: list[Any]) -> list[Any]:
    """The newest record of each key, in the order of the log: what compaction leaves in the end."""
    newest = {record.key: record for record in changelog}
    return sorted(newest.values(), key=lambda record: record.offset)


async def _records(settings: Settings, logical: str, partition: int) -> AsyncIterator[Any]:
    async for records in read_to_end(settings.broker, topic_name(settings.broker, logical), partition):
        for record in records:
            yield record


async def _refused(settings: Settings) -> AsyncIterator[Origin]:
    async for record in _records(settings, QUARANTINE, 0):
        seen = _decode(record.value, type=_Refused)
        yield seen.topic, seen.partition, seen.offset


async def _scores(settings: Settings, partition: int) -> AsyncIterator[_Score]:
    async for record in _records(settings, SCORES, partition):
        yield _decode(record.value, type=_Score)


async def _trained(settings: Settings) -> Trained:
    key = f"{label_key(settings.label.kind, settings.label.horizon_days, settings.label.gap_days)}:checkpoint".encode()
    newest = _Checkpoint()
    async for record in _records(settings, MODEL, 0):
        if record.key == key and record.value is not None:
            newest = _decode(record.value, type=_Checkpoint)
    return Trained(newest.examples, newest.waiting)
