"""Where the full job's time goes: the worker's steps over the same events in this process, each timed by itself.

CPU time of this process, one partition after another. Faust, the event loop, sockets and smaller turns come on top
of it in the live worker.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from models.churn.serving import ServingModel
from models.engine import Engine
from models.events.decode import decode
from models.events.types import Event
from models.features import FEATURE_VERSION, FEATURES
from models.settings import BrokerSettings, Settings
from streams.kafka import group_options
from streams.topics import SOURCES, topic_name
from streams.worker.intake import partition_of
from tests.bench.cluster import PARTITIONS, Cluster, fill
from tests.bench.events import mixed, roll_call
from tests.bench.report import Table, decimal
from tests.bench.worker import stage

#: As the worker has them: events of a turn, and the producer's largest batch with zstd.
_TURN, _BATCH_BYTES, _ZSTD = 2000, 512 * 1024, 4
_SPAN_S = 7 * 86_400.0
_json = msgspec.json.Encoder()
Waiting = dict[int, list[tuple[str, str, bytes]]]


class Clock:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        self.spent[name] += time.process_time() - begun


def stages(place: Cluster, events: int, customers: int, live_us: float) -> Table:
    """The table of steps; `live_us` is what the worker as a process needed per event."""
    now = time.time()
    joining = roll_call(customers, now - _SPAN_S, now - _SPAN_S + 3600)
    made = [*joining, *mixed(events - customers, customers, now - _SPAN_S + 3600, now)]
    clock = Clock()
    with stage(place) as prepared:
        broker = prepared.broker
        asyncio.run(fill(broker, ((topic_name(broker, topic), key, raw) for topic, key, raw in made)))
        asyncio.run(_fetch(broker, events, clock))
        sent = offline(prepared.settings, made, clock)
    per_event = {name: spent / events * 1e6 for name, spent in clock.spent.items()}
    total = sum(per_event.values())
    rows = [(name, decimal(spent, 2), f"{spent / total:.0%}") for name, spent in per_event.items()]
    rows += [("all steps", decimal(total, 2), "100%"), ("live worker, for comparison", decimal(live_us, 2), "")]
    notes = (
        (
            f"The same {events:,} events in one process without a worker, each step alone, turns of {_TURN:,}: "
            f"{sent['scores']:,} scores, {sent['states']:,} states. Here events come in the order of their times; the "
            "live worker takes topics as they arrive and so tells fewer scores."
        ),
    )
    return Table("Where the full job's time goes", ("step", "CPU µs/event", "share"), rows, notes)


async def _fetch(broker: BrokerSettings, events: int, clock: Clock) -> None:
    consumer = AIOKafkaConsumer(**group_options(broker))
    await consumer.start()
    consumer.assign([TopicPartition(topic_name(broker, topic), n) for topic in SOURCES for n in range(PARTITIONS)])
    await consumer.seek_to_beginning()
    count = 0
    with clock.step("fetch (aiokafka)"):
        while count < events:
            count += sum(map(len, (await consumer.getmany(timeout_ms=500)).values()))
    await consumer.stop()


def offline(settings: Settings, made: list[tuple[str, str, bytes]], clock: Clock) -> Counter[str]:
    """Take all events through the worker's steps; how many scores, examples and states came out."""
    waiting: Waiting = {number: [] for number in range(PARTITIONS)}
    for one in made:
        waiting[partition_of(one[1], PARTITIONS)].append(one)
    sent: Counter[str] = Counter()
    for number, events in waiting.items():
        sources = tuple(f"{topic}/{number}" for topic in SOURCES)
        engine = Engine(settings, ServingModel.initial(FEATURES, FEATURE_VERSION, settings.label), sources)
        for start in range(0, len(events), _TURN):
            _turn(engine, settings, events[start : start + _TURN], number, start, clock, sent)
    return sent


def _turn(
    engine: Engine, settings: Settings, waiting: list[tuple[str, str, bytes]], number: int, first: int, clock: Clock,
    sent: Counter[str],
) -> None:  # fmt: skip
    now = time.time()
    with clock.step("decode"):
        decoded = [(decode(raw, topic, now, settings.events), f"{topic}/{number}") for topic, _, raw in waiting]
    with clock.step("apply: guards against doubles"):
        for offset, (event, source) in enumerate(decoded, first):
            assert isinstance(event, Event), event
            engine.apply(event, source, offset)
    with clock.step("flush: state, features, scores"):
        flush = engine.flush(now, now)
    with clock.step("encode scores and examples"):
        scores = [(one.customer_id.encode(), _json.encode(one)) for one in flush.scores]
        examples = [(one.customer_id.encode(), _json.encode(one)) for one in flush.examples]
    with clock.step("send: batches, zstd"):
        for records in (scores, examples, [(key.encode(), value) for key, value in flush.states]):
            _pack(records)
    sent.update(scores=len(flush.scores), examples=len(flush.examples), states=len(flush.states))


def _pack(records: list[tuple[bytes, bytes]]) -> None:
    """Put records into batches as the producer does, and compress them."""
    batch = BatchBuilder(_BATCH_BYTES, _ZSTD)
    for key, value in records:
        if batch.append(timestamp=None, key=key, value=value, headers=[]) is None:
            batch._build()
            batch = BatchBuilder(_BATCH_BYTES, _ZSTD)
            batch.append(timestamp=None, key=key, value=value, headers=[])
    batch._build()
