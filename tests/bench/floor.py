"""Part `floor`: fetching and decoding the small job's topic, and nothing else. `python -m tests.bench.floor TASK`.

aiokafka's own consumer outside any group, `orjson.loads` of every value: what no transport on aiokafka can beat.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from models.settings import BrokerSettings
from streams.kafka import group_options
from tests.bench import job
from tests.bench.cluster import Cluster, drop_topics, fill, make_topics
from tests.bench.contest import Size, last_line
from tests.bench.process import Child
from tests.bench.report import Table, decimal, median, number, spread


def floor(place: Cluster, size: Size) -> Table:
    """The table; one process for each round."""
    broker = place.scratch()
    topic = f"{broker.topic_prefix}events"
    asyncio.run(make_topics(broker, topic))
    asyncio.run(fill(broker, ((topic, key, value) for key, value in job.events(size.events, size.customers))))
    walls, cpus, said = [], [], ""
    for _ in range(size.rounds):
        with tempfile.TemporaryDirectory(prefix="ebbtide-bench-") as folder:
            task = job.Task(broker.bootstrap, topic, "", "", str(size.events), broker.partitions, folder)
            with Child([sys.executable, "-m", __name__, task.text()], Path(folder) / "log") as child:
                while child.alive:
                    time.sleep(0.05)
                said = child.tail()
            try:
                wall_s, cpu_s = json.loads(last_line(said))
            except ValueError:
                break
            walls.append(size.events / wall_s)
            cpus.append(cpu_s / size.events * 1e6)
    asyncio.run(drop_topics(broker))
    row = ("aiokafka + orjson", number(median(walls)), spread(walls), decimal(median(cpus), 2))
    notes = (f"{size.events:,} events of the small job; median of {size.rounds} rounds." if walls else last_line(said),)
    return Table(
        "The floor: fetch and decode alone", ("floor", "events/s", "least to greatest", "CPU µs/event"), [row], notes
    )


async def consume(task: job.Task) -> tuple[float, float]:
    """Seconds by the clock and of CPU from the first fetched record to the last decoded."""
    broker = BrokerSettings(bootstrap=task.bootstrap, partitions=task.partitions)
    consumer = AIOKafkaConsumer(**group_options(broker))
    await consumer.start()
    consumer.assign([TopicPartition(task.events, number) for number in range(task.partitions)])
    await consumer.seek_to_beginning()
    count, wall_s, cpu_s = 0, time.perf_counter(), time.process_time()
    while count < int(task.group):
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                orjson.loads(record.value)
            count += len(records)
    spent = time.perf_counter() - wall_s, time.process_time() - cpu_s
    await consumer.stop()
    return spent


if __name__ == "__main__":
    job.calm_collector()
    print(json.dumps(uvloop.run(consume(job.Task.parse(sys.argv)))))
