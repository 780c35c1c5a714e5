"""The open-loop sender of part `latency`, a process of its own: `python -m tests.bench.sender JOB`.

Every event has a due time on an even grid. A tick of 5 ms sends what is due, whether or not earlier events are
through; latency counts from the due time, so a sender or broker that falls behind is part of it, not an excuse.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import orjson

from models.settings import BrokerSettings
from streams.chunks import BatchProducer, Outgoing, wait_all
from streams.topics import topic_name
from streams.worker.intake import partition_of
from tests.bench.events import in_turn

_TICK_S = 0.005
_LEAD_S = 0.5


class Sending(msgspec.Struct):
    """What to send: events per second, for how long, of how many customers; where to note each event."""

    bootstrap: str
    prefix: str
    partitions: int
    rate: int
    seconds: float
    customers: int
    out: str


async def send(job: Sending) -> list[tuple[str, str, int, float]]:
    """Send all events; customer, source (`topic/partition`), offset and due time (epoch seconds) of each."""
    broker = BrokerSettings(bootstrap=job.bootstrap, topic_prefix=job.prefix, partitions=job.partitions)
    count = int(job.rate * job.seconds)
    now = time.time()
    made = list(in_turn(count, job.customers, now, now + job.seconds))
    producer = BatchProducer(broker)
    await producer.start()
    begin = time.time() + _LEAD_S
    sent: list[tuple[str, list[tuple[str, float]], list[tuple[asyncio.Future[Any], int]]]] = []
    done = 0
    while done < count:
        await asyncio.sleep(max(0.0, begin + done / job.rate + _TICK_S - time.time()))
        due = min(count, max(done + 1, int((time.time() - begin) * job.rate)))
        batches: dict[tuple[str, int], list[int]] = {}
        for number in range(done, due):
            topic, customer, _ = made[number]
            batches.setdefault((topic, partition_of(customer, job.partitions)), []).append(number)
        for (topic, partition), numbers in batches.items():
            records = [Outgoing(made[n][1].encode(), made[n][2]) for n in numbers]
            acks = await producer.send_counted(topic_name(broker, topic), partition, records)
            sent.append((f"{topic}/{partition}", [(made[n][1], begin + n / job.rate) for n in numbers], acks))
        done = due
    await wait_all(future for _, _, acks in sent for future, _ in acks)
    await producer.stop()
    return [line for source, whose, acks in sent for line in _lines(source, whose, acks)]


def _lines(
    source: str, whose: list[tuple[str, float]], acks: list[tuple[asyncio.Future[Any], int]]
) -> list[tuple[str, str, int, float]]:
    offsets = [future.result().offset + n for future, count in acks for n in range(count)]
    return [(customer, source, offset, due) for (customer, due), offset in zip(whose, offsets, strict=True)]


if __name__ == "__main__":
    the_job = msgspec.json.decode(sys.argv[1], type=Sending)
    scratch = Path(the_job.out + ".part")
    scratch.write_bytes(orjson.dumps(asyncio.run(send(the_job))))
    scratch.rename(the_job.out)
