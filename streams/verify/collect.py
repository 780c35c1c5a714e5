"""Reading from the broker what a verification needs.

The order matters on a system that goes on running:

1. Note where the source topics end, and wait until the worker has committed so far, re-routed records included. What
   lies below these ends must be in the states.
2. Read states and scores. They may know more by now: each says by its offsets which events it holds.
3. Read the source topics, beyond everything that the states know, and last what was refused.
"""

from __future__ import annotations

import math
import time
from typing import Any, Final

import msgspec
import pyarrow as pa
from aiokafka.errors import KafkaError

from models.events.quarantine import QuarantineRecord
from models.settings import BrokerSettings, Settings
from streams.outside import BrokerAway, ends_of
from streams.topics import CHANGELOG, QUARANTINE, REROUTED, SCORES, SOURCES, TopicsUnavailable
from streams.verify.inputs import CannotVerify, Inputs
from streams.verify.log import scan
from streams.verify.ready import applied_ends, places_of, require_topics, where
from streams.verify.store import INPUTS, Store
from streams.worker.intake import ORIGIN_HEADER
from streams.worker.markers import Lineage, Verdict

#: Partition and offset on the topic of re-routed records -> topic, partition and offset where it was first read.
Origins = dict[tuple[int, int], tuple[str, int, int]]
_LOG_APPEND_TIME: Final = 1
_refusal = msgspec.json.Decoder(QuarantineRecord).decode


async def collect(settings: Settings, store: Store, wait_s: float) -> Inputs:
    """Fill the store's tables from the broker.

    Raises
    ------
    CannotVerify
        The broker cannot be read, or the worker has not applied everything within `wait_s` seconds.
    models.state.StateError
        The changelog holds something that is no state of this version.
    """
    broker = settings.broker
    store.connection.begin()  # one write to the disk instead of one per fetch
    try:
        await require_topics(broker)
        cut = await applied_ends(settings, wait_s)
        store.append_rows("cut", INPUTS["cut"], ((topic, number, end) for (topic, number), end in cut.items()))
        clock_at = await _read_states(broker, store)
        await _read_scores(broker, store)
        removed, complete_from = await _read_sources(settings, store)
        origins = await _read_rerouted(broker, store)
        await _read_refused(broker, store, origins)
    except (BrokerAway, TopicsUnavailable, KafkaError, OSError) as error:
        raise CannotVerify(f"cannot read {where(broker)}: {error}") from error
    store.newest("states")
    store.newest("scores")
    store.connection.commit()
    return Inputs(
        source=where(broker),
        clock=settings.worker.clock,
        clock_at=clock_at,
        read_at=time.time(),
        refresh_every_s=settings.score.refresh_every_s,
        duplicate_window=settings.worker.duplicate_window,
        removed=removed,
        complete_from=complete_from,
    )


async def collect_events(settings: Settings, store: Store) -> None:
    """Only the events, all that lie on the topics: for checks of labels. Raises CannotVerify."""
    broker = settings.broker
    try:
        await require_topics(broker)
        places = places_of(broker, *SOURCES, REROUTED)
        ends = await ends_of(broker, places)
        store.append_rows("cut", INPUTS["cut"], ((topic, number, end) for (topic, number), end in ends.items()))
        await _read_sources(settings, store)
        await _read_refused(broker, store, await _read_rerouted(broker, store))
    except (BrokerAway, TopicsUnavailable, KafkaError, OSError) as error:
        raise CannotVerify(f"cannot read {where(broker)}: {error}") from error


# -- the topics --------------------------------------------------------------------------------------


async def _read_states(broker: BrokerSettings, store: Store) -> float:
    """Fill `states`; the greatest clock that a marker of the changelog tells."""
    lineages = [Lineage() for _ in range(broker.partitions)]
    async for number, records in scan(broker, CHANGELOG, range(broker.partitions)):
        newest: dict[str, tuple[Any, ...]] = {}
        for record in records:
            verdict = lineages[number].judge(record)
            if verdict is Verdict.MARKER:
                continue
            row = (_customer(record), number, record.offset, verdict is Verdict.ZOMBIE, record.value)
            if verdict is Verdict.STATE or row[0] not in newest:
                newest[row[0]] = row
        store.append_rows("states", INPUTS["states"], newest.values())
    return max((one.newest.clock for one in lineages if one.newest is not None), default=0.0)


async def _read_scores(broker: BrokerSettings, store: Store) -> None:
    async for number, records in scan(broker, SCORES, range(broker.partitions)):
        newest = {_customer(record): record for record in records}
        rows = ((who, number, record.offset, False, record.value) for who, record in newest.items())
        store.append_rows("scores", INPUTS["scores"], rows)


async def _read_sources(settings: Settings, store: Store) -> tuple[int, float | None]:
    """Fill `raw`; how many records retention has removed, and since when (epoch seconds) none is missing."""
    broker = settings.broker
    removed, arrivals = 0, list[float]()
    for topic in SOURCES:
        seen: set[int] = set()
        async for number, records in scan(broker, topic, range(broker.partitions)):
            first = records[0]
            if number not in seen and first.offset > 0:
                removed += first.offset
                arrivals.append(first.timestamp / 1000 if first.timestamp_type == _LOG_APPEND_TIME else math.inf)
            seen.add(number)
            store.append("raw", _raw(topic, number, records))
        unseen = [(topic, number) for number in range(broker.partitions) if number not in seen]
        emptied = [end for end in (await ends_of(broker, unseen)).values() if end > 0] if unseen else []
        removed += sum(emptied)
        arrivals += [math.inf] * len(emptied)
    if not removed:
        return 0, None
    # What was removed had arrived before, and no event lies further ahead of its arrival than this.
    complete_from = max(arrivals) + settings.events.max_future_s
    return removed, None if complete_from == math.inf else complete_from


async def _read_rerouted(broker: BrokerSettings, store: Store) -> Origins:
    """Where re-routed records were first read; those that were sent to the topic from outside are events of their own.

    Re-routed events themselves are in the sources.
    """
    origins: Origins = {}
    async for number, records in scan(broker, REROUTED, range(broker.partitions)):
        outside = []
        for record in records:
            origin = next((value for name, value in record.headers if name == ORIGIN_HEADER), None)
            if origin is None:
                outside.append(record)
            else:
                topic, partition, offset = origin.decode().rsplit("/", 2)
                origins[number, record.offset] = (topic, int(partition), int(offset))
        store.append("raw", _raw(REROUTED, number, outside))
    return origins


async def _read_refused(broker: BrokerSettings, store: Store, origins: Origins) -> None:
    async for _, records in scan(broker, QUARANTINE, [0]):
        rows = []
        for record in records:
            one = _refusal(record.value)
            place = (one.topic, one.partition, one.offset)
            if one.topic == REROUTED:
                place = origins.get((one.partition, one.offset), place)
            rows.append((*place, one.reason))
        store.append_rows("refused", INPUTS["refused"], rows)
    # A record may be refused again after a crash.
    store.connection.execute(
        'CREATE OR REPLACE TABLE refused AS SELECT DISTINCT ON (topic, "partition", "offset") * FROM refused'
    )


def _raw(topic: str, number: int, records: list[Any]) -> pa.Table:
    columns = [
        pa.array([topic] * len(records), pa.string()),
        pa.array([number] * len(records), pa.int32()),
        pa.array([record.offset for record in records], pa.int64()),
        pa.array([record.value for record in records], pa.binary()),
    ]
    return pa.Table.from_arrays(columns, schema=INPUTS["raw"])


def _customer(record: Any) -> str:
    return str(record.key.decode("utf-8", "replace")) if record.key is not None else ""
